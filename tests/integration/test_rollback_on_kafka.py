"""A trainer that runs follows the gate and rollbacks, on real Kafka, with a tiny model."""

import asyncio
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from infra.tiny_model import save_tiny_llama
from schemas.errors import RejectedError
from schemas.events import CheckpointPublished, Event, PolicyRefused
from streams import topics
from streams.checkpoints import local_folder
from streams.codec import encode_batch
from streams.config import KafkaConfig
from streams.consumer import read_all
from streams.producer import EventProducer
from tests.unit.trainer.builders import sample, sealed
from tests.unit.trainer.conftest import VOCAB_SIZE
from trainer.config import TrainerConfig
from trainer.loop import run_trainer
from trainer.rollback import roll_back

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]
POLICY = "assistant"
DEADLINE_S = 240.0


@dataclass
class Life:
    """A trainer in a thread of this process, and what is sent to it."""

    kafka: KafkaConfig
    home: Path
    stop: threading.Event = field(default_factory=threading.Event)
    num_batches: int = 0

    def run(self, model_path: Path) -> None:
        config = TrainerConfig(lora_rank=4, lora_alpha=8, learning_rate=1e-2)
        run_trainer(
            config,
            self.kafka,
            POLICY,
            model_path=model_path,
            home=self.home,
            heartbeat=self.home / "heartbeat",
            stop=self.stop,
        )

    def learn(self, version: int) -> CheckpointPublished:
        """One batch of turns that this version took; the version that it makes."""
        self.num_batches += 1
        samples = [sample(version=version), sample(version=version)]
        event = sealed(samples, f"batch-{self.num_batches}")

        async def send() -> None:
            producer = EventProducer(self.kafka, "pack-0")
            await producer.send_nowait(topics.BATCHES, encode_batch(event, samples, "pack-0"))
            await producer.close()

        asyncio.run(send())
        deadline_s = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline_s:
            for one in self.events(topics.CHECKPOINTS):
                if isinstance(one, CheckpointPublished) and one.batch_ids == (event.id,):
                    return one
            time.sleep(0.2)
        raise AssertionError(f"{event.id} was not trained")

    def events(self, topic: topics.Topic) -> list[Event]:
        return [record.event for record in read_all(self.kafka, (topic,)) if record.event is not None]

    def refuse(self, checkpoint: CheckpointPublished) -> None:
        event = PolicyRefused(
            id=f"refused-{checkpoint.version}",
            time_ms=1,
            policy=POLICY,
            version=checkpoint.version,
            checkpoint_id=checkpoint.id,
            reason="It says anything.",
        )

        async def send() -> None:
            producer = EventProducer(self.kafka, "reloader")
            await producer.send(topics.PROMOTIONS, event)
            await producer.close()

        asyncio.run(send())


def command(life: Life, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`nextstate rollback`, as a user calls it."""
    settings = (f"home={life.home}", f"policy={POLICY}", f"kafka.bootstrap_servers={life.kafka.bootstrap_servers}")
    options = [f"--set={one}" for one in (*settings, f"kafka.topic_prefix={life.kafka.topic_prefix}")]
    line = [sys.executable, "-m", "infra.cli", "rollback", *arguments, *options]
    return subprocess.run(line, capture_output=True, text=True, check=False)


@pytest.fixture
def life(kafka: KafkaConfig, tmp_path: Path) -> Iterator[Life]:
    model = tmp_path / "model"
    save_tiny_llama(model, VOCAB_SIZE, num_key_value_heads=1)
    life = Life(kafka, tmp_path)
    thread = threading.Thread(target=life.run, args=(model,))
    thread.start()
    yield life
    life.stop.set()
    thread.join(timeout=DEADLINE_S)
    assert not thread.is_alive()


def test_a_running_trainer_follows_a_refusal_and_a_rollback_and_takes_no_number_twice(life: Life) -> None:
    one = life.learn(0)
    two = life.learn(1)
    assert (two.version, two.parent_version) == (2, 1)
    life.refuse(two)
    three = life.learn(1)
    assert (three.version, three.parent_version) == (3, 1)

    with pytest.raises(RejectedError, match="no version 9; there are 0, its base model, to 3"):
        roll_back(life.kafka, POLICY, 9, "asked for")
    with pytest.raises(RejectedError, match=r"The gate refused version 2: It says anything\."):
        roll_back(life.kafka, POLICY, 2, "asked for")
    with pytest.raises(RejectedError, match="the weights of version 3 already, as version 3"):
        roll_back(life.kafka, POLICY, 3, "asked for")

    done = roll_back(life.kafka, POLICY, None, "it was better")
    assert (done.event.version, done.event.to_version, done.left) == (4, 1, (2, 3))
    five = life.learn(4)
    assert (five.version, five.parent_version) == (5, 4)
    assert [event.id for event in life.events(topics.PROMOTIONS)] == ["refused-2", done.event.id]

    shutil.rmtree(local_folder(one.url))
    with pytest.raises(RejectedError, match="Version 1 of 'assistant' is not kept any more, or damaged"):
        roll_back(life.kafka, POLICY, 1, "asked for")
    told = command(life, "0", "--reason", "from the beginning")
    assert told.stdout == (
        "assistant is at version 6, which has the base model's weights.\nLeft behind: assistant@1 to assistant@5.\n"
    )
    seven = life.learn(6)
    assert (seven.version, seven.parent_version) == (7, 6)

    refused = command(life, "2")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.count("\n") == 1
    assert refused.stderr.startswith("The gate refused version 2: It says anything. Choose another version.")


def test_a_policy_that_has_learned_nothing_has_nothing_to_go_back_to(kafka: KafkaConfig) -> None:
    with pytest.raises(RejectedError, match="serves its base model"):
        roll_back(kafka, "nobody", None, "asked for")
    with pytest.raises(RejectedError, match="it has only its base model, 0"):
        roll_back(kafka, "nobody", 1, "asked for")
