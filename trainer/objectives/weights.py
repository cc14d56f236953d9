"""`SignalWeights`: how much a turn's two signals count, and which passes they take, for methods that read both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from trainer.objectives.base import Pass, Signals


class SignalWeights(BaseModel):
    """A weight of 0 counts as an absent signal: nothing is computed for it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rl_weight: float = Field(default=1.0, ge=0)  # of the verdict
    opd_weight: float = Field(default=1.0, ge=0)  # of the hint

    def own_passes(self, signals: Signals) -> frozenset[Pass]:
        """The student's, and the teacher's of a turn with a hint; none of a turn that lacks what counts."""
        if signals.has_hints and self.opd_weight > 0:
            return frozenset(("student", "teacher"))
        return frozenset(("student",) if signals.reward is not None and self.rl_weight > 0 else ())
