"""`TrainerConfig`: the `[trainer]` table of the settings. Imports no torch: commands read it before anything heavy."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from trainer.objectives.registry import DEFAULT, ObjectiveConfig

LORA_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")  # all linears of a block


class TrainerConfig(BaseModel):
    """How a policy learns from its batches."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: Literal["torch"] = "torch"  # who computes gradients; torch: one process with a LoRA adapter
    objective: ObjectiveConfig = DEFAULT  # what is learned from a turn
    learning_rate: float = Field(
        default=6e-4, gt=0
    )  # AdamW's; taught SmolLM2-135M a style rule in 8 updates of 8 turns, where 3e-4 got half as far
    max_grad_norm: float = Field(default=1.0, gt=0)  # the gradient of one batch is scaled down to this length
    lora_rank: int = Field(default=16, ge=1)  # the engine must allow it: --max-lora-rank
    lora_alpha: int = Field(default=32, ge=1)  # the adapter's output is scaled by alpha / rank
    lora_targets: tuple[str, ...] = LORA_TARGETS  # names of the linear layers that get an adapter
    max_staleness: int = Field(default=8, ge=0)  # versions; a sample acted by an older one is skipped as too_stale
    max_pass_tokens: int = Field(default=1024, ge=1)  # turns that begin alike share a pass up to this; bounds memory
    seed: int = 0  # of the adapter's first weights
    num_threads: int = Field(default=1, ge=1)  # of torch; serving shares the machine
    keep_checkpoints: int = Field(default=20, ge=1)  # newest ones on disk; older folders are removed after a commit
