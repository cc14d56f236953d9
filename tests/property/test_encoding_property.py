"""Token ids are those of the plain tokenizer, whatever the text, whatever was encoded before."""

from itertools import product
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from serving import encoding
from serving.encoding import TextEncoder

ADDED = [
    "<|im_start|>",
    "<|im_end|>",
    "<|im_end|>>",
    "<tool_call>",
    "<<",
    "<!",
    "<<<!",
]  # some begin like others, or hold them
QWEN, LLAMA = encoding._LINE_ENDS
SPACES = ["\n", "\n\n", " ", "  ", "\t", "\r\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\xa0", "\u2028", "\u3000"]
WORDS = [
    "a",
    "Ab",
    "don't",
    "'LL",
    "'",
    "1",
    "2026",
    "!",
    "...",
    "_",
    "{}",
    "é",
    "e\u0301",
    "\u0301",
    "你好",
    "🦜",
    "\u200b",
]
TEXTS = st.lists(st.sampled_from([*SPACES, *WORDS, *ADDED]) | st.text(max_size=3), max_size=30).map("".join)
CORPUS = ["".join(parts) for parts in product([*SPACES, *WORDS], repeat=2)]


def trained(pre_tokenizer: Any, normalizer: Any = None) -> Tokenizer:
    """A small tokenizer of a kind, which merges whatever it does not keep apart."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=5000, initial_alphabet=alphabet, min_frequency=1, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_special_tokens([AddedToken(text, normalized=False) for text in ADDED])
    return tokenizer


def split(regex: str) -> Any:
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(regex), "isolated"), byte_level])


BYTE_LEVEL = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
KINDS = {
    "GPT-2": lambda: trained(BYTE_LEVEL),
    "SmolLM2, as published": lambda: trained(pre_tokenizers.Sequence([pre_tokenizers.Digits(True), BYTE_LEVEL])),
    "Qwen": lambda: trained(split(QWEN), normalizers.NFC()),
    "Llama 3": lambda: trained(split(LLAMA)),
}


def plain(tokenizer: Tokenizer, text: str) -> tuple[int, ...]:
    return tuple(tokenizer.encode(text, add_special_tokens=False).ids)


@pytest.fixture(scope="module", params=["laptop", *KINDS])
def tokenizer(request: pytest.FixtureRequest, model_path: Path) -> Tokenizer:
    return KINDS[request.param]() if request.param in KINDS else Tokenizer.from_file(str(model_path / "tokenizer.json"))


@pytest.fixture(scope="module")
def encode(tokenizer: Tokenizer) -> TextEncoder:
    encode = TextEncoder(tokenizer, orjson.loads(tokenizer.to_str()))
    assert encode._cut is not None  # or there is nothing to test
    return encode


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(TEXTS, max_size=3))
def test_ids_are_those_of_the_whole_text_whatever_is_remembered(
    tokenizer: Tokenizer, encode: TextEncoder, texts: list[str]
) -> None:
    for text in (*texts, "".join(texts), "\n".join(texts)):
        assert encode(text) == plain(tokenizer, text)
