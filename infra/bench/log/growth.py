"""`bench_growth`: what a long conversation adds to the log with each turn, beside what it would add with whole prompts.

    script ──HTTP──► gateway app ──► actions, next-states ──► join stage ──► transitions

Measured: bytes (key, headers, value) of the records of each turn: its action, its next state, their transition. All is
the real code: the ASGI app in this process, matching, the policy's own tokenizer and chat template, the join; only the
engine is scripted, and gives exact ids, and log-probs as long as SGLang's. Questions and answers have the sizes of the
demo's. Two clients: one with a short fixed system prompt, one whose system prompt of some kilobytes says another time
and other context in each call. Not measured: Kafka's compression, which works on whole batches of records.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from statistics import mean

import httpx
import numpy as np

from infra.bench.prompts import SHORT_PROMPT, changing_prompt
from infra.demo.questions import ASKED
from processors.config import ProcessorsConfig
from processors.open_turns import OpenTurns
from processors.turn_stage import TurnStage
from schemas.events import ActionTaken, Event, Message, NextStateObserved, TransitionJoined
from schemas.prompt import Resolved, delta, resolve
from serving.chat import Served
from serving.config import GatewayConfig
from serving.engine import EngineChunk, GenerateRequest
from serving.gateway import create_app
from serving.rendering import ChatRenderer
from serving.routing import Routes
from streams.codec import encode
from streams.conversation import FULL_PROMPT_EVERY_TURNS, ConversationIndex
from streams.memory import MemoryLog, MemoryTable
from streams.stamp import Stamper
from streams.topics import ACTIONS, NEXT_STATES, TOPIC_OF, TRANSITIONS

GOAL = 2.0  # turn 100 to turn 1
_POLICY = "assistant"
_START_MS = 1_800_000_000_000
_READ_MS = 1_000  # that pass each time somebody reads the clock
_ANSWER_WORDS = 55  # the demo's mean
_PERIOD = FULL_PROMPT_EVERY_TURNS + 1  # turns from one prompt that is written whole to the next
_NO_CONTEXT_LIMIT = 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """One conversation. All bytes are per turn, [turns] or means; ratios are of the log as it is."""

    name: str
    system_prompt_bytes: int
    log_bytes: tuple[int, ...]
    whole_prompt_bytes: tuple[int, ...]  # the same with messages and prompt ids in full, as a log without deltas has it
    last_to_first: float
    last_to_first_ten: float  # means of ten turns each
    last_to_first_period: float  # means over as many turns as there are from one whole prompt to the next
    whole_last_to_first: float

    @property
    def is_within_goal(self) -> bool:
        """Whether the last turn adds at most `GOAL` times what the first did."""
        return self.last_to_first <= GOAL


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthTable:
    """Both clients, over as many turns."""

    num_turns: int
    short_prompt: Growth
    changing_prompt: Growth


SystemPrompt = Callable[[int], str]  # by turn


def bench_growth(renderer: ChatRenderer, report: Callable[[str], None], num_turns: int = 100) -> GrowthTable:
    """Talks as both clients. Args: renderer: of the policy's model; report: told about progress."""
    clients: dict[str, SystemPrompt] = {"short, fixed": lambda _: SHORT_PROMPT, "long, changing": changing_prompt}
    found = []
    for name, system_prompt in clients.items():
        report(f"A conversation of {num_turns} turns, system prompt: {name}")
        log = asyncio.run(_talk(renderer, system_prompt, num_turns))
        found.append(_growth(name, system_prompt, log, num_turns))
    return GrowthTable(num_turns=num_turns, short_prompt=found[0], changing_prompt=found[1])


class _Script:
    """An engine (`serving.drawing.Engine`) that says as many words as the demo's answers have, others each time."""

    def __init__(self, renderer: ChatRenderer) -> None:
        self._renderer = renderer
        self._random = np.random.default_rng(0)
        self._words = sorted({word for question in ASKED for word in question.rstrip("?").lower().split()})

    async def generate(self, request: GenerateRequest) -> AsyncIterator[EngineChunk]:  # noqa: ARG002 - whatever is asked
        """A reply, in one chunk."""
        text = " ".join(self._random.choice(self._words, _ANSWER_WORDS)).capitalize() + "."
        question = (Message(role="user", content="?"),)
        _, ids = self._renderer.turn_ids(question, Message(role="assistant", content=text), "[]", "{}")
        logprobs = -self._random.exponential(0.5, len(ids)).astype(np.float32).astype(np.float64)
        yield EngineChunk(text_delta=text, ids=ids, logprobs=tuple(logprobs.tolist()), finish_reason="stop")

    async def loaded_adapters(self) -> set[str]:
        """None."""
        return set()

    async def health(self) -> bool:
        """Always."""
        return True


async def _talk(renderer: ChatRenderer, system_prompt: SystemPrompt, num_turns: int) -> MemoryLog:
    """The log of a conversation, one turn longer, so that something follows the last one that counts."""
    clock = count(_START_MS, _READ_MS).__next__
    log = MemoryLog(clock)
    async with _client(renderer, log, clock) as client:
        history: list[dict[str, str]] = []
        for turn in range(num_turns + 1):
            history.append({"role": "user", "content": ASKED[turn % len(ASKED)]})
            system = {"role": "system", "content": system_prompt(turn)}
            body = {"model": _POLICY, "messages": [system, *history], "temperature": 0.7, "max_tokens": 128}
            answer = (await client.post("/v1/chat/completions", json=body)).raise_for_status().json()
            history.append({"role": "assistant", "content": answer["choices"][0]["message"]["content"]})
    tables = MemoryTable(), MemoryTable()
    turns = TurnStage(ProcessorsConfig(), renderer, OpenTurns(*tables, clock=clock, steady=clock), log)
    for topic in (ACTIONS, NEXT_STATES):
        await turns.handle(log.records[topic.name])
    return log


def _client(renderer: ChatRenderer, log: MemoryLog, clock: Callable[[], int]) -> httpx.AsyncClient:
    config = GatewayConfig()
    app = create_app(
        config,
        engine=_Script(renderer),
        recorder=log,
        index=ConversationIndex.of(config, clock),
        routes=Routes(_POLICY),
        served=Served(renderer=renderer, base_model="scripted", context_length=_NO_CONTEXT_LIMIT),
        clock=clock,
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://gateway")


def _growth(name: str, system_prompt: SystemPrompt, log: MemoryLog, num_turns: int) -> Growth:
    actions = [event for event in log.events(ACTIONS) if isinstance(event, ActionTaken)][:num_turns]
    log_bytes = _bytes_by_turn(log, actions)
    whole_bytes = _bytes_by_turn(log, _whole(actions))
    return Growth(
        name=name,
        system_prompt_bytes=len(system_prompt(0).encode()),
        log_bytes=log_bytes,
        whole_prompt_bytes=whole_bytes,
        last_to_first=log_bytes[-1] / log_bytes[0],
        last_to_first_ten=_last_to_first(log_bytes, 10),
        last_to_first_period=_last_to_first(log_bytes, _PERIOD),
        whole_last_to_first=whole_bytes[-1] / whole_bytes[0],
    )


def _bytes_by_turn(log: MemoryLog, actions: Sequence[ActionTaken]) -> tuple[int, ...]:
    """Each action, with what the log says about it: its next state and their transition."""
    stamper = Stamper("gateway-0")
    num_bytes = {action.id: _num_bytes(stamper, action) for action in actions}
    for event in (*log.events(NEXT_STATES), *log.events(TRANSITIONS)):
        if isinstance(event, NextStateObserved | TransitionJoined) and event.action_id in num_bytes:
            num_bytes[event.action_id] += _num_bytes(stamper, event)
    return tuple(num_bytes.values())


def _num_bytes(stamper: Stamper, event: Event) -> int:
    record = stamper.stamp(encode(TOPIC_OF[type(event)], event, "gateway-0"))
    headers = sum(len(name) + len(value) for name, value in record.headers)
    return len(record.key) + headers + len(record.value)


def _last_to_first(by_turn: Sequence[int], num_turns: int) -> float:
    return mean(by_turn[-num_turns:]) / mean(by_turn[:num_turns])


def _whole(actions: Sequence[ActionTaken]) -> list[ActionTaken]:
    """The same actions with their prompts in full."""
    known: dict[str | None, Resolved | None] = {None: None}
    found = []
    for action in actions:
        known[action.id] = read = resolve(action, known[action.base_action_id])
        found.append(replace(action, **delta(read.messages, read.prompt_ids, None).as_fields()))
    return found
