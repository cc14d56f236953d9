"""`METHODS`: what the experiment compares, each as named settings of the ordinary components.

A method is an objective of the trainer (none: no training) and its learning rate, who judges, who writes hints, and
whether the client keeps a memory in its prompt. Imports no torch: the command line reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from trainer.objectives.binary_rl import BinaryRL
from trainer.objectives.combined import Combined
from trainer.objectives.hybrid import Hybrid
from trainer.objectives.opd import OPD
from trainer.objectives.registry import ObjectiveConfig
from trainer.objectives.topk_distillation import TopKDistillation

Judging = Literal["reaction", "flipped"]
Hinting = Literal["verbatim", "follow_up", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One row of the table."""

    what: str
    objective: ObjectiveConfig | None
    learning_rate: float  # LOG.md says what was tried; of no effect where nothing trains
    judging: Judging = "reaction"
    hinting: Hinting = "verbatim"
    remembers: bool = False  # the client puts the user's last corrections into its system prompt
    batch_size: int = 4

    @property
    def fits_stack(self) -> bool:
        """Whether the settings of a stack can say it: one always trains, and has the ordinary judge and hints only."""
        return self.objective is not None and self.judging == "reaction" and self.hinting == "verbatim"


_PAPER: Final = Hybrid(subset="student", top_k=4, advantage_clip=1.0, rl_weight=1.0, opd_weight=1.0, baseline="none")


def _changed(what: str, *, learning_rate: float, **changes: object) -> Method:
    objective = Hybrid.model_validate(_PAPER.model_dump() | changes)
    return Method(what=what, objective=objective, learning_rate=learning_rate)


METHODS: Final[dict[str, Method]] = {
    # The table.
    "hybrid_paper": Method(
        what="the paper's hybrid: student top-4, C = 1, no baseline", objective=_PAPER, learning_rate=2e-3
    ),
    "binary_rl": Method(what="verdicts only", objective=BinaryRL(baseline="none"), learning_rate=2e-3, hinting="none"),
    "opd": Method(what="hints only, token level", objective=OPD(), learning_rate=1e-3),
    "combined": Method(
        what="verdict and hint in one advantage, token level", objective=Combined(baseline="none"), learning_rate=2e-3
    ),
    "none": Method(what="control: no training", objective=None, learning_rate=2e-3),
    "prompt_memory": Method(
        what="no training, corrections in the prompt", objective=None, learning_rate=2e-3, remembers=True
    ),
    "flipped": Method(
        what="control: verdicts negated, no hints",
        objective=BinaryRL(baseline="none"),
        learning_rate=2e-3,
        judging="flipped",
        hinting="none",
    ),
    # One thing changed.
    "hybrid_slow": _changed("the paper's hybrid at half the learning rate", learning_rate=1e-3),
    "opd_topk": _changed("hints only: the paper's top-4 without verdicts", learning_rate=1e-3, rl_weight=0.0),
    "hybrid_teacher": _changed(
        "the paper's hybrid, the teacher's top 20", learning_rate=2e-3, subset="teacher", top_k=20
    ),
    "hybrid_top20": _changed("the paper's hybrid, the student's top 20", learning_rate=2e-3, top_k=20),
    "hybrid_clip2": _changed("the paper's hybrid, C = 2", learning_rate=2e-3, advantage_clip=2.0),
    "hybrid_running": _changed("the paper's hybrid, running baseline", learning_rate=2e-3, baseline="running"),
    "hybrid_follow_up": Method(
        what="the paper's hybrid, every reply, thanks too, is a hint",
        objective=_PAPER,
        learning_rate=2e-3,
        hinting="follow_up",
    ),
    "topk_distillation": Method(what="reverse KL with a tail bin", objective=TopKDistillation(), learning_rate=1e-3),
}
IN_TABLE: Final = ("hybrid_paper", "binary_rl", "opd", "combined", "none", "prompt_memory", "flipped")
