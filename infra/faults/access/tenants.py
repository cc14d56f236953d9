"""`try_tenants`: one tenant has every id, word and session name of another's, and tries them at every door.

The gateway is the real application, the turns' stage the real one, the log lies in memory; the engine is scripted. What
the owner said and was told is the ledger. Held against it: what the stranger was answered, and what the log and the
stage made of it. Events are also written to the log past the gateway, as who may write to Kafka could.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import count

import httpx

from infra.bench.gateway.script import Script
from infra.faults.access.attacks import DOORS, FORGED, Theirs, forged
from infra.faults.outcome import Outcome, Trial
from infra.prepare import model_folder
from processors.config import ProcessorsConfig
from processors.open_turns import OpenTurns
from processors.turn_stage import READS, TurnStage
from schemas.events import ActionTaken, FeedbackGiven, NextStateObserved, TransitionJoined
from serving.chat import Served
from serving.config import GatewayConfig
from serving.gateway import create_app
from serving.keys import key_digest
from serving.rendering import ChatRenderer
from serving.routing import Routes
from serving.sglang_wire import EngineChunk, GenerateRequest
from streams.conversation import ConversationIndex
from streams.memory import MemoryLog, MemoryTable
from streams.topics import ACTIONS, FEEDBACK, NEXT_STATES, TRANSITIONS

POLICY = "assistant"
OWNER, STRANGER = "owner", "stranger"
NUM_TALKS, NUM_TALKS_SHORT = 200, 3
REFUSED = range(400, 500)


class ScriptedEngine:
    """An engine of the gateway's that says one answer after the other, each whole and at once."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._numbers = count()

    async def generate(self, request: GenerateRequest) -> AsyncIterator[EngineChunk]:  # noqa: ARG002 - whatever it is
        """The next answer."""
        tokens = self._script.answer(next(self._numbers))
        yield EngineChunk(
            text_delta="".join(token.text for token in tokens),
            ids=tuple(token.id for token in tokens),
            logprobs=(-1.0,) * len(tokens),
            finish_reason="stop",
        )

    async def loaded_adapters(self) -> set[str]:
        """None."""
        return set()

    async def health(self) -> bool:
        """Always."""
        return True


@dataclass(slots=True)
class Tried:
    """What came of the attempts."""

    count: int = 0
    wrong: list[str] = field(default_factory=list)


def try_tenants(trial: Trial) -> Outcome:
    """Conversations of the owner, each then tried at every door by the stranger, in an order drawn at random."""
    return asyncio.run(_try(trial))


async def _try(trial: Trial) -> Outcome:
    model_path = model_folder(trial.settings, trial.report)
    renderer = ChatRenderer(model_path)
    log, clock, chance = MemoryLog(), count(1_800_000_000_000), random.Random(trial.seed)
    config = GatewayConfig(api_keys={key_digest(key): key for key in (OWNER, STRANGER)})
    served = Served(renderer=renderer, base_model=model_path.name, context_length=2048)
    app = create_app(
        config,
        engine=ScriptedEngine(Script.of(renderer)),
        recorder=log,
        index=ConversationIndex.of(config, lambda: next(clock)),
        routes=Routes(POLICY),
        served=served,
        clock=lambda: next(clock),
    )
    tried = Tried()
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        for number in range(NUM_TALKS_SHORT if trial.is_short else NUM_TALKS):
            theirs = await _talk(client, log, f"vault {trial.seed}-{number} {chance.random()}", f"session-{number}")
            for door in chance.sample(list(DOORS), len(DOORS)):
                await _try_door(client, door, theirs, tried)
            for event in forged(theirs, STRANGER):
                log.append(event)
                tried.count += 1
            await _go_on(client, theirs)
    tried.wrong += _crossings(log)
    stage = TurnStage(ProcessorsConfig(), renderer, OpenTurns(MemoryTable(), MemoryTable()), log)
    tried.wrong += await _influenced(stage, log)
    note = f"{len(DOORS)} doors at the gateway, and events written past it"
    return Outcome(tried=tried.count, lost=0, twice=0, wrong=tuple(tried.wrong[:20]), note=note)


async def _talk(client: httpx.AsyncClient, log: MemoryLog, secret: str, session: str) -> Theirs:
    """A first turn of the owner's."""
    response = await client.post(
        "/v1/responses",
        json={"model": POLICY, "input": secret, "instructions": f"Keep {secret} to yourself."},
        headers={"authorization": f"Bearer {OWNER}", "x-session-id": session},
    )
    action = log.records[ACTIONS.name][-1].event
    assert isinstance(action, ActionTaken), response.text
    return Theirs(action=action, secret=secret, session=session)


async def _go_on(client: httpx.AsyncClient, theirs: Theirs) -> None:
    """The owner's own next turn and thumb: these count."""
    owner = {"authorization": f"Bearer {OWNER}"}
    body = {"model": POLICY, "input": "Thanks!", "previous_response_id": f"resp_{theirs.action.id}"}
    await client.post("/v1/responses", json=body, headers=owner | {"x-session-id": theirs.session})
    await client.post("/v1/feedback", json={"action_id": theirs.action.id, "thumb": 1}, headers=owner)


async def _try_door(client: httpx.AsyncClient, door: str, theirs: Theirs, tried: Tried) -> None:
    for request in DOORS[door](theirs):
        response = await client.send(request.sent_by(client, STRANGER))
        tried.count += 1
        if request.is_refused and response.status_code not in REFUSED:
            tried.wrong.append(f"{door} was answered with {response.status_code}.")
        if theirs.secret in response.text or theirs.action.reply.content in response.text:
            tried.wrong.append(f"{door} told the other's words.")


def _crossings(log: MemoryLog) -> list[str]:
    """Records of one tenant, written by the gateway, that name an action or a conversation of the other's."""
    said = [record.event for topic in (ACTIONS, NEXT_STATES, FEEDBACK) for record in log.records[topic.name]]
    events = [event for event in said if event is not None and event.subject != FORGED]
    own = {event.id: event.tenant for event in events if isinstance(event, ActionTaken)}
    conversations = {event.conversation_id: event.tenant for event in events if isinstance(event, ActionTaken)}
    wrong = []
    for event in events:
        named = [getattr(event, name, None) for name in ("action_id", "parent_action_id", "base_action_id")]
        if any(own.get(name or "", event.tenant) != event.tenant for name in named):
            wrong.append(f"{event.type} {event.id} of {event.tenant} names an action of another tenant.")
        if conversations.get(event.conversation_id, event.tenant) != event.tenant:
            wrong.append(f"{event.type} {event.id} of {event.tenant} is in a conversation of another tenant.")
    return wrong


async def _influenced(stage: TurnStage, log: MemoryLog) -> list[str]:
    """What the stage made of it all: a transition of the owner's holds the owner's own next state, and exists."""
    for topic in READS:
        await stage.handle(list(log.records[topic.name]))
    actions = {e.id: e for record in log.records[ACTIONS.name] if isinstance(e := record.event, ActionTaken)}
    states = {e.id: e for record in log.records[NEXT_STATES.name] if isinstance(e := record.event, NextStateObserved)}
    joined = [e for record in log.records[TRANSITIONS.name] if isinstance(e := record.event, TransitionJoined)]
    wrong = [
        f"Transition {one.id} joins an action and a next state of two tenants."
        for one in joined
        if states[one.next_state_id].tenant != actions[one.action_id].tenant
    ]
    expected = {
        e.action_id
        for record in log.records[FEEDBACK.name]
        if isinstance(e := record.event, FeedbackGiven) and e.tenant == OWNER
    }
    lost = expected - {one.action_id for one in joined}
    return [*wrong, *(f"The owner's turn {action_id} never got its next state." for action_id in lost)]
