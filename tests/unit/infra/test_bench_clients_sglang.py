"""The door before a real engine hands on what passes, keeps it, and is away once. Behind it, here, the script draws."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from infra.bench.clients.engine import ScriptedEngine, running
from infra.bench.clients.script import CORRECTED, STORY
from infra.bench.clients.sglang import RelayedEngine
from serving.config import EngineConfig


@pytest.fixture(scope="module")
def scripted(model_path: Path) -> ScriptedEngine:
    return ScriptedEngine.of(model_path)


@pytest.fixture
def engine(scripted: ScriptedEngine, model_path: Path) -> Iterator[tuple[RelayedEngine, httpx.Client]]:
    scripted.begin()
    with running(scripted) as url:
        relayed = RelayedEngine(url, EngineConfig(), model_path)
        with running(relayed) as door, httpx.Client(base_url=door, trust_env=False, timeout=30.0) as client:
            yield relayed, client


def asking(scripted: ScriptedEngine, text: str) -> dict[str, Any]:
    prompt = f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
    return {"input_ids": scripted.tokenizer.encode(prompt, add_special_tokens=False).ids}


def test_what_was_drawn_is_handed_on_and_kept(
    engine: tuple[RelayedEngine, httpx.Client], scripted: ScriptedEngine
) -> None:
    relayed, client = engine
    events = client.post("/generate", json=asking(scripted, "In Fahrenheit, please.")).text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    told = [orjson.loads(event.removeprefix("data: ")) for event in events[:-2]]
    assert "".join(event["text"] for event in told) == CORRECTED
    assert tuple(token for event in told for token in event["output_ids"]) == relayed.drawn[0].ids
    assert relayed.drawn == scripted.drawn
    assert client.get("/v1/models").json() == {"data": []}


def test_it_is_away_once_and_hands_on_that_the_engine_is(
    engine: tuple[RelayedEngine, httpx.Client], scripted: ScriptedEngine
) -> None:
    relayed, client = engine
    asked = asking(scripted, "And tomorrow?")
    assert client.post("/generate", json=asked).status_code == 503
    assert (relayed.num_failures, scripted.num_failures) == (1, 0)
    assert client.post("/generate", json=asked).json()["error"]["message"] == "The scripted engine is away."
    assert client.post("/generate", json=asked).is_success
    assert (relayed.num_failures, len(relayed.drawn)) == (1, 1)
    relayed.begin()
    assert (relayed.num_failures, relayed.drawn) == (0, ())
    assert client.post("/generate", json=asked).status_code == 503


def test_of_an_answer_that_nobody_waits_for_it_keeps_what_passed(
    engine: tuple[RelayedEngine, httpx.Client], scripted: ScriptedEngine
) -> None:
    relayed, client = engine
    with client.stream("POST", "/generate", json=asking(scripted, "A long story.")) as reply:
        seen = next(reply.iter_lines())
    [drawn] = relayed.drawn
    assert orjson.loads(seen.removeprefix("data: "))["output_ids"][0] == drawn.ids[0]
    assert 0 < len(drawn.words) < len(STORY)
    assert STORY.startswith(drawn.words)
    assert len(drawn.ids) == len(drawn.logprobs) < len(scripted.drawn[0].ids)
