"""`World`: where the users of a run talk: a gateway, and all that learns from what is said there.

There are two, and a run cannot tell them apart: the pipeline in this process (rig.py), which is fast and gives the same
for the same seed, and a whole stack with Kafka and SGLang (live.py), which shows that the other one is right.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Protocol

import httpx

from infra.experiment.drift import Drift
from infra.experiment.methods import Method
from processors.config import ProcessorsConfig
from schemas.events import ActionTaken, CheckpointPublished, Event
from trainer.config import TrainerConfig

KEPT_CHECKPOINTS = 5  # as many as parity may want to score again; nobody needs them after the run


class World(Protocol):
    """One policy from its base model on."""

    def client(self) -> httpx.AsyncClient:
        """A client of the gateway."""

    def seats(self, count: int) -> Sequence[AbstractContextManager[None]]:
        """Places for those who talk at the same time; each is left when its `with` ends."""

    async def learn(self) -> Sequence[CheckpointPublished]:
        """Wait until all that was said is judged, packed, trained as far as it fills batches, and served.

        Returns: the versions that are new since the last call, oldest first.
        """

    async def side_answers(self) -> list[ActionTaken]:
        """The answers so far to requests that were not for training."""

    async def drift(self, answers: Sequence[ActionTaken]) -> Drift:
        """How far the policy has moved from its start. Args: answers: its own, to held-out questions."""


OpenWorld = Callable[[Method, int], AbstractAsyncContextManager[World]]  # of a method and a seed; ends with the `with`


def trainer_config(method: Method, seed: int) -> TrainerConfig:
    """The trainer's settings in a method; where nothing trains, those of the frozen policy."""
    config = TrainerConfig(
        learning_rate=method.learning_rate,
        seed=seed,
        keep_checkpoints=KEPT_CHECKPOINTS,
    )
    return config if method.objective is None else config.model_copy(update={"objective": method.objective})


def processors_config(method: Method) -> ProcessorsConfig:
    """How a method's samples become batches."""
    return ProcessorsConfig(batch_size=method.batch_size)


def side_answers(events: Iterable[Event]) -> list[ActionTaken]:
    """The side turns among them, each once."""
    actions = {event.id: event for event in events if isinstance(event, ActionTaken)}
    return [action for action in actions.values() if action.turn_type == "side"]
