"""An untrained Llama that computes in no time: for what needs a real model and no sense in what it says."""

from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

END = "<|im_end|>"
_TEMPLATE = """{% for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
_MAX_TOKENS = 8192  # prompt and reply; one token is one byte


def make_tiny_model(folder: Path) -> Path:
    """A model folder with everything that an engine, a gateway and a trainer read. Returns it."""
    folder.mkdir(parents=True)
    tokenizer = _tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "chat_template.jinja").write_text(_TEMPLATE)
    save_tiny_llama(
        folder,
        tokenizer.get_vocab_size(),
        num_attention_heads=4,
        num_key_value_heads=2,
        eos_token_id=tokenizer.token_to_id(END),
        tie_word_embeddings=True,
        max_position_embeddings=_MAX_TOKENS,
    )
    return folder


def save_tiny_llama(folder: Path, vocab_size: int, **config: Any) -> None:
    """Writes 2 layers of width 16 with the same weights each time, spread out enough that log-probs differ."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    own = {"num_attention_heads": 2, **config}
    shape = LlamaConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        vocab_size=vocab_size,
        initializer_range=0.3,
        **own,
    )
    with torch.random.fork_rng():
        torch.manual_seed(7)
        LlamaForCausalLM(shape).save_pretrained(folder)


def _tokenizer() -> Tokenizer:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: place for place, letter in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(END, special=True), AddedToken("<|im_start|>", special=True)])
    return tokenizer
