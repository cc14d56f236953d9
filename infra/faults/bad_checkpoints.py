"""Bad checkpoints: 200 generated cases against the real reloader; none may reach an engine.

A stand-in engine records what reaches it. For each case a good version serves first, then a bad one is published, as
real bytes in a real folder, with a real manifest. It may not reach the engine, nor end the reloader; an event must say
why, in the words of the check that is meant for it: who is turned away for another reason has shown nothing of that
check. And the good version serves on. Then a good one follows, which must be taken: what was bad may not be in its way.
A case in which any of this does not hold counts as lost.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

from infra.faults.broken_checkpoints import KINDS, POLICY, Forge, Kind
from infra.faults.outcome import Fault, Outcome, Trial
from schemas.events import Event, EventRejected, Message, PolicyLoaded, PolicyRefused
from serving.checkpoint_check import Served
from serving.config import EngineConfig, GateConfig, ReloadConfig
from serving.gate import Gate
from serving.held_out import OURS
from serving.reloader import Reloader
from serving.routing import Routes
from serving.sglang_wire import EngineChunk, GenerateRequest
from streams.recorded import Recorded
from streams.topics import Topic

NUM_CASES = 200
NUM_SHORT_CASES = len(KINDS) * 2
_TOKENS = tuple(range(8))
_LOGPROB = -2.0


@dataclass(slots=True)
class RecordingEngine:
    """An engine that takes everything, answers everything alike, and remembers which folders reached it."""

    loaded: dict[str, Path] = field(default_factory=dict)
    reached: list[tuple[str, Path]] = field(default_factory=list)

    async def load_adapter(self, name: str, path: Path) -> None:
        """Take it."""
        self.reached.append((name, path))
        self.loaded[name] = path

    async def unload_adapter(self, name: str) -> None:
        """Forget it."""
        del self.loaded[name]

    async def loaded_adapters(self) -> set[str]:
        """All of them."""
        return set(self.loaded)

    async def instance(self) -> str:
        """It never restarts."""
        return "recording"

    async def generate(self, request: GenerateRequest) -> AsyncIterator[EngineChunk]:  # noqa: ARG002
        """The same answer to everything: whatever gets that far is promoted."""
        logprobs = (_LOGPROB,) * len(_TOKENS)
        yield EngineChunk(text_delta="", ids=_TOKENS, logprobs=logprobs, finish_reason="stop")

    async def score(
        self,
        prompt_ids: tuple[int, ...],  # noqa: ARG002
        response_ids: tuple[int, ...],
        adapter: str | None,  # noqa: ARG002
    ) -> tuple[float, ...]:
        """As it was drawn."""
        return (_LOGPROB,) * len(response_ids)


class _Plain:
    """A renderer for an engine that does not read."""

    def render(self, messages: Sequence[Message], tools: str, template_arguments: str) -> tuple[int, ...]:  # noqa: ARG002
        return (1,)

    def decode(self, ids: Sequence[int]) -> str:  # noqa: ARG002
        return ""


@dataclass(slots=True)
class _Log:
    events: list[Event] = field(default_factory=list)

    async def send(self, topic: Topic, event: Event) -> None:  # noqa: ARG002 - the event knows it
        self.events.append(event)


@dataclass(slots=True)
class _Case:
    """One bad checkpoint, with a reloader of its own, so that a failure has one cause."""

    name: str
    kind: Kind
    forge: Forge
    served: Served
    engine: RecordingEngine = field(default_factory=RecordingEngine)
    log: _Log = field(default_factory=_Log)

    async def wrong(self) -> str | None:
        """A good version, a bad one, a good one; the first thing that did not hold, as a sentence."""
        gate = Gate(config=GateConfig(), engine=self.engine, renderer=_Plain(), questions=OURS)
        reloader = Reloader(ReloadConfig(), POLICY, self.served, self.engine, self.log, gate=gate)
        good, bad = self.forge.good(3), self.kind.spoil(self.forge, 4)
        await _hear(reloader, good)
        num_reached, num_said = len(self.engine.reached), len(self.log.events)
        try:
            await _hear(reloader, bad)
        except Exception as error:
            return f"{self.name} ended the reloader with {type(error).__name__}."
        if len(self.engine.reached) > num_reached:
            return f"{self.name} reached the engine."
        said = [one.reason for one in self.log.events[num_said:] if isinstance(one, EventRejected | PolicyRefused)]
        if not any(said):
            return f"{self.name} was turned away without a word."
        for reason in said:
            if not self.kind.explains(reason):
                return f"{self.name} was refused for another reason: {reason}"
        if _routed(self.log) != 3 or f"{POLICY}@3" not in self.engine.loaded:
            return f"After {self.name} the last good version served no longer."
        await _hear(reloader, self.forge.good(5, parent=3))
        return None if _routed(self.log) == 5 else f"After {self.name} the next good version was not taken."


async def _hear(reloader: Reloader, published: Recorded) -> None:
    """Two passes: what a first one puts off, a second one does."""
    reloader.note(published)
    await reloader.settle()
    await reloader.settle()


def _run(trial: Trial) -> Outcome:
    num_cases = NUM_SHORT_CASES if trial.is_short else NUM_CASES
    forge = Forge(trial.folder, random.Random(trial.seed))
    served = Served.of(forge.base, EngineConfig(max_lora_rank=forge.rank), ReloadConfig())
    tried: Counter[str] = Counter()
    wrong: list[str] = []
    for number, (name, kind) in zip(range(num_cases), cycle(KINDS.items()), strict=False):
        found = asyncio.run(_Case(f"A {name} (case {number})", kind, forge, served).wrong())
        wrong += [found] if found else []
        tried[name] += 1
        forge.clean()
    by_kind = ", ".join(f"{count} {kind}" for kind, count in tried.items())
    return Outcome(
        tried=tried.total(),
        lost=len(wrong),
        twice=0,
        wrong=tuple(wrong),
        note=f"None reached an engine, each is refused for what is wrong with it: {by_kind}." if not wrong else by_kind,
    )


def _routed(log: _Log) -> int:
    """The version that a gateway which hears this log routes to."""
    routes = Routes(POLICY)
    for event in log.events:
        if isinstance(event, PolicyLoaded):
            routes.apply(event)
    return routes.versions[POLICY]


FAULTS: Sequence[Fault] = (Fault(name="a bad checkpoint", run=_run),)
