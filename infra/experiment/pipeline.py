"""`Pipeline`: gateway, stages and trainer around one log in memory: the real pipeline's own code, in one process.

    users ──HTTP──► gateway app ──► log ──► turn, assess and pack stages ──► batches ──► trainer ──► engine, routes

What differs from a stack: the log lies in memory, stages are called by `settle` instead of Faust, and the engine draws
in this process. Time stands nearly still, so nothing here depends on how fast the machine is.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx
from starlette.applications import Starlette

from infra.experiment.engine import LockstepEngine
from infra.experiment.judging import extractor_of, judge_of
from infra.experiment.methods import Method
from infra.experiment.world import processors_config
from infra.home import Home
from processors.assess_stage import AssessStage
from processors.open_turns import OpenTurns
from processors.pack_stage import PackStage
from processors.stage import Stage
from processors.turn_stage import READS, TurnStage
from schemas.events import CheckpointPublished, PolicyLoaded
from serving.chat import Served
from serving.config import GatewayConfig
from serving.gateway import create_app
from serving.rendering import ChatRenderer
from serving.routing import Routes
from streams.conversation import ConversationIndex
from streams.erasures import Erasures
from streams.memory import MemoryLog, MemoryTable
from streams.recorded import Recorded
from streams.topics import ACTIONS, BATCHES, FEEDBACK, HINTS, NEXT_STATES, SAMPLES, TRANSITIONS, VERDICTS, Topic
from trainer.backends.base import Backend
from trainer.trainer import Trainer

POLICY = "assistant"
_START_MS = 1_800_000_000_000
_DELIVERED = (ACTIONS, NEXT_STATES, FEEDBACK, TRANSITIONS, VERDICTS, HINTS, SAMPLES)


class Ticks:
    """A clock that goes on by one millisecond each time it is read."""

    def __init__(self) -> None:
        self._times_ms = itertools.count(_START_MS)

    def __call__(self) -> int:
        """Milliseconds since 1970."""
        return next(self._times_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """What trains, and whose weights the engine takes."""

    trainer: Trainer
    backend: Backend


class Pipeline:
    """Build it with `assemble`. Args: learner: None where the method does not train."""

    def __init__(
        self,
        *,
        app: Starlette,
        log: MemoryLog,
        stages: Mapping[Topic, Stage],
        engine: LockstepEngine,
        routes: Routes,
        learner: Learner | None,
    ) -> None:
        self.log = log
        self.app = app
        self.engine = engine
        self._stages = stages
        self._routes = routes
        self._learner = learner
        self._num_read: dict[Topic, int] = dict.fromkeys((*_DELIVERED, BATCHES), 0)

    @classmethod
    def assemble(
        cls,
        method: Method,
        *,
        renderer: ChatRenderer,
        model_path: Path,
        context_length: int,
        engine: LockstepEngine,
        learner: Learner | None,
        home: Home,
    ) -> Self:
        """The pipeline of a method. Args: home: where the judge's classifier lies."""
        clock = Ticks()
        log, routes = MemoryLog(clock), Routes(POLICY)
        gateway = GatewayConfig()
        index = ConversationIndex.of(gateway, clock)
        served = Served(renderer=renderer, base_model=model_path.name, context_length=context_length)
        app = create_app(gateway, engine=engine, recorder=log, index=index, routes=routes, served=served, clock=clock)
        stages = _stages(method, log, renderer, home, clock)
        return cls(app=app, log=log, stages=stages, engine=engine, routes=routes, learner=learner)

    def client(self) -> httpx.AsyncClient:
        """A client of the gateway."""
        return httpx.AsyncClient(transport=httpx.ASGITransport(app=self.app), base_url="http://gateway")

    async def settle(self) -> None:
        """Deliver what is in the log to its stages, in order, until nothing new appears."""
        while any([await self._deliver(topic) for topic in _DELIVERED]):
            pass

    def train(self) -> list[CheckpointPublished]:
        """Train the batches that were sealed since the last time; the engine serves the newest version afterwards."""
        published = [self._train(record) for record in self._unread(BATCHES)] if self._learner else []
        return [checkpoint for checkpoint in published if checkpoint is not None]

    async def _deliver(self, topic: Topic) -> bool:
        records = self._unread(topic)
        if records:
            await self._stages[topic].handle(records)
        return bool(records)

    def _unread(self, topic: Topic) -> Sequence[Recorded]:
        records = self.log.records[topic.name][self._num_read[topic] :]
        self._num_read[topic] += len(records)
        return records

    def _train(self, record: Recorded) -> CheckpointPublished | None:
        assert self._learner is not None
        publication = self._learner.trainer.train(record, lambda: None, erasures=Erasures())
        self._learner.trainer.adopt(publication)
        self._learner.trainer.prune(lambda: None)
        for rejection in publication.rejected:
            self.log.append(rejection)
        for skip in publication.skipped:
            self.log.append(skip)
        if publication.checkpoint is not None:
            self.log.append(publication.checkpoint)
            self._load(publication.checkpoint, self._learner.backend)
        return publication.checkpoint

    def _load(self, checkpoint: CheckpointPublished, backend: Backend) -> None:
        adapter = f"{checkpoint.policy}@{checkpoint.version}"
        self.engine.load(adapter, backend.adapter())
        self._routes.apply(
            PolicyLoaded(
                id=f"loaded-{checkpoint.id}",
                time_ms=checkpoint.time_ms,
                policy=checkpoint.policy,
                version=checkpoint.version,
                checkpoint_id=checkpoint.id,
                engine="lockstep",
                adapter=adapter,
                load_ms=0,
            )
        )


def _stages(method: Method, log: MemoryLog, renderer: ChatRenderer, home: Home, clock: Ticks) -> dict[Topic, Stage]:
    config = processors_config(method)
    turns = TurnStage(config, renderer, OpenTurns(MemoryTable(), MemoryTable(), clock=clock, steady=clock), log)
    assess = AssessStage(judge_of(method, home), extractor_of(method), log, log.read)
    pack = PackStage(config, log, log.read, clock=clock, steady=clock)
    by_turn: dict[Topic, Stage] = dict.fromkeys(READS, turns)
    return by_turn | {TRANSITIONS: assess, SAMPLES: pack}
