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
Source = Literal["standing_hints"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One row of the table."""

    what: str
    objective: ObjectiveConfig | None
    judging: Judging = "reaction"
    hinting: Hinting = "verbatim"
    sources: tuple[Source, ...] = ()
    examples: bool = False  # teachers read the user's last accepted answer first
    remembers: bool = False  # the client puts the user's last corrections into its system prompt
    learning_rate: float = 1e-3
    batch_size: int = 4
    steps_per_batch: int = 1

    @property
    def fits_stack(self) -> bool:
        """Whether the settings of a stack can say it: one always trains, and has the ordinary judge and hints only."""
        is_ordinary = self.judging == "reaction" and self.hinting == "verbatim" and not self.sources
        return is_ordinary and self.objective is not None


_PAPER: Final = Hybrid(subset="student", top_k=4, advantage_clip=1.0, rl_weight=1.0, opd_weight=1.0, baseline="none")
_OURS: Final = Hindsight(subset="teacher", top_k=20, rl_weight=0.5, baseline="batch", retry_weight=4.0)


def _ours(what: str, **changes: object) -> Method:
    objective = Hindsight.model_validate(_OURS.model_dump() | changes)
    return Method(what=f"ours, {what}", objective=objective, examples=True)


METHODS: Final[dict[str, Method]] = {
    # The table.
    "hybrid_paper": Method(what="the paper's hybrid: student top-4, C = 1, no baseline", objective=_PAPER),
    "binary_rl": Method(what="verdicts only", objective=BinaryRL(baseline="none"), hinting="none"),
    "opd": Method(what="hints only, token level", objective=OPD()),
    "combined": Method(what="verdict and hint in one advantage, token level", objective=Combined(baseline="none")),
    "ours": Method(what="teacher top-20, accepted retries, examples", objective=_OURS, examples=True),
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
    "ours_no_hints": _ours("without hints", opd_weight=0.0),
    "ours_no_verdicts": _ours("without verdicts", rl_weight=0.0),
    "ours_student_subset": _ours("the student's top 20", subset="student"),
    "ours_agrees": _ours("negative verdicts only where the teacher agrees", negative="teacher_agrees"),
    "ours_running": _ours("running baseline", baseline="running"),
    "ours_follow_up": Method(
        what="ours, every reply, thanks too, is a hint", objective=_OURS, examples=True, hinting="follow_up"
    ),
    "ours_standing": Method(
        what="ours, earlier corrections are hints for turns without",
        objective=_OURS,
        examples=True,
        sources=("standing_hints",),
    ),
    "ours_two_steps": Method(what="ours, two steps per batch", objective=_OURS, examples=True, steps_per_batch=2),
    # Others.
    "opd_topk": Method(
        what="hints only: the paper's top-4 without verdicts",
        objective=Hybrid.model_validate(_PAPER.model_dump() | {"rl_weight": 0.0}),
    ),
    "topk_distillation": Method(what="reverse KL with a tail bin", objective=TopKDistillation()),
}
IN_TABLE: Final = ("hybrid_paper", "binary_rl", "opd", "combined", "ours", "none", "prompt_memory", "flipped")
