"""`ProcessorsConfig`: the `[processors]` table of the settings."""

from pydantic import BaseModel, ConfigDict, Field


class ProcessorsConfig(BaseModel):
    """How long turns are waited for, how much of them is remembered, and how samples become batches."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch_size: int = Field(default=8, ge=1)  # samples of one policy per optimizer step
    seal_after_s: float = Field(default=3600.0, gt=0)  # a batch whose oldest sample is older is sealed as it is
    next_state_timeout_s: float = Field(default=1800.0, gt=0)  # then an action without next state has `ended`
    ambiguous_trains: bool = False  # whether turns that matched several conversations equally well train
    judge_batch: int = Field(default=8, ge=1)  # most transitions handed to the judge at once
    max_open_age_s: float = Field(default=3 * 86_400.0, gt=0)  # a turn is forgotten after this: a long weekend
    max_open_bytes: int = Field(default=256 * 1024 * 1024, ge=1)  # of open turns and their actions; oldest go first
