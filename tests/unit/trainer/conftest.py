"""A real but tiny language model, and batches of made-up tokens for it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from trainer.backends.torch import TorchBackend
from trainer.config import TrainerConfig

VOCAB_SIZE = 64


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an untrained Llama of 2 layers and 64 words, spread out enough that log-probs differ."""
    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(7)
    config = LlamaConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        vocab_size=VOCAB_SIZE,
        initializer_range=0.3,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def config() -> TrainerConfig:
    return TrainerConfig(lora_rank=4, lora_alpha=8, learning_rate=1e-2, max_staleness=2, keep_checkpoints=2)


@pytest.fixture
def load(tiny_model: Path, config: TrainerConfig) -> Callable[[], TorchBackend]:
    """Loads the tiny model anew, as a restarted trainer does."""
    return lambda: TorchBackend.load(tiny_model, config)


@pytest.fixture
def backend(load: Callable[[], TorchBackend]) -> TorchBackend:
    return load()
