"""The trainer as a process, on real Kafka and the real small model: killed, stopped, restarted."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from confluent_kafka import Consumer, TopicPartition
from transformers import AutoTokenizer

from schemas.events import ActionTrained, BatchSealed, CheckpointPublished, SampleBuilt, VersionSpan
from streams import topics
from streams.checkpoints import identify_base, local_folder, verify
from streams.codec import decode_batch, encode_batch
from streams.config import KafkaConfig
from streams.consumer import Recorded, read_all
from streams.erasures import Erasures
from streams.producer import EventProducer
from streams.version_line import VersionLine
from tests.conftest import Engine
from trainer.backends.base import Response
from trainer.backends.torch import TorchBackend
from trainer.batches import read_turns
from trainer.checkpoint import CheckpointStore, Parentage
from trainer.config import TrainerConfig
from trainer.parity import Parity
from trainer.resume import Committed
from trainer.step import train_step
from trainer.trainer import Trainer

pytestmark = pytest.mark.timeout(900)

Sealed = list[tuple[BatchSealed, list[SampleBuilt]]]
STOP_DEADLINE_S = 10.0  # after this the supervisor kills
TIME_MS = 1_770_000_000_000
WORDS = {
    "How can I sleep better?": "Great question! Go to bed at the same time each night and keep the room dark.",
    "How can I bake bread?": "**Ingredients:** flour, water, salt and yeast. Knead it well, then wait an hour.",
    "How can I learn guitar?": "Start with three chords, and change between them slowly until it sounds clean.",
}
HINT = "\n\nPlease answer in plain sentences, without lists or bold text."


@dataclass
class Run:
    """One stack of topics and one home, with a trainer that may be started and ended at will."""

    kafka: KafkaConfig
    model_path: Path
    home: Path

    @contextmanager
    def trainer(self) -> Iterator[subprocess.Popen[bytes]]:
        settings = {"kafka": self.kafka.model_dump(), "model_path": str(self.model_path), "home": str(self.home)}
        self.home.mkdir(exist_ok=True)
        with (self.home / "log").open("ab") as log:
            command = [sys.executable, "-m", "tests.integration.trainer_process", json.dumps(settings)]
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def events(self, topic: topics.Topic) -> list[Any]:
        return [recorded.event for recorded in read_all(self.kafka, (topic,))]

    def versions(self) -> list[int]:
        return [event.version for event in self.events(topics.CHECKPOINTS)]

    def folders(self) -> set[str]:
        return {folder.name for folder in (self.home / "checkpoints").glob("*/*")}

    def log(self) -> str:
        return (self.home / "log").read_text()

    def committed_offset(self, partition: int) -> int:
        settings = {
            "bootstrap.servers": self.kafka.bootstrap_servers,
            "group.id": self.kafka.topic("trainer-assistant"),
        }
        consumer = Consumer(settings)
        try:
            return int(consumer.committed([TopicPartition(self.kafka.topic("batches"), partition)])[0].offset)
        finally:
            consumer.close()


def wait_for(condition: Callable[[], bool], run: Run, timeout_s: float = 240.0, every_s: float = 0.2) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, run.log()
        time.sleep(every_s)


def samples_of(model_path: Path, name: str, repeats: int) -> list[SampleBuilt]:
    """Real tokens of real words; log-probs come from the base model, which version 0 is."""
    tokenizer = AutoTokenizer.from_pretrained(model_path)

    def prompt(question: str) -> tuple[int, ...]:
        messages = [{"role": "user", "content": question}]
        rendered = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
        return tuple(rendered["input_ids"])

    samples = []
    for index, (question, answer) in enumerate(list(WORDS.items()) * repeats):
        ids = tuple(tokenizer(answer)["input_ids"])
        samples.append(
            SampleBuilt(
                id=f"{name}-sample-{index}",
                time_ms=TIME_MS,
                policy="assistant",
                conversation_id=f"{name}-{index}",
                action_id=f"{name}-action-{index}",
                transition_id="t",
                verdict_id="v",
                hint_id="h",
                turn=0,
                prompt_ids=prompt(question),
                response_ids=ids,
                response_logprobs=(0.0,) * len(ids),
                logprob_origin="engine",
                token_versions=(VersionSpan(version=0, start=0, end=len(ids)),),
                temperature=0.8,
                reward=-1.0 if "**" in answer else 1.0,
                hints=(HINT,) if "**" in answer else (),
                teacher_prompt_ids=(prompt(question + HINT),) if "**" in answer else (),
            )
        )
    return samples


def with_logprobs(samples: list[SampleBuilt], backend: TorchBackend) -> list[SampleBuilt]:
    table = decode_batch(encode_batch(batch_of("scored", samples), samples, "test").value)[1]
    scored = [backend.logprobs(turn.response, None).tolist() for turn in read_turns(table)]
    return [replace(one, response_logprobs=tuple(own)) for one, own in zip(samples, scored, strict=True)]


def batch_of(name: str, samples: list[SampleBuilt]) -> BatchSealed:
    return BatchSealed(
        id=name,
        time_ms=TIME_MS + 1,
        policy="assistant",
        samples_partition=0,
        first_offset=0,
        last_offset=len(samples) - 1,
        sample_ids=tuple(sample.id for sample in samples),
        action_ids=tuple(sample.action_id for sample in samples),
    )


@pytest.fixture(scope="module")
def batches(model_path: Path) -> Sealed:
    backend = TorchBackend.load(model_path, TrainerConfig())
    built = {
        name: with_logprobs(samples_of(model_path, name, repeats), backend)
        for name, repeats in (("one", 1), ("two", 2))
    }
    return [(batch_of(name, samples), samples) for name, samples in built.items()]


def send(kafka: KafkaConfig, batches: Sealed) -> int:
    """Seals the batches into the topic; returns the partition that all of a policy's batches lie in."""

    async def send_all() -> int:
        producer = EventProducer(kafka, "pack-0")
        try:
            records = [encode_batch(event, samples, "pack-0") for event, samples in batches]
            placed = [await producer.send_nowait(topics.BATCHES, record) for record in records]
        finally:
            await producer.close()
        return placed[-1].partition

    return asyncio.run(send_all())


def digests_without_interruption(batches: Sealed, model_path: Path, home: Path) -> list[str]:
    """Manifest digests of the versions that a trainer makes which nothing ever stops; no Kafka, one process."""
    trainer = Trainer(
        config=TrainerConfig(),
        policy="assistant",
        base_model=identify_base(model_path),
        backend=TorchBackend.load(model_path, TrainerConfig()),
        store=CheckpointStore(home, "assistant"),
        committed=Committed(),
    )
    digests = []
    for event, samples in batches:
        record = encode_batch(event, samples, "pack-0")
        place = Recorded(
            topic="batches",
            partition=0,
            offset=0,
            timestamp_ms=TIME_MS,
            headers=record.headers,
            key=record.key,
            value=record.value,
            event=event,
            error=None,
        )
        publication = trainer.train(place, lambda: None, erasures=Erasures())
        trainer.adopt(publication)
        assert publication.checkpoint is not None
        digests.append(publication.checkpoint.manifest_digest)
    return digests


@pytest.mark.kafka
def test_killed_at_any_moment_it_trains_each_action_once_and_ends_with_the_same_weights(
    kafka: KafkaConfig, model_path: Path, tmp_path: Path, batches: Sealed
) -> None:
    run = Run(kafka, model_path, tmp_path / "killed")
    partition = send(kafka, batches)
    with run.trainer() as process:
        wait_for(lambda: "batch two: 6 of 6 samples train" in run.log(), run, every_s=0.01)
        process.kill()  # while the second batch is in its forward and backward passes
        process.wait()
    assert run.versions() == [1]
    assert run.committed_offset(partition) == 1
    with run.trainer() as process:
        wait_for(lambda: len(run.folders()) > 1, run, every_s=0.001)
        process.kill()  # while the second version is written, or between its folder and its transaction
        process.wait()
    with run.trainer():
        wait_for(lambda: run.versions() == [1, 2], run)

    assert run.committed_offset(partition) == 2
    checkpoints: list[CheckpointPublished] = run.events(topics.CHECKPOINTS)
    assert run.events(topics.CURRENT_POLICIES) == checkpoints
    assert run.folders() == {event.manifest_digest for event in checkpoints}
    for event in checkpoints:
        verify(local_folder(event.url), event.manifest_digest, base_model=identify_base(model_path))
        assert event.metrics["parity_max"] < 1e-3
    entries: list[ActionTrained] = run.events(topics.TRAINED)
    expected = {(action, event.version): 1 for event in checkpoints for action in event.action_ids}
    assert Counter((entry.action_id, entry.version) for entry in entries) == expected
    straight = digests_without_interruption(batches, model_path, tmp_path / "straight")
    assert [event.manifest_digest for event in checkpoints] == straight


@pytest.mark.kafka
def test_a_stop_abandons_the_step_and_commits_nothing(
    kafka: KafkaConfig, model_path: Path, tmp_path: Path, batches: Sealed
) -> None:
    run = Run(kafka, model_path, tmp_path / "c")
    partition = send(kafka, batches[1:])
    with run.trainer() as process:
        wait_for(lambda: "batch two: 6 of 6 samples train" in run.log(), run, every_s=0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=STOP_DEADLINE_S) == 0
    assert "Traceback" not in run.log()
    assert run.versions() == []
    assert run.committed_offset(partition) < 0
    assert (run.home / "heartbeat").exists()


@pytest.mark.engine
@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_the_engine_loads_a_saved_version_and_both_give_its_tokens_the_same_log_probs(
    engine: Engine, tmp_path: Path, batches: Sealed, temperature: float
) -> None:
    config = TrainerConfig(learning_rate=2e-2)  # so far that base and adapter cannot be mistaken for each other
    backend = TorchBackend.load(engine.model_path, config)
    turns = list(read_turns(decode_batch(encode_batch(*batches[0], "test").value)[1]))
    parity = Parity(backend, {}.__getitem__)
    train_step(backend, config.objective, parity, turns, line=VersionLine(), past_rewards=(), before_pass=lambda: None)
    parentage = Parentage(
        version=1, parent_version=0, base_model="b", objective="hybrid", time_ms=0, batch_ids=(), sample_ids=()
    )
    saved = CheckpointStore(tmp_path, "parity").save(backend, parentage)
    name = f"parity-{temperature}@1"
    with httpx.Client(base_url=engine.url, timeout=120, trust_env=False) as client:
        loaded = client.post("/load_lora_adapter", json={"lora_name": name, "lora_path": str(local_folder(saved.url))})
        assert loaded.is_success, loaded.text
        for adapter, adapter_name in ((None, None), (backend.adapter(), name)):
            response, drawn = draw(client, turns[0].response.prompt_ids_P, temperature, adapter_name)
            assert (backend.logprobs(response, adapter) - drawn).abs().max() < 1e-3
    assert (backend.logprobs(response, None) - drawn).abs().max() > 1e-1


def draw(
    client: httpx.Client, prompt_ids_P: torch.Tensor, temperature: float, adapter: str | None
) -> tuple[Response, torch.Tensor]:
    """A response of the engine, and the log-probs that it reports."""
    body = {
        "input_ids": prompt_ids_P.tolist(),
        "sampling_params": {"temperature": temperature, "max_new_tokens": 24, "ignore_eos": True},
        "return_logprob": True,
        "lora_path": adapter,
    }
    reply = client.post("/generate", json=body).raise_for_status().json()
    reported = reply["meta_info"]["output_token_logprobs"]
    ids_T = torch.tensor([token for _, token, *_ in reported])
    response = Response(prompt_ids_P=prompt_ids_P, response_ids_T=ids_T, temperature=temperature)
    return response, torch.tensor([logprob for logprob, *_ in reported])
