"""Laws of the hybrid objective, for any turn: equal to a float64 oracle, additive, masked exactly, hints unordered."""

import math
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.property.objective_oracle import OracleSettings, OracleTurn, oracle_loss
from trainer.objectives.base import TurnTensors
from trainer.objectives.hybrid import Hybrid, select_hint

NUM_TOKENS, NUM_WORDS = 5, 11
unhurried = settings(deadline=None)  # the machine may be training something meanwhile


def turns(num_hints: int) -> st.SearchStrategy[OracleTurn]:
    """Turns with distinct log-probs in each row, so that every top-k set is unique."""
    return st.builds(
        random_turn,
        st.integers(0, 2**32),
        num_hints=st.just(num_hints),
        reward=st.sampled_from([-1.0, 1.0]),
        mean_reward=st.sampled_from([-0.5, 0.0, 0.75]),
    )


def log_softmax(row: list[float]) -> list[float]:
    total = math.log(sum(math.exp(value) for value in row))
    return [value - total for value in row]


def random_turn(seed: int, num_hints: int, reward: float | None, mean_reward: float) -> OracleTurn:
    rng = random.Random(seed)

    def matrix() -> list[list[float]]:
        return [log_softmax([rng.gauss(0, 1.5) for _ in range(NUM_WORDS)]) for _ in range(NUM_TOKENS)]

    student, response_ids = matrix(), [rng.randrange(NUM_WORDS) for _ in range(NUM_TOKENS)]
    return OracleTurn(
        student=student,
        old=student,
        teachers=[matrix() for _ in range(num_hints)],
        response_ids=response_ids,
        engine=[student[t][token] + rng.gauss(0, 0.3) for t, token in enumerate(response_ids)],
        mask=[True, *(rng.random() < 0.7 for _ in range(NUM_TOKENS - 1))],
        reward=reward,
        mean_reward=mean_reward,
    )


def tensors(turn: OracleTurn, student: Tensor | None = None) -> TurnTensors:
    own = torch.tensor(turn.student, dtype=torch.float64) if student is None else student
    return TurnTensors(
        student_logprobs_TV=own,
        teacher_logprobs_HTV=[torch.tensor(teacher, dtype=torch.float64) for teacher in turn.teachers],
        response_ids_T=torch.tensor(turn.response_ids),
        engine_logprobs_T=torch.tensor(turn.engine, dtype=torch.float64),
        mask_T=torch.tensor(turn.mask),
        reward=turn.reward,
        mean_reward=turn.mean_reward,
    )


def gradient(objective: Hybrid, turn: OracleTurn) -> Tensor:
    student = torch.tensor(turn.student, dtype=torch.float64, requires_grad=True)
    loss = objective.terms(tensors(turn, student)).loss_T.sum()
    return torch.autograd.grad(loss, student)[0] if loss.requires_grad else torch.zeros_like(student)


subsets = pytest.mark.parametrize("subset", ["teacher", "student"])


@subsets
@unhurried
@given(turn=turns(num_hints=3))
def test_the_loss_is_the_oracles(subset: str, turn: OracleTurn) -> None:
    objective = Hybrid(rl_weight=0.7, opd_weight=1.3, subset=subset, top_k=3, advantage_clip=0.8)
    expected = OracleSettings(rl_weight=0.7, opd_weight=1.3, subset=subset, top_k=3, advantage_clip=0.8)
    assert objective.terms(tensors(turn)).loss_T.tolist() == pytest.approx(oracle_loss(turn, expected), abs=1e-12)


@subsets
@settings(deadline=None, max_examples=20)
@given(turn=turns(num_hints=2))
def test_the_gradient_is_the_oracles_finite_difference(subset: str, turn: OracleTurn) -> None:
    step = 1e-6
    computed = gradient(Hybrid(subset=subset, top_k=3), turn).tolist()
    for t in range(NUM_TOKENS):
        for token in range(NUM_WORDS):
            sums = []
            for sign in (1, -1):
                moved = [list(row) for row in turn.student]
                moved[t][token] += sign * step
                changed = OracleTurn(**{**vars(turn), "student": moved})
                sums.append(sum(oracle_loss(changed, OracleSettings(subset=subset))))
            assert computed[t][token] == pytest.approx((sums[0] - sums[1]) / (2 * step), abs=1e-6)


@subsets
@unhurried
@given(turn=turns(num_hints=2))
def test_without_distillation_weight_the_loss_is_the_policy_loss(subset: str, turn: OracleTurn) -> None:
    only_reward = OracleTurn(**{**vars(turn), "teachers": []})
    weightless = Hybrid(opd_weight=0, subset=subset).terms(tensors(turn)).loss_T
    assert torch.equal(weightless, Hybrid(subset=subset).terms(tensors(only_reward)).loss_T)


@subsets
@unhurried
@given(turn=turns(num_hints=2))
def test_without_policy_weight_the_loss_is_the_distillation(subset: str, turn: OracleTurn) -> None:
    only_hint = OracleTurn(**{**vars(turn), "reward": None})
    weightless = Hybrid(rl_weight=0, subset=subset).terms(tensors(turn)).loss_T
    assert torch.equal(weightless, Hybrid(subset=subset).terms(tensors(only_hint)).loss_T)


@subsets
@unhurried
@given(turn=turns(num_hints=1))
def test_a_hint_that_changes_nothing_teaches_nothing(subset: str, turn: OracleTurn) -> None:
    unmoved = OracleTurn(**{**vars(turn), "teachers": [turn.student], "reward": None})
    objective = Hybrid(subset=subset, top_k=4)
    assert torch.count_nonzero(objective.terms(tensors(unmoved)).loss_T) == 0
    assert torch.count_nonzero(gradient(objective, unmoved)) == 0


@unhurried
@given(turn=turns(num_hints=0))
def test_a_reward_like_all_others_moves_nothing(turn: OracleTurn) -> None:
    usual = OracleTurn(**{**vars(turn), "mean_reward": turn.reward})
    assert torch.count_nonzero(gradient(Hybrid(), usual)) == 0


@subsets
@unhurried
@given(turn=turns(num_hints=2))
def test_a_masked_token_costs_and_moves_exactly_nothing_whatever_was_recorded_for_it(
    subset: str, turn: OracleTurn
) -> None:
    wild = [value if counts else -1e9 for value, counts in zip(turn.engine, turn.mask, strict=True)]
    turn = OracleTurn(**{**vars(turn), "engine": wild})
    masked = ~torch.tensor(turn.mask)
    assert torch.equal(
        Hybrid(subset=subset).terms(tensors(turn)).loss_T[masked], torch.zeros(int(masked.sum())).double()
    )
    moved = gradient(Hybrid(subset=subset), turn)
    assert moved.isfinite().all()
    assert torch.count_nonzero(moved[masked]) == 0


@subsets
@unhurried
@given(turn=turns(num_hints=3), order=st.permutations(range(3)))
def test_the_order_of_hints_changes_nothing_but_the_index(subset: str, turn: OracleTurn, order: list[int]) -> None:
    shuffled = OracleTurn(**{**vars(turn), "teachers": [turn.teachers[index] for index in order]})
    objective = Hybrid(subset=subset, top_k=3)
    assert torch.equal(objective.terms(tensors(turn)).loss_T, objective.terms(tensors(shuffled)).loss_T)
    assert order[select_hint(tensors(shuffled), 3)[0]] == select_hint(tensors(turn), 3)[0]
