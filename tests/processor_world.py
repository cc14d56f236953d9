"""A whole pipeline in memory, with exact small models: for tests of processors in which Kafka is not the point.

The log and its tables are `streams.memory`'s. `LetterRenderer` has one token per letter. `EchoJudge` and
`EchoExtractor` do what the next state's words tell them to.
"""

from collections.abc import Sequence
from dataclasses import replace

from processors.assess_stage import AssessStage
from processors.config import ProcessorsConfig
from processors.open_turns import OpenTurns
from processors.pack_stage import PackStage
from processors.ports import Hints, Judgement
from processors.stage import Emits, Stage
from processors.turn_stage import TurnStage
from schemas.events import (
    ActionTaken,
    Event,
    FeedbackGiven,
    Message,
    NextStateObserved,
    Sampling,
    TransitionJoined,
    VersionSpan,
)
from schemas.prompt import Resolved, delta
from streams.config import KafkaConfig
from streams.memory import MemoryLog, MemoryTable
from streams.topics import ACTIONS, FEEDBACK, HINTS, NEXT_STATES, SAMPLES, TRANSITIONS, VERDICTS, Topic

CONFIG = KafkaConfig()
GOOD, BAD, UNRELATED, UNSURE, HINTED = "thanks", "wrong", "the weather?", "hm", "wrong, hint: be kinder to people"


class LetterRenderer:
    """One token per letter; the hint goes behind the last message."""

    template_digest = "letters"
    vocab_size = 0x110000
    context_length = 10_000

    def render(self, messages: Sequence[Message]) -> tuple[int, ...]:
        return tuple(ord(letter) for message in messages for letter in f"{message.role}:{message.content}\n")

    def turn_ids(
        self, messages: Sequence[Message], reply: Message, tools: str, template_arguments: str
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return self.render(messages), self.render((reply,))

    def teacher_prompt_ids(
        self, messages: tuple[Message, ...], tools: str, template_arguments: str, hint: str
    ) -> tuple[int, ...]:
        return self.render((*messages[:-1], replace(messages[-1], content=f"{messages[-1].content} ({hint})")))


class EchoJudge:
    """Scores by the first word of the reply: thanks +1, wrong -1, hm abstains, all else 0. Counts what it is asked."""

    name, version = "echo", "1"

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def judge(self, transitions: Sequence[TransitionJoined]) -> list[Judgement]:
        self.asked += [transition.id for transition in transitions]
        return [self._one(transition.next_messages[0].content) for transition in transitions]

    def _one(self, text: str) -> Judgement:
        if text.startswith(UNSURE):
            return Judgement(score=None, votes=(None,), abstention="it said hm")
        score = 1 if text.startswith(GOOD) else -1 if text.startswith(BAD) else 0
        return Judgement(score=score, votes=(score,))


class EchoExtractor:
    """The hint is what stands behind "hint: "."""

    name, version = "echo-hints", "1"

    async def extract(self, transition: TransitionJoined, judgement: Judgement) -> Hints:
        _, _, hint = transition.next_messages[0].content.partition("hint: ")
        return Hints(hints=(hint,) if hint else (), reason="" if hint else "no hint in it")


class WorldLog(MemoryLog):
    """A log that can be asked what it says."""

    def by_id(self, topic: Topic) -> dict[str, Event]:
        """What a topic says, however often; the same id must say the same."""
        said: dict[str, Event] = {}
        for event in self.events(topic):
            assert said.setdefault(event.id, event) == event, "two contents under one id"
        return said


class World:
    """Log, tables and stages; `restart` is a crash: what is not in log or tables is gone."""

    def __init__(self, config: ProcessorsConfig | None = None) -> None:
        self.config = config or ProcessorsConfig(batch_size=2)
        self.now_ms = 1_800_000_000_000
        self.steady_ms = 0
        self.log = WorldLog(self.clock)
        self.actions, self.turns = MemoryTable(), MemoryTable()
        self.judge = EchoJudge()
        self.read: dict[str, int] = {}  # records handed out, per topic
        self.restart()

    def clock(self) -> int:
        return self.now_ms

    def steady(self) -> int:
        return self.steady_ms

    def wait(self, duration_s: float) -> None:
        """Time goes by, for both clocks; who sets `now_ms` sets the wall clock alone."""
        self.now_ms += int(duration_s * 1000)
        self.steady_ms += int(duration_s * 1000)

    def emitter(self) -> Emits:
        """What the stages write through until the next restart."""
        return self.log

    def restart(self) -> None:
        emitter = self.emitter()
        self.open_turns = OpenTurns(self.actions, self.turns, clock=self.clock, steady=self.steady)
        self.turn_stage = TurnStage(self.config, LetterRenderer(), self.open_turns, emitter)
        self.assess_stage = AssessStage(self.judge, EchoExtractor(), emitter, self.log.read)
        self.pack_stage = PackStage(self.config, emitter, self.log.read, clock=self.clock, steady=self.steady)

    def stage_of(self, topic: Topic) -> Stage:
        return {TRANSITIONS: self.assess_stage, SAMPLES: self.pack_stage}.get(topic, self.turn_stage)

    async def settle(self) -> None:
        """Deliver everything, in order, until nothing new appears."""
        progress = True
        while progress:
            progress = False
            for topic in (ACTIONS, NEXT_STATES, FEEDBACK, TRANSITIONS, VERDICTS, HINTS, SAMPLES):
                progress |= await self.deliver(topic, 1_000)

    async def deliver(self, topic: Topic, num_records: int) -> bool:
        """Hand the next records of a topic to its stage."""
        start = self.read.get(topic.name, 0)
        records = self.log.records[topic.name][start : start + num_records]
        self.read[topic.name] = start + len(records)
        if records:
            await self.stage_of(topic).handle(records)
        return bool(records)


async def settled(*events: Event, config: ProcessorsConfig | None = None) -> World:
    """A world that has all of these, and all that follows from them."""
    world = World(config)
    for event in events:
        world.log.append(event)
    await world.settle()
    return world


def user(text: str) -> Message:
    return Message(role="user", content=text)


def action(
    action_id: str = "a-1",
    *,
    messages: tuple[Message, ...] = (user("hello"),),
    reply: str = "hi",
    conversation: str = "c-1",
    base: Resolved | None = None,
    policy: str = "assistant",
    **changes: object,
) -> ActionTaken:
    """A recorded action with real ids and log-probs for its letters."""
    ids = tuple(map(ord, reply))
    stored = delta(messages, LetterRenderer().render(messages), base)
    taken = ActionTaken(
        id=action_id,
        time_ms=1_000,
        policy=policy,
        conversation_id=conversation,
        subject="ada",
        turn=sum(message.role == "assistant" for message in messages),
        request_id=f"r-{action_id}",
        **stored.as_fields(),
        template_digest="letters",
        reply=Message(role="assistant", content=reply),
        model="assistant",
        sampling=Sampling(temperature=0.7),
        response_ids=ids,
        response_logprobs=tuple(-letter / 1000 for letter in ids),
        token_versions=(VersionSpan(version=0, start=0, end=len(ids)),) if ids else (),
        finish_reason="stop",
    )
    return replace(taken, **changes)  # type: ignore[arg-type]


def next_state(action_id: str = "a-1", text: str = GOOD, **changes: object) -> NextStateObserved:
    """A user's reply to an action."""
    observed = NextStateObserved(
        id=f"n-{action_id}",
        time_ms=2_000,
        policy="assistant",
        conversation_id="c-1",
        subject="ada",
        action_id=action_id,
        messages=(user(text),),
    )
    return replace(observed, **changes)  # type: ignore[arg-type]


def ended(action_id: str = "a-1", **changes: object) -> NextStateObserved:
    """That nothing followed."""
    end = {"id": f"end-{action_id}", "kind": "ended", "messages": (), "ended_reason": "timeout"}
    return next_state(action_id, **(end | changes))


def thumb(action_id: str = "a-1", said: int = 1, **changes: object) -> FeedbackGiven:
    """Somebody's thumb on an action."""
    given = FeedbackGiven(
        id=f"f-{action_id}",
        time_ms=3_000,
        policy="assistant",
        conversation_id="c-1",
        subject="ada",
        action_id=action_id,
        thumb=1 if said > 0 else -1,
    )
    return replace(given, **changes)  # type: ignore[arg-type]


def resolved(taken: ActionTaken, messages: tuple[Message, ...]) -> Resolved:
    """The whole of what an action read."""
    return Resolved(
        action_id=taken.id,
        messages=messages,
        prompt_ids=LetterRenderer().render(messages),
        reply=taken.reply,
        response_ids=taken.response_ids,
    )
