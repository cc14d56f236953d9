"""`SignalWeights`: how much a turn's two signals count, and which passes they take, for methods that read both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.errors import SettingsError

if TYPE_CHECKING:
    from trainer.objectives.base import Pass, Signals


class SignalWeights(BaseModel):
    """A weight of 0 counts as an absent signal: nothing is computed for it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rl_weight: float = Field(default=1.0, ge=0)  # of the verdict
    opd_weight: float = Field(default=1.0, ge=0)  # of the hint

    @model_validator(mode="after")
    def _count_something(self) -> Self:
        """Raised as ours, so that it is a sentence as it stands."""
        if not self.rl_weight and not self.opd_weight:
            raise SettingsError(
                "trainer.objective.rl_weight and opd_weight are both 0, so nothing would train; set one above 0."
            )
        return self

    def own_passes(self, signals: Signals) -> frozenset[Pass]:
        """The student's, and the teacher's of a turn with a hint; none of a turn that lacks what counts."""
        if signals.has_hints and self.opd_weight > 0:
            return frozenset(("student", "teacher"))
        return frozenset(("student",) if signals.reward is not None and self.rl_weight > 0 else ())
