"""One optimizer step on a tiny real model: whose mean it follows, what it measures, what it refuses."""

from dataclasses import replace

import pytest
import torch

from schemas.errors import CheckpointInvalidError
from streams.codec import decode_batch
from tests.unit.trainer.builders import recorded_batch, sample
from trainer.backends.base import Tensors
from trainer.backends.torch import TorchBackend
from trainer.batches import Turn, read_turns
from trainer.objectives.base import TokenTerms, TurnTensors
from trainer.objectives.hybrid import Hybrid
from trainer.parity import Parity
from trainer.step import StepReport, train_step


class Likelihood:
    """An objective of two lines, to show that the loop knows nothing of a method: minus log-likelihood."""

    name = "likelihood"

    def trains(self, *, has_hints: bool, reward: float | None) -> bool:
        return True

    def needs_teacher(self, *, has_hints: bool, reward: float | None) -> bool:
        return False

    def terms(self, turn: TurnTensors) -> TokenTerms:
        assert list(turn.teacher_logprobs_HTV) == []
        loss_T = -turn.student_logprobs_TV.gather(-1, turn.response_ids_T[:, None])[:, 0]
        return TokenTerms(loss_T=loss_T, metrics={"likelihood_loss": float(loss_T.detach().mean())})


class History:
    """Adapters by version, and which were asked for."""

    def __init__(self, adapters: dict[int, Tensors]) -> None:
        self._adapters = adapters
        self.asked: list[int] = []

    def __call__(self, version: int) -> Tensors:
        self.asked.append(version)
        if version not in self._adapters:
            raise CheckpointInvalidError("gone")
        return self._adapters[version]


def turns_of(*versions: int, num_tokens: int = 6) -> list[Turn]:
    samples = [sample(version=version, num_tokens=num_tokens) for version in versions]
    return list(read_turns(decode_batch(recorded_batch(samples).value)[1]))


def step(backend: TorchBackend, turns: list[Turn], version: int = 0, history: History | None = None) -> StepReport:
    parity = Parity(backend, history or History({}))
    return train_step(backend, Likelihood(), parity, turns, version=version, before_pass=lambda: None)


def test_the_loss_is_the_mean_over_turns_of_the_mean_over_tokens(backend: TorchBackend) -> None:
    turns = turns_of(0, num_tokens=2) + turns_of(0, num_tokens=40)
    means = [-float(backend.logprobs(turn.response, None).mean()) for turn in turns]
    metrics = step(backend, turns).metrics
    assert metrics["loss"] == pytest.approx(sum(means) / 2, abs=1e-5)
    assert metrics["likelihood_loss"] == metrics["loss"]
    assert (metrics["num_turns"], metrics["num_tokens"]) == (2.0, 42.0)


def test_engine_and_trainer_are_compared_where_the_current_version_acted(backend: TorchBackend) -> None:
    (turn,) = turns_of(0)
    drawn = backend.logprobs(turn.response, None)
    off_by = torch.tensor([0.0, 0.0, 0.3, 0.0, 0.0, -0.9])
    metrics = step(backend, [replace(turn, engine_logprobs_T=drawn + off_by)]).metrics
    assert metrics["parity_mean"] == pytest.approx(0.2, abs=1e-5)
    assert metrics["parity_max"] == pytest.approx(0.9, abs=1e-5)


def test_an_older_turn_is_compared_under_the_weights_that_acted(backend: TorchBackend) -> None:
    (turn,) = turns_of(1)
    step(backend, turns_of(0, 0))
    acted = backend.adapter()
    turn = replace(turn, engine_logprobs_T=backend.logprobs(turn.response, acted))
    step(backend, turns_of(1, 1), version=1, history=History({1: acted}))
    assert step(backend, [turn], version=2, history=History({1: acted})).metrics["parity_max"] < 1e-5
    under_newest = (backend.logprobs(turn.response, backend.adapter()) - turn.engine_logprobs_T).abs()
    assert under_newest.max() > 1e-3


def test_a_turn_of_version_0_is_compared_with_the_base(backend: TorchBackend) -> None:
    (turn,) = turns_of(0)
    turn = replace(turn, engine_logprobs_T=backend.logprobs(turn.response, None))
    step(backend, turns_of(0, 0))
    history = History({})
    assert step(backend, [turn], version=1, history=history).metrics["parity_max"] == 0.0
    assert history.asked == []


def test_few_older_turns_are_scored_again_and_their_weights_read_once(backend: TorchBackend) -> None:
    history = History({1: backend.adapter()})
    assert "parity_mean" in step(backend, turns_of(1, 1, 1, 1), version=2, history=history).metrics
    assert history.asked == [1]


def test_nothing_is_compared_where_the_weights_that_acted_are_gone(backend: TorchBackend) -> None:
    metrics = step(backend, turns_of(1), version=2).metrics
    assert "parity_mean" not in metrics
    assert (metrics["staleness_mean"], metrics["staleness_max"]) == (1.0, 1.0)


def test_a_turn_with_an_infinite_loss_is_rejected_and_does_not_touch_the_others(backend: TorchBackend) -> None:
    good, bad = turns_of(0, 0)
    bad = replace(bad, reward=-1.0, engine_logprobs_T=torch.full((6,), -1e4))  # ratio e^10000
    parity = Parity(backend, History({}))
    report = train_step(backend, Hybrid(), parity, [good, bad], version=0, before_pass=lambda: None)
    assert report.trained == (good,)
    assert [rejected.turn for rejected in report.rejected] == [bad]
    assert report.metrics["num_turns"] == 1
    assert all(torch.isfinite(weight).all() for weight in backend.adapter().values())
    weights = backend.adapter()
    none = train_step(backend, Hybrid(), parity, [bad], version=0, before_pass=lambda: None)
    assert (none.trained, none.metrics) == ((), {})
    assert all(torch.equal(weights[name], weight) for name, weight in backend.adapter().items())


def test_a_step_that_is_abandoned_between_turns_has_moved_nothing(backend: TorchBackend) -> None:
    weights, calls = backend.adapter(), iter([None, KeyboardInterrupt])

    def before_pass() -> None:
        if (reason := next(calls)) is not None:
            raise reason

    with pytest.raises(KeyboardInterrupt):
        train_step(
            backend, Likelihood(), Parity(backend, History({})), turns_of(0, 0), version=0, before_pass=before_pass
        )
    assert all(torch.equal(weights[name], weight) for name, weight in backend.adapter().items())


def test_rewards_and_teachers_reach_the_objective(backend: TorchBackend) -> None:
    rewarded, unjudged = turns_of(0, 0)
    turns = [replace(rewarded, reward=-1.0), replace(unjudged, reward=None)]
    parity = Parity(backend, History({}))
    metrics = train_step(backend, Hybrid(), parity, turns, version=0, before_pass=lambda: None).metrics
    assert metrics["reward_mean"] == -1.0
    assert {"rl_loss", "opd_loss", "hint_overlap", "clip_fraction", "grad_norm"} <= metrics.keys()
