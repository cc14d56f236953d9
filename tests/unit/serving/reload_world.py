"""A reloader on an engine and a log in memory, with real checkpoint folders."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from schemas.events import Event, EventRejected, Message, PolicyLoaded, PolicyPromoted, PolicyRefused
from serving.checkpoint_check import Served
from serving.config import EngineConfig, GateConfig, ReloadConfig
from serving.errors import EngineRefusedError
from serving.gate import Gate
from serving.held_out import HeldOut
from serving.reloader import Reloader
from serving.routing import Routes
from serving.sglang_wire import EngineChunk, GenerateRequest
from streams.topics import Topic
from tests.unit.serving.checkpoints_made import RANK, Publisher, make_base


@dataclass
class Engine:
    """An engine with room for `room` adapters that lets its oldest go when it is full, as SGLang does."""

    room: int = 4
    loaded: dict[str, Path] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    boot: str = "boot-1"
    error: Exception | None = None  # raised by the next load
    refuses: set[str] = field(default_factory=set)  # names that no load takes
    takes_although_it_refuses: bool = False
    num_tokens: int = 8
    own: dict[str, float] = field(default_factory=dict)  # adapter -> log-prob of its own tokens; -2 unless given
    others: dict[str, float] = field(default_factory=dict)  # adapter -> log-prob of what others drew; "" is the base
    asked: list[str] = field(default_factory=list)  # adapters that drew
    scored: list[str | None] = field(default_factory=list)
    away: Exception | None = None  # raised by each answer

    async def load_adapter(self, name: str, path: Path) -> None:
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        if name in self.refuses:
            if self.takes_although_it_refuses:
                self.loaded[name] = path
            raise EngineRefusedError(400, f"{name} is not loadable")
        assert name not in self.loaded, "SGLang refuses a name that is taken"
        assert len(self.loaded) < self.room, "SGLang would choose by itself which one leaves"
        self.loaded[name] = path
        self.calls.append(f"+{name}")

    async def unload_adapter(self, name: str) -> None:
        del self.loaded[name]
        self.calls.append(f"-{name}")

    async def loaded_adapters(self) -> set[str]:
        return set(self.loaded)

    async def instance(self) -> str:
        return self.boot

    def restart(self) -> None:
        self.loaded.clear()
        self.boot += "'"

    async def generate(self, request: GenerateRequest) -> AsyncIterator[EngineChunk]:
        """An answer of `num_tokens` different tokens; each has the log-prob that its adapter gives to all."""
        assert request.adapter in self.loaded
        self.asked.append(str(request.adapter))
        if self.away is not None:
            raise self.away
        ids = tuple(range(self.num_tokens))
        logprobs = (self.own.get(request.adapter or "", -2.0),) * self.num_tokens
        yield EngineChunk(text_delta="", ids=ids, logprobs=logprobs, finish_reason="stop")

    async def score(
        self, prompt_ids: tuple[int, ...], response_ids: tuple[int, ...], adapter: str | None
    ) -> tuple[float, ...]:
        assert adapter is None or adapter in self.loaded
        self.scored.append(adapter)
        return (self.others.get(adapter or "", -2.0),) * len(response_ids)


@dataclass
class MemoryLog:
    """Keeps what is sent; `error` is raised by the next send instead, `late` beside it."""

    events: list[Event] = field(default_factory=list)
    error: Exception | None = None
    late: Exception | None = None

    async def send(self, topic: Topic, event: Event) -> None:
        if self.late is not None:
            error, self.late = self.late, None
            self.events.append(event)
            raise error
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        assert type(event) in topic.types
        self.events.append(event)

    @property
    def loads(self) -> list[tuple[int, str]]:
        return [(event.version, event.engine) for event in self.events if isinstance(event, PolicyLoaded)]

    @property
    def decisions(self) -> list[PolicyPromoted | PolicyRefused]:
        return [event for event in self.events if isinstance(event, PolicyPromoted | PolicyRefused)]

    @property
    def rejections(self) -> list[EventRejected]:
        return [event for event in self.events if isinstance(event, EventRejected)]


class World:
    """A reloader on fakes, and a publisher of real folders."""

    def __init__(self, root: Path, **config: float) -> None:
        self.base = make_base(root / "base")
        self.publisher = Publisher(root / "versions", self.base)
        self.engine, self.log = Engine(), MemoryLog()
        self.config = ReloadConfig(**{"keep_versions": 2, **config})  # type: ignore[arg-type]
        self.start()

    def start(self) -> None:
        engine = EngineConfig(max_lora_rank=RANK, max_loaded_loras=4)
        served = Served.of(self.base, engine, self.config)
        self.reloader = Reloader(self.config, "p", served, self.engine, self.log, gate=self.gate())

    def gate(self) -> Gate | None:
        return None

    async def publish(self, *versions: int) -> None:
        for version in versions:
            self.reloader.note(self.publisher.publish(version))
        await self.reloader.settle()


class Mute:
    """A renderer whose every prompt is one token, and whose every text says how many there are."""

    def render(self, messages: Sequence[Message], tools: str, template_arguments: str) -> tuple[int, ...]:
        return (1,)

    def decode(self, ids: Sequence[int]) -> str:
        return f"{len(ids)} tokens"


class GatedWorld(World):
    """The same with a gate. `bounds` are its settings, `questions` what it asks."""

    bounds = GateConfig()
    questions: tuple[HeldOut, ...] = (HeldOut(question="Why?"), HeldOut(question="How?"))

    def gate(self) -> Gate | None:
        return Gate(config=self.bounds, engine=self.engine, renderer=Mute(), questions=self.questions)


def routed(world: World) -> int:
    """The version that a gateway which hears the reloads routes to."""
    routes = Routes("p")
    for event in world.log.events:
        if isinstance(event, PolicyLoaded):
            routes.apply(event)
    return routes.versions["p"]
