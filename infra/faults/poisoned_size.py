"""`Size`: with which model, how long and within which bounds the poisoned judge is tried."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from infra.demo.questions import ASKED
from infra.faults.outcome import Trial
from infra.prepare import model_folder
from schemas.events import Message
from serving.config import GateConfig
from serving.measurement import Renderer
from serving.rendering import ChatRenderer
from trainer.config import TrainerConfig
from trainer.objectives.binary_rl import BinaryRL

POLICY = "assistant"
_VOCAB_SIZE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """One trial."""

    model_path: Path
    renderer: Renderer
    trainer: TrainerConfig
    bounds: GateConfig
    num_rounds: int
    num_answers: int  # at each of two temperatures

    def prompt(self, number: int) -> tuple[int, ...]:
        """The tokens of one of the questions."""
        question = ASKED[number % len(ASKED)]
        return self.renderer.render((Message(role="user", content=question),), "[]", "{}")


class Letters:
    """A renderer for a model that was never trained: a token for each of a question's last letters."""

    def render(self, messages: Sequence[Message], tools: str, template_arguments: str) -> tuple[int, ...]:  # noqa: ARG002
        """At least one token."""
        return tuple(letter % _VOCAB_SIZE for letter in messages[-1].content.encode()[-8:])

    def decode(self, ids: Sequence[int]) -> str:
        """The letters of some tokens."""
        return bytes(ids).decode(errors="replace")


def full_size(trial: Trial) -> Size:
    """The model that a stack serves, within the bounds of the settings."""
    model_path = model_folder(trial.settings, trial.report)
    return Size(
        model_path=model_path,
        renderer=ChatRenderer(model_path),
        trainer=TrainerConfig(objective=BinaryRL(baseline="none"), learning_rate=4e-3, seed=trial.seed),
        bounds=trial.settings.gate.model_copy(update={"timeout_s": 600.0}),  # one request after the other, on one core
        num_rounds=24,
        num_answers=4,
    )


def short_size(trial: Trial) -> Size:
    """A model that was never trained: what it says makes no sense, but how far it moves from that can be measured."""
    model_path = trial.folder / "model"
    torch.manual_seed(trial.seed)
    shape = LlamaConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        vocab_size=_VOCAB_SIZE,
        initializer_range=0.5,  # spread out, so that some tokens are likelier than others
        eos_token_id=None,
    )
    LlamaForCausalLM(shape).save_pretrained(model_path)
    config = TrainerConfig(
        objective=BinaryRL(baseline="none"), learning_rate=2e-2, lora_rank=4, lora_alpha=8, seed=trial.seed
    )
    bounds = GateConfig(max_repeated=1.0)  # with so few words everything repeats
    return Size(model_path=model_path, renderer=Letters(), trainer=config, bounds=bounds, num_rounds=12, num_answers=4)
