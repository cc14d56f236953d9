"""A judge of few words and a small adapter, for the tests of the experiment on the tiny model."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from infra.experiment import pipeline, rig
from infra.experiment.judging import FlippedJudge
from processors.ports import Judgement
from serving.judges.next_state import read_next_state
from trainer.config import TrainerConfig
from trainer.objectives.hybrid import Hybrid


class PoliteJudge:
    """Whoever thanks is pleased, whoever says anything else is not."""

    name, version = "polite", "1"

    async def judge(self, transitions):
        return [self._one(read_next_state(transition).reply) for transition in transitions]

    def _one(self, reply):
        score = 1 if "thank" in reply.lower() else -1
        return Judgement(score=score, votes=(score,))


def small_config(method, seed):
    """A small adapter that moves fast."""
    config = TrainerConfig(lora_rank=4, lora_alpha=8, learning_rate=1e-2, seed=seed, keep_checkpoints=5)
    return config.model_copy(update={"objective": method.objective or Hybrid()})


@contextmanager
def small_world() -> Iterator[None]:
    """Rigs for the tiny model: judged by words alone, with short answers."""

    def judge_of(method, home):
        return FlippedJudge(PoliteJudge()) if method.judging == "flipped" else PoliteJudge()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rig, "trainer_config", small_config)
        patch.setattr(pipeline, "judge_of", judge_of)
        for module in ("run", "users"):
            patch.setattr(f"infra.experiment.{module}.MAX_ANSWER_TOKENS", 12)
        yield
