"""A tiny untrained Llama that speaks in bytes, and a judge of few words, for the tests of the experiment."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tiny_llama import save_tiny_llama
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from infra.experiment import pipeline, rig
from infra.experiment.judging import FlippedJudge
from processors.ports import Judgement
from serving.judges.next_state import read_next_state
from trainer.config import TrainerConfig
from trainer.objectives.hybrid import Hybrid

END = "<|im_end|>"
TEMPLATE = """{% for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def make_tiny(folder: Path) -> Path:
    """A model folder: a tiny Llama, one token per byte."""
    folder.mkdir(parents=True)
    tokenizer = _tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    save_tiny_llama(
        folder,
        tokenizer.get_vocab_size(),
        num_attention_heads=4,
        num_key_value_heads=2,
        eos_token_id=tokenizer.token_to_id(END),
        tie_word_embeddings=True,
        max_position_embeddings=4096,
    )
    return folder


def _tokenizer() -> Tokenizer:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: place for place, letter in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(END, special=True), AddedToken("<|im_start|>", special=True)])
    return tokenizer


class PoliteJudge:
    """Whoever thanks is pleased, whoever says anything else is not."""

    name, version = "polite", "1"

    async def judge(self, transitions):
        return [self._one(read_next_state(transition).reply) for transition in transitions]

    def _one(self, reply):
        score = 1 if "thank" in reply.lower() else -1
        return Judgement(score=score, votes=(score,))


def small_config(method, seed):
    """A small adapter that moves fast."""
    config = TrainerConfig(lora_rank=4, lora_alpha=8, learning_rate=1e-2, seed=seed, keep_checkpoints=5)
    return config.model_copy(update={"objective": method.objective or Hybrid()})


@contextmanager
def small_world() -> Iterator[None]:
    """Rigs for the tiny model: judged by words alone, with short answers."""

    def judge_of(method, home):
        return FlippedJudge(PoliteJudge()) if method.judging == "flipped" else PoliteJudge()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rig, "trainer_config", small_config)
        patch.setattr(pipeline, "judge_of", judge_of)
        for module in ("run", "users"):
            patch.setattr(f"infra.experiment.{module}.MAX_ANSWER_TOKENS", 12)
        yield
