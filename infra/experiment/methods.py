"""`METHODS`: what the experiment compares, each as named settings of the ordinary components.

A method is an objective of the trainer (none: no training), who judges, who writes hints, what is added to samples, and
whether the client keeps a memory in its prompt. Imports no torch: the command line reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from trainer.objectives.binary_rl import BinaryRL
from trainer.objectives.combined import Combined
from trainer.objectives.hindsight import Hindsight
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
    judging: Judging = "reaction"
    hinting: Hinting = "verbatim"
    examples: bool = False  # teachers are shown the answers that the user liked last
    standing_hints: bool = False  # the user's last correction is the hint of turns without one
    remembers: bool = False  # the client puts the user's last corrections into its system prompt
    learning_rate: float = 1e-3
    batch_size: int = 4

    @property
    def fits_stack(self) -> bool:
        """Whether the settings of a stack can say it: one always trains, and has the ordinary judge and hints only."""
        is_ordinary = self.judging == "reaction" and self.hinting == "verbatim" and not self.standing_hints
        return is_ordinary and self.objective is not None


_PAPER: Final = Hybrid(subset="student", top_k=4, advantage_clip=1.0, rl_weight=1.0, opd_weight=1.0, baseline="none")
_OURS: Final = Hindsight(top_k=20, rl_weight=0.5, baseline="batch", opd_weight=4.0, retry_weight=4.0)


def _ours(what: str, **changes: object) -> Method:
    objective = Hindsight.model_validate(_OURS.model_dump() | changes)
    return Method(what=f"ours, {what}", objective=objective, examples=True)


METHODS: Final[dict[str, Method]] = {
    # The table.
    "hybrid_paper": Method(what="the paper's hybrid: student top-4, C = 1, no baseline", objective=_PAPER),
    "binary_rl": Method(what="verdicts only", objective=BinaryRL(baseline="none"), hinting="none"),
    "opd": Method(what="hints only, token level", objective=OPD()),
    "combined": Method(what="verdict and hint in one advantage, token level", objective=Combined(baseline="none")),
    "ours": Method(what="verdicts, a teacher with examples, accepted retries", objective=_OURS, examples=True),
    "none": Method(what="control: no training", objective=None),
    "prompt_memory": Method(what="no training, corrections in the prompt", objective=None, remembers=True),
    "flipped": Method(
        what="control: verdicts negated, no hints",
        objective=BinaryRL(baseline="none"),
        judging="flipped",
        hinting="none",
    ),
    # Ours with one thing changed: what each part is worth.
    "ours_no_examples": Method(what="ours, teachers read no example", objective=_OURS),
    "ours_no_retries": _ours("without retries", retry_weight=0.0),
    "ours_no_teacher": _ours("without hints and examples", opd_weight=0.0),
    "ours_no_verdicts": _ours("without verdicts", rl_weight=0.0),
    "ours_agrees": _ours("negative verdicts only where the teacher agrees", negative="teacher_agrees"),
    "ours_running": _ours("running baseline", baseline="running"),
    "ours_follow_up": Method(
        what="ours, every reply, thanks too, is a hint", objective=_OURS, examples=True, hinting="follow_up"
    ),
    "ours_standing": Method(
        what="ours, earlier corrections are hints for turns without",
        objective=_OURS,
        examples=True,
        standing_hints=True,
    ),
    # Others.
    "opd_topk": Method(
        what="hints only: the paper's top-4 without verdicts",
        objective=Hybrid.model_validate(_PAPER.model_dump() | {"rl_weight": 0.0}),
    ),
    "hybrid_teacher": Method(
        what="the paper's hybrid, the teacher's top 20",
        objective=Hybrid.model_validate(_PAPER.model_dump() | {"subset": "teacher", "top_k": 20}),
    ),
    "hybrid_examples": Method(what="the paper's hybrid, examples", objective=_PAPER, examples=True),
    "topk_distillation": Method(what="reverse KL with a tail bin", objective=TopKDistillation()),
}
IN_TABLE: Final = ("hybrid_paper", "binary_rl", "opd", "combined", "ours", "none", "prompt_memory", "flipped")
