"""One optimizer step on a tiny real model: whose mean it follows, what it measures, what it refuses."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch

from schemas.errors import CheckpointInvalidError
from schemas.events import VersionSpan
from schemas.origin import UNSCORED
from streams.codec import decode_batch
from tests.unit.trainer.builders import recorded_batch, sample
from tests.version_lines import line_at
from trainer.backends.base import Tensors
from trainer.backends.torch import TorchBackend
from trainer.batches import Turn, read_turns
from trainer.objectives.base import Objective, Pass, Signals, TokenTerms, TurnTensors
from trainer.objectives.binary_rl import BinaryRL
from trainer.objectives.grpo import GRPO
from trainer.objectives.hybrid import Hybrid
from trainer.parity import Parity
from trainer.step import StepReport, train_step


class Likelihood:
    """An objective of two lines, to show that the loop knows nothing of a method: minus log-likelihood."""

    name = "likelihood"

    def passes(self, signals: Signals) -> frozenset[Pass]:
        return frozenset({"student"})

    def advantages(self, turns: Sequence[Signals], past_rewards: Sequence[float]) -> list[float | None]:
        return [None for _ in turns]

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


def step(
    backend: TorchBackend,
    turns: list[Turn],
    objective: Objective | None = None,
    *,
    version: int = 0,
    history: History | None = None,
    past_rewards: Sequence[float] = (),
    before_pass: Callable[[], None] = lambda: None,
) -> StepReport:
    return train_step(
        backend,
        objective or Likelihood(),
        Parity(backend, history or History({})),
        turns,
        line=line_at(version),
        past_rewards=past_rewards,
        before_pass=before_pass,
    )


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
    report = step(backend, [good, bad], Hybrid())
    assert report.trained == (good,)
    assert [rejected.turn for rejected in report.rejected] == [bad]
    assert report.metrics["num_turns"] == 1
    assert all(torch.isfinite(weight).all() for weight in backend.adapter().values())
    weights = backend.adapter()
    none = step(backend, [bad], Hybrid(baseline="none"))
    assert (none.trained, none.metrics) == ((), {})
    assert all(torch.equal(weights[name], weight) for name, weight in backend.adapter().items())


def test_a_step_that_is_abandoned_between_turns_has_moved_nothing(backend: TorchBackend) -> None:
    weights, calls = backend.adapter(), iter([None, KeyboardInterrupt])

    def before_pass() -> None:
        if (reason := next(calls)) is not None:
            raise reason

    with pytest.raises(KeyboardInterrupt):
        step(backend, turns_of(0, 0), before_pass=before_pass)
    assert all(torch.equal(weights[name], weight) for name, weight in backend.adapter().items())


def test_rewards_and_teachers_reach_the_objective(backend: TorchBackend) -> None:
    rewarded, unjudged = turns_of(0, 0)
    turns = [replace(rewarded, reward=-1.0), replace(unjudged, reward=None)]
    metrics = step(backend, turns, Hybrid()).metrics
    assert metrics["reward_mean"] == -1.0
    assert {"rl_loss", "opd_loss", "hint_overlap", "clip_fraction", "grad_norm"} <= metrics.keys()


def test_the_reference_pass_is_the_frozen_base(backend: TorchBackend) -> None:
    (turn,) = turns_of(0)
    held = BinaryRL(kl_weight=1.0)
    assert step(backend, [turn], held).metrics["kl_loss"] == 0.0
    step(backend, turns_of(0, 0))
    assert step(backend, [turn], held).metrics["kl_loss"] > 1e-4


def test_earlier_batches_reach_a_running_baseline(backend: TorchBackend) -> None:
    (turn,) = turns_of(0)
    running = BinaryRL(baseline="running")
    assert step(backend, [turn], running, past_rewards=[1.0, 1.0]).metrics["grad_norm"] == 0.0
    assert step(backend, [turn], running, past_rewards=[1.0, -1.0]).metrics["grad_norm"] > 0.0


def test_siblings_of_a_batch_are_seen_together(backend: TorchBackend) -> None:
    siblings = [sample(reward=reward, group_id="task", step=0) for reward in (1.0, -1.0)]
    turns = list(read_turns(decode_batch(recorded_batch(siblings).value)[1]))
    turns = [replace(turn, engine_logprobs_T=backend.logprobs(turn.response, None)) for turn in turns]
    metrics = step(backend, turns, GRPO()).metrics
    assert (metrics["loss"], metrics["zero_advantage"]) == (pytest.approx(0.0, abs=1e-5), 0.0)
    assert metrics["grad_norm"] > 0.0
    assert step(backend, turns[:1], GRPO()).metrics["zero_advantage"] == 1.0


def test_tokens_of_an_older_version_are_known_as_such(backend: TorchBackend) -> None:
    spans = (VersionSpan(version=1, start=0, end=2), VersionSpan(version=5, start=2, end=6))
    (turn,) = read_turns(decode_batch(recorded_batch([sample(token_versions=spans)]).value)[1])
    metrics = step(backend, [turn], BinaryRL(stale="drop", stale_bound=3), version=5).metrics
    assert metrics["stale_dropped"] == pytest.approx(2 / 6)


UNSCORED_FIELDS = {"response_logprobs": (), "token_versions": (), "logprob_origin": UNSCORED}


def unscored_turns(num: int) -> list[Turn]:
    samples = [sample(**UNSCORED_FIELDS) for _ in range(num)]
    return list(read_turns(decode_batch(recorded_batch(samples).value)[1]))


def test_what_came_unscored_is_scored_by_the_version_that_trains(backend: TorchBackend) -> None:
    seen: list[TurnTensors] = []

    class Watching(Likelihood):
        def terms(self, turn: TurnTensors) -> TokenTerms:
            seen.append(turn)
            return super().terms(turn)

    (turn,) = unscored_turns(1)
    metrics = step(backend, [turn], Watching(), version=7).metrics
    (tensors,) = seen
    assert tensors.engine_logprobs_T.tolist() == pytest.approx(backend_logprobs(backend, turn), abs=1e-5)
    assert tensors.staleness_T.tolist() == [0] * 6
    assert tensors.is_off_policy
    assert not tensors.engine_logprobs_T.requires_grad
    assert (metrics["num_scored_turns"], metrics["num_tokens"]) == (1.0, 6.0)
    assert not metrics.keys() & {"parity_mean", "staleness_mean"}, "nobody drew it, so there is nothing to compare"


def backend_logprobs(backend: TorchBackend, turn: Turn) -> list[float]:
    """Before the step moved them: a fresh adapter changes nothing."""
    return backend.logprobs(turn.response, None).tolist()


def test_engine_and_trainer_are_compared_beside_unscored_turns(backend: TorchBackend) -> None:
    (turn,) = turns_of(0)
    turn = replace(turn, engine_logprobs_T=backend.logprobs(turn.response, None))
    metrics = step(backend, [turn, *unscored_turns(2)], Hybrid()).metrics
    assert metrics["parity_max"] < 1e-5
    assert (metrics["staleness_max"], metrics["num_scored_turns"], metrics["num_turns"]) == (0.0, 2.0, 3.0)
