"""What `hindsight` teaches, by hand."""

import math

import pytest
import torch

from tests.unit.trainer.objectives.turn_of import HALF, HINTED, gradient_of, turn_of
from trainer.objectives.hindsight import Hindsight
from trainer.objectives.hybrid import Hybrid

WANTED = torch.tensor([[0.25, 0.0625, 0.6875]]).log()  # what the base says that has read the complaint
KL = 0.25 * math.log(0.25 / 0.2) + 0.0625 * math.log(0.0625 / 0.5) + 0.6875 * math.log(0.6875 / 0.3)


def test_under_the_first_question_the_student_moves_to_the_base_that_has_read_the_complaint() -> None:
    retry_TV = torch.tensor([[0.2, 0.5, 0.3]]).log().requires_grad_()
    turn = turn_of(HALF, [2], retry_logprobs_TV=retry_TV, reference_logprobs_TV=WANTED)
    terms = Hindsight(retry_weight=0.5).terms(turn)
    assert terms.loss_T.tolist() == pytest.approx([0.5 * KL])
    assert terms.metrics == {"retry_loss": pytest.approx(KL)}
    (gradient,) = torch.autograd.grad(terms.loss_T.sum(), retry_TV)
    assert gradient[0].tolist() == pytest.approx([-0.125, -0.03125, -0.34375])


def test_a_retry_that_the_student_would_say_at_once_teaches_nothing() -> None:
    logits = torch.tensor([[0.3, -0.2, 0.9]], requires_grad=True)
    turn = turn_of(
        HALF, [2], retry_logprobs_TV=logits.log_softmax(-1), reference_logprobs_TV=logits.detach().log_softmax(-1)
    )
    loss_T = Hindsight().terms(turn).loss_T
    assert float(loss_T.detach()) == pytest.approx(0)
    (gradient,) = torch.autograd.grad(loss_T.sum(), logits)
    assert float(gradient.abs().max()) < 1e-6


def test_a_retry_without_the_base_to_compare_with_is_an_error_and_no_silent_zero() -> None:
    with pytest.raises(ValueError, match="no reference pass"):
        Hindsight().terms(turn_of(HALF, [2], retry_logprobs_TV=WANTED))


def test_the_student_moves_to_the_teachers_whole_distribution() -> None:
    turn = turn_of(HALF, [0], teachers=(HINTED,))
    divergence = 0.1 * math.log(0.1 / 0.5) + 0.7 * math.log(0.7 / 0.3)
    terms = Hindsight(top_k=2, opd_weight=3).terms(turn)
    assert terms.loss_T.tolist() == pytest.approx([3 * divergence])
    assert terms.metrics["opd_loss"] == pytest.approx(divergence)
    assert gradient_of(terms.loss_T, turn)[0] == pytest.approx([-0.3, -2.1, -0.6])


def test_without_hint_and_retry_it_is_the_verdict() -> None:
    turn = turn_of(HALF, [0], advantage=-1.0)
    ours, papers = Hindsight().terms(turn), Hybrid().terms(turn)
    assert torch.equal(ours.loss_T, papers.loss_T)
    assert ours.metrics == papers.metrics


def test_a_retry_counts_beside_verdict_and_hint() -> None:
    fields = {"teachers": (HINTED,), "advantage": 1.0}
    spoken = torch.tensor([[0.2, 0.5, 0.3]]).log()
    retried = turn_of(HALF, [0], **fields, retry_logprobs_TV=spoken, reference_logprobs_TV=WANTED)
    plain = float(Hindsight(top_k=2).terms(turn_of(HALF, [0], **fields)).loss_T.detach())
    assert Hindsight(top_k=2, retry_weight=3).terms(retried).loss_T.tolist() == pytest.approx([plain + 3 * KL])
    assert Hindsight(top_k=2, retry_weight=0).terms(retried).loss_T.tolist() == pytest.approx([plain])


@pytest.mark.parametrize(("negative", "slopes"), [("all", [0.5, 0.5]), ("teacher_agrees", [0.5, 0.0])])
def test_a_negative_verdict_reaches_only_tokens_that_the_teacher_doubts_too(negative: str, slopes: list[float]) -> None:
    turn = turn_of(HALF * 2, [0, 1], teachers=(HINTED * 2,), advantage=-1.0)  # doubts the first, likes the second
    loss_T = Hindsight(negative=negative, opd_weight=0, top_k=2).terms(turn).loss_T
    assert loss_T.tolist() == pytest.approx(slopes)
    assert [max(row) for row in gradient_of(loss_T, turn)] == pytest.approx(slopes)


def test_a_positive_verdict_and_one_without_a_hint_reach_every_token() -> None:
    objective = Hindsight(negative="teacher_agrees", opd_weight=0, top_k=2)
    hinted = turn_of(HALF * 2, [0, 1], teachers=(HINTED * 2,), advantage=1.0)
    assert objective.terms(hinted).loss_T.tolist() == [-0.5, -0.5]
    assert objective.terms(turn_of(HALF * 2, [0, 1], advantage=-1.0)).loss_T.tolist() == [0.5, 0.5]


def test_a_teacher_that_thinks_as_the_student_does_doubts_nothing() -> None:
    turn = turn_of(HALF, [0], teachers=(HALF,), advantage=-1.0)
    assert Hindsight(negative="teacher_agrees", top_k=2).terms(turn).loss_T.tolist() == [0.0]
