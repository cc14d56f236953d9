"""The bytes of a reply's tokens are the bytes of its text, however a character comes apart."""

from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models

from serving.rendering import ChatRenderer
from serving.token_text import TokenTexts

texts = st.text(st.characters(codec="utf-8"), max_size=20)


@pytest.fixture(scope="module")
def tokenizer(model_path: Path) -> Tokenizer:
    return Tokenizer.from_file(str(model_path / "tokenizer.json"))


@pytest.fixture(scope="module")
def renderer(model_path: Path) -> ChatRenderer:
    return ChatRenderer(model_path)


@given(text=texts)
def test_the_bytes_of_the_tokens_make_the_text(renderer: ChatRenderer, tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    written = tokenizer.decode(ids, skip_special_tokens=False)  # the model has no token for some control characters
    assert b"".join(renderer.token(id_).raw for id_ in ids).decode(errors="replace") == written


def test_a_part_of_a_character_has_its_own_bytes_and_no_text(renderer: ChatRenderer, tokenizer: Tokenizer) -> None:
    tokens = [renderer.token(id_) for id_ in tokenizer.encode("🥚é").ids]
    assert [token.raw for token in tokens] == [b"\xf0\x9f", b"\xa5", b"\x9a", b"\xc3\xa9"]
    assert [token.text for token in tokens] == ["\N{REPLACEMENT CHARACTER}"] * 3 + ["é"]


def test_special_tokens_are_told_from_text(renderer: ChatRenderer, tokenizer: Tokenizer) -> None:
    end, space = (tokenizer.token_to_id(token) for token in ("<|im_end|>", "Ġthe"))
    assert (renderer.token(end).text, renderer.token(end).is_special) == ("<|im_end|>", True)
    assert (renderer.token(space).text, renderer.token(space).is_special) == (" the", False)
    beyond = renderer.token(10**6)  # a row of weights without a token
    assert (beyond.raw, beyond.is_special) == (b"", True)


def of_sentencepiece() -> Tokenizer:
    words = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a", "b", "▁a"]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("▁", "a")], unk_token="<unk>", byte_fallback=True))
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_tokens([AddedToken("<call>", special=False)])
    return tokenizer


@given(text=texts.filter(lambda text: "▁" not in text))
def test_the_same_holds_of_sentencepiece(text: str) -> None:
    tokenizer = of_sentencepiece()
    read = TokenTexts(tokenizer, orjson.loads(tokenizer.to_str()))
    ids = tokenizer.encode(text.replace(" ", "▁") + "<call>").ids
    assert b"".join(read.of(id_).raw for id_ in ids) == f"{text}<call>".encode()
