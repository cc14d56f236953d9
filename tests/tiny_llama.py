"""An untrained Llama that computes in no time, for tests that need a real model and no sense in what it says."""

from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM


def save_tiny_llama(folder: Path, vocab_size: int, **config: Any) -> None:
    """Writes 2 layers of width 16 with the same weights each time, spread out enough that log-probs differ."""
    torch.manual_seed(7)
    own = {"num_attention_heads": 2, **config}
    shape = LlamaConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        vocab_size=vocab_size,
        initializer_range=0.3,
        **own,
    )
    LlamaForCausalLM(shape).save_pretrained(folder)
