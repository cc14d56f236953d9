"""`Rig`: the world in this process: two models, a judge, and the pipeline around them, loaded and put together.

Who talks at the same time is answered together (engine.py), and nothing trains while they talk, so a run depends on
nothing but its seed.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from infra.experiment.decoder import Decoder
from infra.experiment.drift import Drift, measure_drift
from infra.experiment.engine import LockstepEngine, Seat
from infra.experiment.llama import Llama
from infra.experiment.methods import Method
from infra.experiment.pipeline import POLICY, Learner, Pipeline
from infra.experiment.world import side_answers, trainer_config
from infra.home import Home
from schemas.events import ActionTaken, CheckpointPublished
from serving.rendering import ChatRenderer
from streams.checkpoints import identify_base
from streams.topics import ACTIONS
from trainer.backends.torch import TorchBackend
from trainer.checkpoint import CheckpointStore
from trainer.config import TrainerConfig
from trainer.resume import Committed
from trainer.trainer import Trainer


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """A `World`."""

    pipeline: Pipeline
    backend: TorchBackend
    renderer: ChatRenderer
    stop_ids: frozenset[int]

    def client(self) -> httpx.AsyncClient:
        """A client of the pipeline's gateway."""
        return self.pipeline.client()

    def seats(self, count: int) -> list[Seat]:
        """Seats at the engine, which answers when all of them wait."""
        return [self.pipeline.engine.join() for _ in range(count)]

    async def learn(self) -> list[CheckpointPublished]:
        """Work through what was said, then train."""
        await self.pipeline.settle()
        return self.pipeline.train()

    async def side_answers(self) -> list[ActionTaken]:
        """From the log in memory."""
        return side_answers(self.pipeline.log.events(ACTIONS))

    async def drift(self, answers: Sequence[ActionTaken]) -> Drift:
        """Of the weights that were trained here."""
        return measure_drift(self.backend, self.renderer, self.stop_ids, answers)


@asynccontextmanager
async def open_rig(method: Method, seed: int, *, model_path: Path, home: Home) -> AsyncIterator[Rig]:
    """Loads it. Args: home: of the judge's classifier."""
    with TemporaryDirectory() as folder:
        yield _load(method, seed, model_path=model_path, home=home, checkpoints=Path(folder))


def _load(method: Method, seed: int, *, model_path: Path, home: Home, checkpoints: Path) -> Rig:
    config = trainer_config(method, seed)
    backend = TorchBackend.load(model_path, config)
    renderer, model = ChatRenderer(model_path), Llama.load(model_path)
    engine = LockstepEngine(Decoder(model), renderer, scale=config.lora_alpha / config.lora_rank)
    pipeline = Pipeline.assemble(
        method,
        renderer=renderer,
        model_path=model_path,
        context_length=model.context_length,
        engine=engine,
        learner=_learner(config, backend, model_path, checkpoints) if method.objective else None,
        home=home,
    )
    return Rig(pipeline=pipeline, backend=backend, renderer=renderer, stop_ids=model.stop_ids)


def _learner(config: TrainerConfig, backend: TorchBackend, model_path: Path, checkpoints: Path) -> Learner:
    trainer = Trainer(
        config=config,
        policy=POLICY,
        base_model=identify_base(model_path),
        backend=backend,
        store=CheckpointStore(checkpoints, POLICY),
        committed=Committed(),
    )
    return Learner(trainer=trainer, backend=backend)
