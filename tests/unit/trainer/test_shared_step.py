"""A step on turns that share their passes is the step that takes them turn by turn."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from streams.codec import decode_batch
from streams.version_line import VersionLine
from tests.unit.trainer.builders import recorded_batch, sample
from trainer.backends.base import Response, Tensors
from trainer.backends.torch import TorchBackend
from trainer.batches import Turn, read_turns
from trainer.objectives.base import Pass, Signals, TokenTerms, TurnTensors
from trainer.parity import Parity
from trainer.step import StepReport, train_step

Load = Callable[[], TorchBackend]
NUM_TURNS = 4


class EveryPass:
    """Reads every pass that there is, and lets each weigh differently in the loss."""

    name = "every_pass"

    def passes(self, signals: Signals) -> frozenset[Pass]:
        return frozenset({"student", "reference", *(["teacher"] if signals.has_hints else [])})

    def advantages(self, turns: Sequence[Signals], past_rewards: Sequence[float]) -> list[float | None]:
        return [turn.reward for turn in turns]

    def terms(self, turn: TurnTensors) -> TokenTerms:
        def drawn(logprobs_TV: Tensor) -> Tensor:
            return logprobs_TV.gather(-1, turn.response_ids_T[:, None])[:, 0]

        assert turn.reference_logprobs_TV is not None
        assert turn.advantage is not None
        student_T = drawn(turn.student_logprobs_TV)
        loss_T = -turn.advantage * (student_T - turn.engine_logprobs_T).exp()
        loss_T = loss_T + 0.1 * (student_T - drawn(turn.reference_logprobs_TV)) ** 2
        for number, teacher_TV in enumerate(turn.teacher_logprobs_HTV, start=1):
            loss_T = loss_T + number * (teacher_TV.exp() * (teacher_TV - turn.student_logprobs_TV)).sum(-1)
        return TokenTerms(loss_T=loss_T, metrics={"own_loss": float(loss_T.detach().mean())})


def conversations() -> list[Turn]:
    """Two of them, their turns mixed: each prompt holds the turn before; hints and lengths vary."""
    histories: list[tuple[int, ...]] = [(5, 6, 1), (5, 6, 2)]
    samples = []
    for number in range(2 * NUM_TURNS):
        whose, turn = number % 2, number // 2
        prompt = (*histories[whose], 10 + turn)
        made = sample(
            num_tokens=2 + turn,
            prompt_ids=prompt,
            hints=("brief",) * (turn % 3),
            teacher_prompt_ids=tuple((*prompt, 50 + hint, 51) for hint in range(turn % 3)),
            reward=1.0 if turn % 2 else -1.0,
        )
        samples.append(made)
        histories[whose] = (*prompt, *made.response_ids)
    return list(read_turns(decode_batch(recorded_batch(samples).value)[1]))


class StopAt:
    """Raises at the call of this number, and counts."""

    def __init__(self, last: int) -> None:
        self.num_calls = 0
        self._last = last

    def __call__(self) -> None:
        self.num_calls += 1
        if self.num_calls == self._last:
            raise KeyboardInterrupt


def alone(responses: Sequence[Response], *, frozen: bool) -> list[list[int]]:
    return [[number] for number in range(len(responses))]


def all_at_once(responses: Sequence[Response], *, frozen: bool) -> list[list[int]]:
    return [list(range(len(responses)))] if responses else []


def no_adapter(version: int) -> Tensors:
    raise AssertionError(version)


def step(backend: TorchBackend, turns: Sequence[Turn], before_pass: Callable[[], None] = lambda: None) -> StepReport:
    parity = Parity(backend, no_adapter)
    return train_step(backend, EveryPass(), parity, turns, line=VersionLine(), past_rewards=(), before_pass=before_pass)


@pytest.fixture
def naive(load: Load, monkeypatch: pytest.MonkeyPatch) -> TorchBackend:
    """Turn by turn; with an adapter that has moved, because one at 0 has a gradient in half of its weights only."""
    backend = load()
    step(backend, conversations()[:2])
    monkeypatch.setattr(backend, "groups", alone)
    return backend


@pytest.fixture(params=["as the backend groups them", "all at once"])
def shared(
    load: Load, naive: TorchBackend, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> TorchBackend:
    """The same weights."""
    backend = load()
    backend.load_state(naive.adapter(), naive.state())
    if request.param == "all at once":
        monkeypatch.setattr(backend, "groups", all_at_once)
    return backend


def assert_same(shared: TorchBackend, naive: TorchBackend, reports: tuple[StepReport, StepReport]) -> None:
    assert reports[0].metrics == pytest.approx(reports[1].metrics, abs=1e-5)
    moments = [{name: one for name, one in each.state().items() if "exp_avg" in name} for each in (shared, naive)]
    for name, moment in moments[1].items():
        torch.testing.assert_close(moments[0][name], moment, atol=1e-6, rtol=0)  # a tenth of the gradient


def test_loss_metrics_and_gradient_are_those_of_turn_by_turn(shared: TorchBackend, naive: TorchBackend) -> None:
    turns = conversations()
    assert len(shared.groups([turn.response for turn in turns], frozen=False)) < len(turns)
    reports = step(shared, turns), step(naive, turns)
    assert [turn.sample_id for turn in reports[0].trained] == [turn.sample_id for turn in turns]
    assert_same(shared, naive, reports)


def test_a_rejected_turn_does_not_touch_those_it_shares_a_pass_with(shared: TorchBackend, naive: TorchBackend) -> None:
    turns = conversations()
    bad = replace(turns[2], engine_logprobs_T=torch.full_like(turns[2].engine_logprobs_T, -1e4))  # ratio e^10000
    others = [*turns[:2], *turns[3:]]
    reports = step(shared, [*turns[:2], bad, *turns[3:]]), step(naive, others)
    assert [rejected.turn.sample_id for rejected in reports[0].rejected] == [bad.sample_id]
    assert [turn.sample_id for turn in reports[0].trained] == [turn.sample_id for turn in others]
    assert_same(shared, naive, reports)


def test_a_step_can_be_abandoned_before_each_of_its_passes(shared: TorchBackend) -> None:
    weights, state = shared.adapter(), shared.state()
    through = StopAt(1000)
    step(shared, conversations(), through)
    assert through.num_calls >= 3
    for last in range(1, through.num_calls + 1):
        shared.load_state(weights, state)
        with pytest.raises(KeyboardInterrupt):
            step(shared, conversations(), StopAt(last))
        assert all(torch.equal(weights[name], weight) for name, weight in shared.adapter().items())
