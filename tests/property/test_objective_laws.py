"""Laws of every objective, for any turn: the oracle's loss and slope, additivity, exact masks, hints unordered."""

import random
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.property.objective_oracle import OracleTurn, batch_advantages, log_softmax, oracle_losses, z_scores
from trainer.objectives.advantages import Baseline, group_advantages
from trainer.objectives.base import Objective, Signals, TurnTensors
from trainer.objectives.binary_rl import BinaryRL
from trainer.objectives.combined import Combined
from trainer.objectives.grpo import GRPO
from trainer.objectives.hints import choose_hint
from trainer.objectives.hybrid import Hybrid
from trainer.objectives.opd import OPD
from trainer.objectives.topk_distillation import TopKDistillation

NUM_TOKENS, NUM_WORDS = 5, 11
SELECTIONS = ("sequence_optimal", "token_optimal", "shortest")
unhurried = settings(deadline=None, max_examples=30)  # the machine may be training something meanwhile

VARIANTS: list[Any] = [
    BinaryRL(),
    BinaryRL(kl_weight=0.4, clip_low=0.1, clip_high=0.5, stale="drop", stale_bound=1),
    OPD(),
    OPD(kl_weight=0.4, stale="drop", stale_bound=1),
    Combined(rl_weight=0.7, opd_weight=1.3),
    Combined(kl_weight=0.4, stale="drop", stale_bound=0),
    *(
        Hybrid(top_k=3, rl_weight=0.7, opd_weight=1.3, advantage_clip=0.8, subset=subset, hint_selection=selection)
        for subset in ("teacher", "student", "overlap")
        for selection in SELECTIONS
    ),
    Hybrid(top_k=3, stale="truncate", stale_cap=1.2),
    Hybrid(top_k=3, kl_weight=0.4, stale="drop", stale_bound=1),
    TopKDistillation(top_k=3),
    TopKDistillation(top_k=4, subset="teacher", hint_selection="token_optimal", stale="truncate", stale_cap=1.2),
    TopKDistillation(top_k=3, kl_weight=0.4, stale="drop", stale_bound=1),
    GRPO(kl_weight=0.4, stale="drop", stale_bound=1),
]
variants = pytest.mark.parametrize("objective", VARIANTS, ids=lambda each: f"{each.name}-{VARIANTS.index(each)}")


def turns(num_hints: int = 3) -> st.SearchStrategy[OracleTurn]:
    """Turns with distinct log-probs in each row, so that every top-k set is unique."""
    advantages = st.sampled_from([-1.5, -0.25, 1.0])
    return st.builds(random_turn, st.integers(0, 2**32), st.just(num_hints), advantages)


def random_turn(seed: int, num_hints: int, advantage: float | None) -> OracleTurn:
    rng = random.Random(seed)

    def matrix() -> list[list[float]]:
        return [[rng.gauss(0, 1.5) for _ in range(NUM_WORDS)] for _ in range(NUM_TOKENS)]

    student, response_ids = matrix(), [rng.randrange(NUM_WORDS) for _ in range(NUM_TOKENS)]
    return OracleTurn(
        student=student,
        old=student,
        reference=[[logit + rng.gauss(0, 0.7) for logit in row] for row in student],
        teachers=[matrix() for _ in range(num_hints)],
        hint_lengths=[rng.randrange(5, 8) for _ in range(num_hints)],
        response_ids=response_ids,
        engine=[log_softmax(student[t])[token] + rng.gauss(0, 0.3) for t, token in enumerate(response_ids)],
        staleness=[rng.randrange(3) for _ in range(NUM_TOKENS)],
        mask=[True, *(rng.random() < 0.7 for _ in range(NUM_TOKENS - 1))],
        advantage=advantage,
    )


def logprobs(logits: Any) -> Tensor:
    return torch.as_tensor(logits, dtype=torch.float64).log_softmax(-1)


def tensors(turn: OracleTurn, student: Tensor | None = None) -> TurnTensors:
    return TurnTensors(
        student_logprobs_TV=logprobs(turn.student if student is None else student),
        reference_logprobs_TV=logprobs(turn.reference),
        teacher_logprobs_HTV=[logprobs(teacher) for teacher in turn.teachers],
        num_hint_tokens=turn.hint_lengths,
        response_ids_T=torch.tensor(turn.response_ids),
        engine_logprobs_T=torch.tensor(turn.engine, dtype=torch.float64),
        staleness_T=torch.tensor(turn.staleness),
        mask_T=torch.tensor(turn.mask),
        advantage=turn.advantage,
    )


def losses(objective: Objective, turn: OracleTurn) -> Tensor:
    return objective.terms(tensors(turn)).loss_T


def gradient_of(objective: Objective, turn: OracleTurn) -> Tensor:
    """Of the summed loss, by the student's logits."""
    student = torch.tensor(turn.student, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(objective.terms(tensors(turn, student)).loss_T.sum(), student)
    return gradient


def moved(logits: Any, direction: Any, step: float) -> list[list[float]]:
    return [[a + step * b for a, b in zip(*rows, strict=True)] for rows in zip(logits, direction, strict=True)]


@variants
@unhurried
@given(turn=turns())
def test_the_loss_is_the_oracles(objective: Any, turn: OracleTurn) -> None:
    expected = oracle_losses(turn, objective.model_dump())
    assert losses(objective, turn).tolist() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("objective", [Combined(), Hybrid(top_k=3)], ids=lambda each: each.name)
@unhurried
@given(hinted=turns(), rewarded=turns(num_hints=0))
def test_the_loss_of_a_turn_with_one_signal_is_the_oracles(
    objective: Any, hinted: OracleTurn, rewarded: OracleTurn
) -> None:
    for turn in (replace(hinted, advantage=None), rewarded):
        expected = oracle_losses(turn, objective.model_dump())
        assert losses(objective, turn).tolist() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@variants
@settings(deadline=None, max_examples=10)
@given(turn=turns(), seed=st.integers(0, 2**32))
def test_the_gradient_is_the_oracles_finite_difference(objective: Any, turn: OracleTurn, seed: int) -> None:
    rng, step = random.Random(seed), 1e-6
    gradient = gradient_of(objective, turn)
    for t in range(NUM_TOKENS):
        direction = [[rng.gauss(0, 1) * (row == t) for _ in range(NUM_WORDS)] for row in range(NUM_TOKENS)]
        up, down = (
            sum(
                oracle_losses(
                    replace(turn, student=moved(turn.student, direction, sign * step)), objective.model_dump()
                )
            )
            for sign in (1, -1)
        )
        slope = float((gradient * torch.tensor(direction, dtype=torch.float64)).sum())
        assert slope == pytest.approx((up - down) / (2 * step), rel=1e-5, abs=1e-6)


@unhurried
@given(turn=turns())
def test_without_distillation_weight_every_method_is_binary_rl(turn: OracleTurn) -> None:
    plain = losses(BinaryRL(), turn)
    assert torch.equal(losses(Hybrid(rl_weight=1, opd_weight=0), turn), plain)
    assert torch.equal(losses(Combined(opd_weight=0), turn), plain)
    assert torch.equal(losses(GRPO(), turn), plain)


@unhurried
@given(turn=turns())
def test_without_policy_weight_every_method_is_its_distillation(turn: OracleTurn) -> None:
    unrewarded = replace(turn, advantage=None)
    assert torch.equal(losses(Combined(rl_weight=0), turn), losses(OPD(), turn))
    assert torch.equal(losses(OPD(), turn), losses(OPD(), unrewarded))
    assert torch.equal(losses(Hybrid(rl_weight=0, top_k=3), turn), losses(Hybrid(top_k=3), unrewarded))


DISTILLING = [OPD(), Combined(), TopKDistillation(top_k=3), *VARIANTS[6:15]]


@pytest.mark.parametrize("objective", DISTILLING, ids=lambda each: f"{each.name}-{DISTILLING.index(each)}")
@unhurried
@given(turn=turns(num_hints=1))
def test_a_hint_that_changes_nothing_teaches_nothing(objective: Any, turn: OracleTurn) -> None:
    unmoved = replace(turn, teachers=[turn.student], advantage=None)
    assert torch.count_nonzero(losses(objective, unmoved)) == 0
    gradient = gradient_of(objective, unmoved)
    assert float(gradient.abs().max()) < 1e-12  # the two halves of a divergence's gradient cancel but for rounding


@unhurried
@given(turn=turns())
def test_a_turn_that_is_worth_as_much_as_all_others_is_not_moved_by_its_verdict(turn: OracleTurn) -> None:
    usual = replace(turn, advantage=0.0)
    for objective in (BinaryRL(), GRPO(), Hybrid(opd_weight=0)):
        assert torch.count_nonzero(gradient_of(objective, usual)) == 0


@unhurried
@given(turn=turns())
def test_on_policy_the_ratio_is_one_and_nothing_is_clipped_or_weighted(turn: OracleTurn) -> None:
    drawn = [log_softmax(row)[token] for row, token in zip(turn.student, turn.response_ids, strict=True)]
    fresh = replace(turn, engine=drawn, mask=[True] * NUM_TOKENS)
    terms = BinaryRL().terms(tensors(fresh))
    assert terms.loss_T.tolist() == pytest.approx([-turn.advantage] * NUM_TOKENS)
    assert terms.metrics["clip_fraction"] == 0.0
    for method in (Hybrid, TopKDistillation):
        plain, weighted = (losses(method(top_k=3, stale=stale), fresh) for stale in ("ratio", "truncate"))
        assert weighted.tolist() == pytest.approx(plain.tolist())


@variants
@unhurried
@given(turn=turns(), wild=st.sampled_from([-1e9, 1e9, float("nan"), float("-inf")]))
def test_a_masked_token_costs_and_moves_exactly_nothing_whatever_was_recorded_for_it(
    objective: Any, turn: OracleTurn, wild: float
) -> None:
    def spoiled(rows: Any, value: Any) -> list[Any]:
        return [row if counts else value for row, counts in zip(rows, turn.mask, strict=True)]

    nonsense = [wild] * NUM_WORDS
    spoilt = replace(
        turn,
        engine=spoiled(turn.engine, wild),
        staleness=spoiled(turn.staleness, 99),
        reference=spoiled(turn.reference, nonsense),
        teachers=[spoiled(teacher, nonsense) for teacher in turn.teachers],
    )
    masked = ~torch.tensor(turn.mask)
    loss_T = losses(objective, spoilt)
    assert torch.equal(loss_T, losses(objective, turn))
    assert torch.count_nonzero(loss_T[masked]) == 0
    gradient = gradient_of(objective, spoilt)
    assert torch.equal(gradient, gradient_of(objective, turn))
    assert torch.count_nonzero(gradient[masked]) == 0


@pytest.mark.parametrize("selection", SELECTIONS)
@unhurried
@given(turn=turns(), order=st.permutations(range(3)))
def test_the_order_of_hints_changes_nothing_but_the_index(selection: Any, turn: OracleTurn, order: list[int]) -> None:
    shuffled = replace(
        turn,
        teachers=[turn.teachers[index] for index in order],
        hint_lengths=[turn.hint_lengths[index] for index in order],
    )
    own, others = (choose_hint(tensors(each), selection, 3) for each in (turn, shuffled))
    assert [order[index] for index in others.index_T.tolist()] == own.index_T.tolist()
    assert (own.overlap, own.logprobs_TV.tolist()) == (others.overlap, others.logprobs_TV.tolist())
    for method in (Hybrid, TopKDistillation):
        objective = method(top_k=3, hint_selection=selection)
        assert torch.equal(losses(objective, turn), losses(objective, shuffled))
    assert torch.equal(losses(OPD(), turn), losses(OPD(), shuffled))


rewards = st.none() | st.sampled_from([-1.0, 0.1, 1.0])


@pytest.mark.parametrize("baseline", ["batch", "running", "none"])
@unhurried
@given(given_rewards=st.lists(rewards, max_size=6), past=st.lists(st.floats(-1, 1), max_size=4))
def test_the_worth_of_rewards_is_the_oracles(
    baseline: Any, given_rewards: list[float | None], past: list[float]
) -> None:
    signals = [Signals(has_hints=False, reward=reward) for reward in given_rewards]
    advantages = Baseline(baseline=baseline).advantages(signals, past)
    assert advantages == [
        None if each is None else pytest.approx(each, abs=1e-12)
        for each in batch_advantages(given_rewards, past, baseline)
    ]


@settings(deadline=None)
@given(rows=st.lists(st.tuples(st.sampled_from([None, "a", "b"]), st.sampled_from([0, 1]), rewards, rewards)))
def test_the_worth_of_siblings_is_the_oracles(
    rows: list[tuple[str | None, int | None, float | None, float | None]],
) -> None:
    signals = [
        Signals(has_hints=False, reward=reward, outcome=outcome, group_id=group_id, step=step)
        for group_id, step, reward, outcome in rows
    ]
    advantages = group_advantages(signals)
    assert advantages == [None if each is None else pytest.approx(each, abs=1e-9) for each in z_scores(rows)]
    own = GRPO()
    assert [each is None for each in advantages] == [not own.passes(signal) for signal in signals]
