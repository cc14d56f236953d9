"""A real but tiny language model, and batches of made-up tokens for it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from infra.tiny_model import save_tiny_llama
from trainer.backends.torch import TorchBackend
from trainer.config import TrainerConfig

VOCAB_SIZE = 64


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an untrained Llama of 64 words."""
    folder = tmp_path_factory.mktemp("tiny")
    save_tiny_llama(folder, VOCAB_SIZE, num_key_value_heads=1)
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
