"""What `bench train` compares is the same step: same turns, same loss, same gradient."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from infra.bench.measured import Measured
from infra.bench.train import bench_row
from infra.bench.train_ours import draw, time_step
from infra.bench.train_samples import Sample, conversation_samples
from infra.tiny_model import save_tiny_llama
from serving.rendering import ChatRenderer
from trainer.config import TrainerConfig

CONFIG = TrainerConfig(lora_rank=2, lora_alpha=4)


@pytest.fixture(scope="module")
def tiny_path(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model's words and chat template, with a body that computes in no time."""
    folder = tmp_path_factory.mktemp("tiny-chat")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (folder / name).write_bytes((model_path / name).read_bytes())
    save_tiny_llama(folder, ChatRenderer(model_path).vocab_size)
    return folder


@pytest.fixture(scope="module")
def samples(tiny_path: Path) -> list[Sample]:
    return conversation_samples(tiny_path, 3)


def test_each_prompt_holds_the_turn_before_it_token_by_token(tiny_path: Path, samples: list[Sample]) -> None:
    for before, after in pairwise(samples):
        read_and_said = before.prompt_ids + before.response_ids
        assert after.prompt_ids[: len(read_and_said)] == read_and_said
    decoded = [ChatRenderer(tiny_path).decode(sample.response_ids) for sample in samples]
    assert all(text.startswith("To ") and text.endswith(".") for text in decoded)


@pytest.mark.parametrize("hinted", [False, True])
def test_shared_prefixes_make_the_step_that_turn_by_turn_makes(
    tiny_path: Path, samples: list[Sample], hinted: bool
) -> None:
    drawn = draw(tiny_path, CONFIG, samples)
    shared, naive = (
        time_step(tiny_path, CONFIG, samples, drawn, shared=shared, hinted=hinted) for shared in (True, False)
    )
    row = bench_row("a method", "shared prefixes", shared, naive, num_tokens=100)
    assert row.loss == pytest.approx(naive.loss, abs=1e-5)
    assert row.difference < 1e-4
    assert np.linalg.norm(np.frombuffer(naive.gradient, np.float32)) > 1e-3


def test_a_row_is_measured_against_turn_by_turn() -> None:
    naive = Measured(seconds=6.0, peak_bytes=1, loss=0.5, gradient=np.array([3.0, 4.0], np.float32).tobytes())
    other = Measured(seconds=2.0, peak_bytes=2, loss=0.5, gradient=np.array([3.0, 4.5], np.float32).tobytes())
    row = bench_row("a method", "TRL", other, naive, num_tokens=100)
    assert (row.speedup, row.tokens_per_s, row.difference) == (3.0, 50.0, pytest.approx(0.1))
