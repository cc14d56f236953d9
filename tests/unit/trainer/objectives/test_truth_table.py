"""Which passes each method reads for a turn, and that `terms` has a term exactly where it read one."""

import pytest

from trainer.objectives.base import Objective, Signals
from trainer.objectives.binary_rl import BinaryRL
from trainer.objectives.combined import Combined
from trainer.objectives.grpo import GRPO
from trainer.objectives.hybrid import Hybrid
from trainer.objectives.opd import OPD
from trainer.objectives.topk_distillation import TopKDistillation

BOTH = Signals(has_hints=True, reward=-1.0)
HINT = Signals(has_hints=True, reward=None)
REWARD = Signals(has_hints=False, reward=1.0)
NEITHER = Signals(has_hints=False, reward=None)
GROUP = Signals(has_hints=False, reward=None, outcome=1.0, group_id="task", step=0)


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        #                       both                hint               reward     neither  group
        (BinaryRL(), ["student", "", "student", "", ""]),
        (OPD(), ["student teacher", "student teacher", "", "", ""]),
        (Combined(), ["student teacher", "student teacher", "student", "", ""]),
        (Combined(opd_weight=0), ["student", "", "student", "", ""]),
        (Combined(rl_weight=0), ["student teacher", "student teacher", "", "", ""]),
        (Hybrid(), ["student teacher", "student teacher", "student", "", ""]),
        (Hybrid(opd_weight=0), ["student", "", "student", "", ""]),
        (Hybrid(rl_weight=0), ["student teacher", "student teacher", "", "", ""]),
        (TopKDistillation(), ["student teacher", "student teacher", "", "", ""]),
        (GRPO(), ["", "", "", "", "student"]),
    ],
    ids=str,
)
def test_a_turn_gets_the_passes_that_its_signals_call_for(objective: Objective, expected: list[str]) -> None:
    asked = [objective.passes(signals) for signals in (BOTH, HINT, REWARD, NEITHER, GROUP)]
    assert asked == [frozenset(passes.split()) for passes in expected]


@pytest.mark.parametrize(
    ("objective", "signals"),
    [
        (BinaryRL(kl_weight=0.1), REWARD),
        (OPD(kl_weight=0.1), HINT),
        (Combined(kl_weight=0.1), HINT),
        (Hybrid(kl_weight=0.1), BOTH),
        (TopKDistillation(kl_weight=0.1), HINT),
        (GRPO(kl_weight=0.1), GROUP),
    ],
    ids=str,
)
def test_a_kl_weight_reads_the_reference_and_is_no_lesson_itself(objective: Objective, signals: Signals) -> None:
    assert objective.passes(signals) == {*objective.model_copy(update={"kl_weight": 0.0}).passes(signals), "reference"}
    assert objective.passes(NEITHER) == frozenset()


def test_an_outcome_counts_only_among_siblings() -> None:
    assert GRPO().passes(Signals(has_hints=True, reward=1.0, outcome=1.0)) == frozenset()
    assert GRPO().passes(Signals(has_hints=True, reward=None, group_id="task")) == frozenset()
    assert GRPO().passes(Signals(has_hints=True, reward=1.0, group_id="task")) == {"student"}
