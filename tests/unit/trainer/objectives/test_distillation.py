"""The two losses over top-k tokens by hand, and the methods that are made of them."""

import math

import pytest
import torch

from tests.unit.trainer.objectives.turn_of import HALF, HINTED, gradient_of, turn_of
from trainer.objectives.distillation import binned_reverse_kl, subset_ids
from trainer.objectives.hybrid import Hybrid
from trainer.objectives.topk_distillation import TopKDistillation


def test_only_the_teachers_subset_reaches_a_token_outside_the_students() -> None:
    rare, hinted = [[0.98, 0.01, 0.01]], [[0.1, 0.1, 0.8]]
    by_teacher, by_student, by_both = (
        gradient_of(Hybrid(subset=subset, top_k=1).terms(turn).loss_T, turn)[0]
        for subset in ("teacher", "student", "overlap")
        for turn in [turn_of(rare, [0], teachers=(hinted,))]
    )
    assert by_teacher == pytest.approx([0.0, 0.0, -0.01])  # pi_old 0.01, advantage clipped at 1
    assert by_student == pytest.approx([0.98, 0.0, 0.0])  # it can only lower what it proposes
    assert by_both == [0.0, 0.0, 0.0]  # they agree on nothing


def test_the_overlap_is_what_both_propose() -> None:
    student, teacher = torch.tensor([[0, 1]]), torch.tensor([[1, 3]])
    ids_TK, counts_TK = subset_ids(student, teacher, "overlap")
    assert (ids_TK.tolist(), counts_TK.tolist()) == ([[0, 1]], [[False, True]])
    ids_TK, counts_TK = subset_ids(student, teacher, "teacher")
    assert (ids_TK.tolist(), counts_TK.tolist()) == ([[1, 3]], [[True, True]])


def test_the_gap_of_each_token_is_clipped_and_weighted_by_the_policy() -> None:
    terms = Hybrid(top_k=3, opd_weight=2).terms(turn_of(HALF, [0], teachers=(HINTED,)))
    gaps = [max(-1.0, min(1.0, math.log(q / p))) for q, p in zip(HINTED[0], HALF[0], strict=True)]
    expected = -sum(p * gap for p, gap in zip(HALF[0], gaps, strict=True))
    assert terms.loss_T.tolist() == pytest.approx([2 * expected])
    assert terms.metrics == {"opd_loss": pytest.approx(expected), "hint_overlap": 1.0}


def test_verdict_and_hint_are_two_losses_with_their_weights() -> None:
    verdict, hint = turn_of(HALF, [0], advantage=1.0), turn_of(HALF, [0], teachers=(HINTED,))
    both = turn_of(HALF, [0], teachers=(HINTED,), advantage=1.0)
    loss = Hybrid(top_k=2, rl_weight=0.25).terms(both)
    assert loss.loss_T.tolist() == pytest.approx([-0.25 + float(Hybrid(top_k=2).terms(hint).loss_T.detach())])
    assert Hybrid().terms(verdict).loss_T.tolist() == [-0.5]
    assert loss.metrics.keys() == {"rl_loss", "clip_fraction", "opd_loss", "hint_overlap"}


def test_the_rest_of_the_vocabulary_is_a_bin_of_its_own() -> None:
    turn = turn_of([[0.5, 0.3, 0.1, 0.1]], [0], teachers=([[0.2, 0.15, 0.5, 0.15]],))
    bins = [(0.5, 0.2), (0.3, 0.15), (0.2, 0.65)]
    terms = TopKDistillation(top_k=2).terms(turn)
    assert terms.loss_T.tolist() == pytest.approx([sum(p * math.log(p / q) for p, q in bins)])
    assert terms.metrics.keys() == {"opd_loss", "hint_overlap"}
    by_teacher = TopKDistillation(top_k=2, subset="teacher").terms(turn)
    bins = [(0.5, 0.2), (0.1, 0.5), (0.4, 0.3)]
    assert by_teacher.loss_T.tolist() == pytest.approx([sum(p * math.log(p / q) for p, q in bins)])


def test_with_all_of_the_vocabulary_there_is_no_rest() -> None:
    turn = turn_of(HALF, [0], teachers=(HINTED,))
    expected = sum(p * math.log(p / q) for p, q in zip(HALF[0], HINTED[0], strict=True))
    terms = TopKDistillation(top_k=3).terms(turn)
    assert terms.loss_T.tolist() == pytest.approx([expected])
    assert all(math.isfinite(slope) for slope in gradient_of(terms.loss_T, turn)[0])


def test_a_policy_that_is_sure_has_a_rest_that_is_still_a_number() -> None:
    logits = torch.tensor([[0.0, -20.0, -20.5, -21.0]], requires_grad=True)  # 1 - p_top is 4e-9: 0 in float32
    student_TV, teacher_TV = logits.log_softmax(-1), torch.tensor([[0.0, -30.0, -30.0, -30.0]]).log_softmax(-1)
    loss_T = binned_reverse_kl(student_TV, teacher_TV, torch.tensor([[0]]))
    (gradient,) = torch.autograd.grad(loss_T.sum(), logits)
    tail, teacher_tail = sum(math.exp(-20 - half / 2) for half in range(3)), 3 * math.exp(-30)
    assert float(loss_T.detach()) == pytest.approx(tail * math.log(tail / teacher_tail), rel=1e-3, abs=0)
    assert gradient.isfinite().all()
