"""`choose_hint`: which of a turn's hints teaches, for the whole turn or token by token.

Consumes the student's and the hinted teachers' distributions; produces one teacher distribution per position and where
it came from. Whatever the rule finds equal goes to the teacher that finds the drawn tokens likelier, so that the order
in which hints were written never decides. Legend: T response tokens, V vocabulary, K top-k, H hints.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from trainer.objectives.distillation import shared
from trainer.objectives.terms import drawn, mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from trainer.objectives.base import TurnTensors

HintSelection = Literal["sequence_optimal", "token_optimal", "shortest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenHint:
    """The teacher of each position."""

    logprobs_TV: Tensor  # no gradient
    index_T: Tensor  # int64, of the hint
    student_TK: Tensor  # int64, the student's top k; a top k of [T, V] is slow, so it is taken once
    teacher_TK: Tensor  # int64, the chosen teacher's
    overlap: float  # share of the student's top k that the teacher's holds, mean over positions


def choose_hint(turn: TurnTensors, selection: HintSelection, top_k: int) -> ChosenHint:
    """The hint by one of the paper's rules.

        overlap[h, t] = |S_t intersected with T_h,t|,   S, T: the top-k sets of student and of teacher h at position t
        sequence_optimal:  argmax over h of the sum over t of overlap[h, t]
        token_optimal:     argmax over h of overlap[h, t], at each t
        shortest:          argmin over h of the hinted prompt's length

    A hint that the student cannot follow yet has a teacher in another region, whose log-ratios are noise; so the
    nearest teacher teaches. The naive form takes whichever was written first, or most. "token_optimal" may change the
    hint in the middle of a word, and its teachers need not agree where they meet.

    Source:  arXiv:2603.10165 v2, section "Hybrid".
    """
    teachers_HTV = turn.teacher_logprobs_HTV
    student_TK = turn.student_logprobs_TV.detach().topk(top_k, dim=-1).indices
    proposed = [teacher_TV.topk(top_k, dim=-1).indices for teacher_TV in teachers_HTV]
    overlaps = [shared(student_TK, teacher_TK).sum(-1) for teacher_TK in proposed]
    if selection == "token_optimal":
        index_T = _best_per_token(overlaps, _likelihoods(turn))
    else:
        scores = _shortness(turn) if selection == "shortest" else [float(overlap_T.sum()) for overlap_T in overlaps]
        index_T = turn.response_ids_T.new_full(turn.response_ids_T.shape, _best(turn, scores))
    return ChosenHint(
        logprobs_TV=_picked(teachers_HTV, index_T),
        index_T=index_T,
        student_TK=student_TK,
        teacher_TK=_picked(proposed, index_T),
        overlap=mean(_picked(overlaps, index_T)) / top_k,
    )


def longest_hint(turn: TurnTensors) -> Tensor:
    """[T, V] of the teacher that read the longest hint: version 1's rule, by which rambling beats precision.

    Source:  arXiv:2603.10165 v1, section "OPD".
    """
    return turn.teacher_logprobs_HTV[_best(turn, [-shortness for shortness in _shortness(turn)])]


def _shortness(turn: TurnTensors) -> list[float]:
    if len(turn.num_hint_tokens) != len(turn.teacher_logprobs_HTV):
        raise ValueError("A rule that reads the lengths of hinted prompts needs one length per teacher.")
    return [-float(length) for length in turn.num_hint_tokens]


def _best(turn: TurnTensors, scores: Sequence[float]) -> int:
    ranks = list(zip(scores, (float(each_T.sum()) for each_T in _likelihoods(turn)), strict=True))
    return max(range(len(ranks)), key=ranks.__getitem__)


def _likelihoods(turn: TurnTensors) -> list[Tensor]:
    return [drawn(teacher_TV, turn.response_ids_T) for teacher_TV in turn.teacher_logprobs_HTV]


def _best_per_token(overlaps: Sequence[Tensor], likelihoods: Sequence[Tensor]) -> Tensor:
    best_T, most_T, likeliest_T = overlaps[0] * 0, overlaps[0], likelihoods[0]
    for hint, (overlap_T, likelihood_T) in enumerate(zip(overlaps, likelihoods, strict=True)):
        better_T = (overlap_T > most_T) | ((overlap_T == most_T) & (likelihood_T > likeliest_T))
        best_T = best_T.masked_fill(better_T, hint)
        most_T, likeliest_T = overlap_T.where(better_T, most_T), likelihood_T.where(better_T, likeliest_T)
    return best_T


def _picked(by_hint: Sequence[Tensor], index_T: Tensor) -> Tensor:
    picked = by_hint[0]
    for hint, rows in enumerate(by_hint):
        here_T = index_T == hint
        if bool(here_T.all()):
            return rows  # nothing is copied where one hint teaches the whole turn
        picked = rows.where(here_T.reshape(-1, *[1] * (rows.dim() - 1)), picked)
    return picked
