"""`kill -9` of each component in turn, while people talk: nothing acknowledged is lost, nothing trains twice."""

import asyncio
import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest

from infra.audit import audit
from infra.home import Home
from infra.ports import choose_port
from infra.run_file import RunFile
from infra.settings import Settings
from infra.stack import Stack, running_stack
from schemas.clock import now_ms
from streams import topics
from streams.consumer import read_all
from streams.lags import group_lags

pytestmark = [pytest.mark.kafka, pytest.mark.engine, pytest.mark.timeout(900)]

VICTIMS = ("processors", "trainer", "reloader", "gateway")
BACK_WITHIN_S = 60.0  # 30 is promised to a machine with two free cores; tests may share theirs
NUM_PEOPLE = 2
BATCH_SIZE = 8
SETTLED_WITHIN_S = 180.0
QUESTION = "How can I sleep better?"
COMPLAINT = "No, that is wrong. Please write plain sentences, not a list."
THANKS = "Perfect, thank you so much!"


class Ledger:
    """What clients were told, kept outside the system: the ids of acknowledged actions that were then answered to."""

    def __init__(self) -> None:
        self.acknowledged: set[str] = set()
        self.reacted_to: set[str] = set()

    async def talk(self, url: str, number: int) -> None:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=60) as client:
            for turn in range(10_000):
                with contextlib.suppress(openai.OpenAIError):  # the gateway may be the one that was killed
                    await self._converse(client, f"{QUESTION} I am person {number}, night {turn}.", turn)

    async def _converse(self, client: openai.AsyncOpenAI, question: str, turn: int) -> None:
        messages: list[Any] = [{"role": "user", "content": question}]
        first, answer = await self._say(client, messages)
        messages += [
            {"role": "assistant", "content": answer},
            {"role": "user", "content": (COMPLAINT, THANKS)[turn % 2]},
        ]
        await self._say(client, messages)
        self.reacted_to.add(first)

    async def _say(self, client: openai.AsyncOpenAI, messages: list[Any]) -> tuple[str, str]:
        raw = await client.chat.completions.with_raw_response.create(
            model="assistant", messages=messages, max_tokens=6, temperature=1.0
        )
        action_id = raw.headers["x-action-id"]
        self.acknowledged.add(action_id)
        return action_id, raw.parse().choices[0].message.content or ""


@contextlib.asynccontextmanager
async def people(ledger: Ledger, url: str) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(ledger.talk(url, number)) for number in range(NUM_PEOPLE)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def settings(engine: Any, home: Home, folder: Path) -> Settings:
    table = {
        "home": folder,
        "runtime_home": home.root,
        "engine": {"url": engine.url, "model_path": str(engine.model_path)},
        "gateway": {"port": choose_port(None, "")},
        "processors": {"batch_size": BATCH_SIZE, "next_state_timeout_s": 10.0, "seal_after_s": 10.0},
        "trainer": {"max_staleness": 1000},
    }
    return Settings.model_validate(table)


async def kill_and_time(stack: Stack, victim: str) -> float:
    """Seconds from `kill -9` until the supervisor calls the new process healthy."""
    run_file = RunFile(Home(stack.settings.home))
    state = run_file.read()
    assert state is not None
    before = state.components[victim]
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)
    started_s = time.monotonic()
    while time.monotonic() - started_s < 4 * BACK_WITHIN_S:
        await asyncio.sleep(0.1)
        now = run_file.read()
        if now and now.components[victim].num_starts > before.num_starts and now.components[victim].state == "healthy":
            break
    return time.monotonic() - started_s


def recorded(stack: Stack, topic: topics.Topic) -> list[Any]:
    return [record.event for record in read_all(stack.kafka, [topic]) if record.event is not None]


async def settled(stack: Stack, ledger: Ledger) -> None:
    """Wait until every acknowledged action became a sample or a skip."""
    end_s = time.monotonic() + SETTLED_WITHIN_S
    while time.monotonic() < end_s:
        done = {event.action_id for topic in (topics.SAMPLES, topics.SKIPS) for event in recorded(stack, topic)}
        if ledger.acknowledged <= done:
            return
        await asyncio.sleep(2)
    missing = ledger.acknowledged - done
    logs = Home(stack.settings.home).logs
    for name in ("gateway", "processors"):
        print(f"--- {name}", *(logs / f"{name}.log").read_text().splitlines()[-30:], sep="\n")
    pytest.fail(
        f"{len(missing)} of {len(ledger.acknowledged)} actions are neither sample nor skip: {missing}; recorded: "
        f"{missing & {event.id for event in recorded(stack, topics.ACTIONS)}}; lags: {group_lags(stack.kafka)}"
    )


async def test_each_component_comes_back_and_loses_and_repeats_nothing(engine: Any, home: Home, tmp_path: Path) -> None:
    ledger = Ledger()
    async with running_stack(settings(engine, home, tmp_path / "home"), print) as stack:
        async with people(ledger, stack.gateway_url):
            took_s = {}
            for victim in VICTIMS:
                await asyncio.sleep(5)
                took_s[victim] = await kill_and_time(stack, victim)
            await asyncio.sleep(5)
        print("seconds from kill -9 to healthy:", {victim: round(value, 1) for victim, value in took_s.items()})
        await settled(stack, ledger)
        actions = {event.id for event in recorded(stack, topics.ACTIONS)}
        observed = {event.action_id for event in recorded(stack, topics.NEXT_STATES)}
        checkpoints = recorded(stack, topics.CHECKPOINTS)
        report = audit(read_all(stack.kafka, topics.TOPICS), now_ms=now_ms(), max_open_age_s=86_400.0)
    assert ledger.acknowledged, "nobody got an answer"
    assert ledger.acknowledged <= actions
    assert ledger.reacted_to <= observed
    trained = Counter(action_id for event in checkpoints for action_id in event.action_ids)
    assert trained, "nothing trained"
    assert set(trained.values()) == {1}
    assert sorted(event.version for event in checkpoints) == list(range(1, len(checkpoints) + 1))  # each once
    assert report.is_clean, [tally.failures[:5] for tally in report.tallies if tally.failures]
    assert max(took_s.values()) < BACK_WITHIN_S, took_s
