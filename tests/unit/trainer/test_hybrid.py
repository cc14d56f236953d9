"""The hybrid objective by hand: its truth table, its clip, its choice of hint."""

import math
from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from trainer.objectives.base import TurnTensors
from trainer.objectives.hybrid import Hybrid, select_hint


def turn(
    probs_TV: list[list[float]],
    ids: list[int],
    *,
    engine: list[float] | None = None,
    teachers: tuple[list[list[float]], ...] = (),
    reward: float | None = None,
) -> TurnTensors:
    student_TV = torch.tensor(probs_TV).log().requires_grad_()
    taken = [math.log(row[token]) for row, token in zip(probs_TV, ids, strict=True)]
    return TurnTensors(
        student_logprobs_TV=student_TV,
        teacher_logprobs_HTV=[torch.tensor(probs).log() for probs in teachers],
        response_ids_T=torch.tensor(ids),
        engine_logprobs_T=torch.tensor(taken if engine is None else engine),
        mask_T=torch.ones(len(ids), dtype=torch.bool),
        reward=reward,
    )


HALF = [[0.5, 0.3, 0.2]]
HINTED = [[0.1, 0.7, 0.2]]


@pytest.mark.parametrize(
    ("has_hints", "reward", "expected"),
    [
        (True, 1.0, {"rl_loss", "clip_fraction", "opd_loss", "hint_overlap"}),
        (True, None, {"opd_loss", "hint_overlap"}),
        (False, -1.0, {"rl_loss", "clip_fraction"}),
        (False, None, set()),
    ],
)
def test_a_turn_has_the_terms_that_its_signals_give(has_hints: bool, reward: float | None, expected: set[str]) -> None:
    terms = Hybrid().terms(turn(HALF, [0], teachers=(HINTED,) if has_hints else (), reward=reward))
    assert terms.metrics.keys() == expected
    assert Hybrid().trains(has_hints=has_hints, reward=reward) == bool(expected)
    assert Hybrid().needs_teacher(has_hints=has_hints, reward=reward) == has_hints


def test_a_signal_without_weight_is_an_absent_one() -> None:
    assert not Hybrid(opd_weight=0).needs_teacher(has_hints=True, reward=1.0)
    assert not Hybrid(opd_weight=0).trains(has_hints=True, reward=None)
    assert not Hybrid(rl_weight=0).trains(has_hints=False, reward=1.0)


@pytest.mark.parametrize(
    ("ratio", "reward", "loss", "slope"),
    [
        (1.0, 1.0, -1.0, -1.0),
        (1.5, 1.0, -1.28, 0.0),  # already likelier than the bound allows: no more
        (0.5, 1.0, -0.5, -0.5),  # too unlikely now, but rewarded: pulled back up
        (0.5, -1.0, 0.8, 0.0),  # already unlikelier than the bound allows: no more
        (1.5, -1.0, 1.5, 1.5),  # likelier now, although punished: pushed down
    ],
)
def test_the_clip_stops_only_what_goes_further_than_the_verdict_asked(
    ratio: float, reward: float, loss: float, slope: float
) -> None:
    given = turn(HALF, [0], engine=[math.log(0.5) - math.log(ratio)], reward=reward)
    terms = Hybrid(rl_weight=1).terms(given)
    assert terms.loss_T.tolist() == pytest.approx([loss])
    assert terms.metrics["clip_fraction"] == (1.0 if slope == 0 else 0.0)
    (gradient,) = torch.autograd.grad(terms.loss_T.sum(), given.student_logprobs_TV)
    assert gradient[0].tolist() == pytest.approx([slope, 0.0, 0.0])


def test_only_the_teachers_subset_reaches_a_token_outside_the_students() -> None:
    rare, hinted = [[0.98, 0.01, 0.01]], [[0.1, 0.1, 0.8]]
    by_teacher, by_student = (
        torch.autograd.grad(Hybrid(subset=subset, top_k=1).terms(given).loss_T.sum(), given.student_logprobs_TV)[0]
        for subset in ("teacher", "student")
        for given in [turn(rare, [0], teachers=(hinted,))]
    )
    assert by_teacher[0].tolist() == pytest.approx([0.0, 0.0, -0.01])  # pi_old 0.01, advantage clipped at 1
    assert by_student[0].tolist() == pytest.approx([0.98, 0.0, 0.0])  # it can only lower what it proposes


def test_a_verdict_counts_against_the_mean_of_its_batch() -> None:
    given = replace(turn(HALF, [0], reward=1.0), mean_reward=0.5)
    assert Hybrid(rl_weight=1).terms(given).loss_T.tolist() == pytest.approx([-0.5])
    assert Hybrid(rl_weight=1, baseline="none").terms(given).loss_T.tolist() == pytest.approx([-1.0])


def test_the_hint_whose_teacher_is_nearest_is_chosen() -> None:
    far, near = [[0.1, 0.2, 0.7]], [[0.45, 0.35, 0.2]]
    assert select_hint(turn(HALF, [0], teachers=(far, near)), top_k=2) == (1, 1.0)


def test_equally_near_hints_are_told_apart_by_what_was_answered() -> None:
    likelier, unlikelier = [[0.6, 0.3, 0.1]], [[0.4, 0.35, 0.25]]
    assert select_hint(turn(HALF, [0], teachers=(unlikelier, likelier)), top_k=2)[0] == 1


def test_top_k_beyond_the_vocabulary_means_all_of_it() -> None:
    loss_T = Hybrid(top_k=20).terms(turn(HALF, [0], teachers=(HINTED,))).loss_T
    gaps = [max(-1.0, min(1.0, math.log(q / p))) for q, p in zip(HINTED[0], HALF[0], strict=True)]
    expected = -sum(p * gap for p, gap in zip(HALF[0], gaps, strict=True))
    assert loss_T.tolist() == pytest.approx([expected])


def test_an_unknown_or_impossible_setting_is_refused() -> None:
    for settings in ({"top_k": 0}, {"subset": "overlap"}, {"clip": 0.2}, {"name": "grpo"}):
        with pytest.raises(ValidationError):
            Hybrid.model_validate(settings)
