"""`turn_of`: a turn from probabilities that fit on one line."""

import math
from typing import Any

import torch

from trainer.objectives.base import TurnTensors

Rows = list[list[float]]  # [T][V] probabilities

HALF = [[0.5, 0.3, 0.2]]
HINTED = [[0.1, 0.7, 0.2]]


def turn_of(
    student: Rows, ids: list[int], *, engine: list[float] | None = None, teachers: tuple[Rows, ...] = (), **fields: Any
) -> TurnTensors:
    """On policy unless `engine` says with which probability it drew the tokens."""
    drawn = [row[token] for row, token in zip(student, ids, strict=True)] if engine is None else engine
    given = {
        "student_logprobs_TV": torch.tensor(student).log().requires_grad_(),
        "teacher_logprobs_HTV": [torch.tensor(rows).log() for rows in teachers],
        "num_hint_tokens": [10 + number for number in range(len(teachers))],
        "response_ids_T": torch.tensor(ids),
        "engine_logprobs_T": torch.tensor([math.log(probability) for probability in drawn]),
        "staleness_T": torch.zeros(len(ids), dtype=torch.int64),
        "mask_T": torch.ones(len(ids), dtype=torch.bool),
        "advantage": None,
    }
    return TurnTensors(**{**given, **fields})


def gradient_of(loss_T: torch.Tensor, turn: TurnTensors) -> list[list[float]]:
    """Of the summed loss, by the student's log-probs."""
    (gradient,) = torch.autograd.grad(loss_T.sum(), turn.student_logprobs_TV)
    return gradient.tolist()
