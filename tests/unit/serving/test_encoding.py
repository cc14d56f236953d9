"""Lines that were seen are remembered, up to a number of bytes, and nothing where it could be wrong."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest
from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers

from serving import encoding
from serving.encoding import TextEncoder

TALK = "<|im_start|>user\nHow are you?\n\nI am <b>fine</b>.<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture
def tokenizer(model_path: Path) -> Tokenizer:
    return Tokenizer.from_file(str(model_path / "tokenizer.json"))


class Watched(TextEncoder):
    """Tells what it had to encode."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__(tokenizer, orjson.loads(tokenizer.to_str()))
        self.encoded: list[list[str]] = []

    def _encode(self, texts: Sequence[str]) -> Any:
        self.encoded.append(list(texts))
        return super()._encode(texts)


def plain(tokenizer: Tokenizer, text: str) -> tuple[int, ...]:
    return tuple(tokenizer.encode(text, add_special_tokens=False).ids)


def test_of_a_resent_text_only_the_new_lines_are_encoded(tokenizer: Tokenizer) -> None:
    encode = Watched(tokenizer)
    encode(TALK)
    encode(TALK.replace("are you", "is she") + "Fine.<|im_end|>")
    assert encode.encoded[1] == ["\nHow is she?", "\nFine."]
    encode(TALK)
    assert encode.encoded[2] == []


def test_what_was_not_asked_for_longest_is_forgotten_when_the_memory_is_full(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "MEMORY_BYTES", 1000)
    encode = Watched(tokenizer)
    for text in ("a", "b", "a", "c", "a", "b"):  # two fit
        assert encode(text) == plain(tokenizer, text)
    assert encode.encoded == [["a"], ["b"], [], ["c"], [], ["b"]]


def test_a_line_larger_than_the_memory_is_encoded_each_time(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "MEMORY_BYTES", 1000)
    encode, long = Watched(tokenizer), "word " * 200
    assert encode(long) == encode(long) == plain(tokenizer, long)
    assert encode.encoded == [[long], [long]]


def test_threads_that_encode_the_same_at_once_all_get_the_ids(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "MEMORY_BYTES", 20_000)  # so that lines are forgotten meanwhile
    encode = Watched(tokenizer)
    texts = ["".join(f"Line {line} of\n" for line in range(start, start + 60)) for start in range(40)] * 5
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(encode, texts)) == [plain(tokenizer, text) for text in texts]


def with_prefix_space(tokenizer: Tokenizer) -> None:
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)


def with_another_regex(tokenizer: Tokenizer) -> None:
    by_line = pre_tokenizers.Split("\n", "merged_with_previous")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([by_line, pre_tokenizers.ByteLevel(False, use_regex=False)])


def with_metaspace(tokenizer: Tokenizer) -> None:
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")


def without_pre_tokenizer(tokenizer: Tokenizer) -> None:
    tokenizer.pre_tokenizer = None


def with_stripped_ends(tokenizer: Tokenizer) -> None:
    tokenizer.normalizer = normalizers.Strip()


def with_a_limit(tokenizer: Tokenizer) -> None:
    tokenizer.enable_truncation(5)


def with_padding(tokenizer: Tokenizer) -> None:
    tokenizer.enable_padding(length=64)


def with_dropout(tokenizer: Tokenizer) -> None:
    tokenizer.model.dropout = 0.0  # even so: another number draws, and one cannot tell from where


def with_a_token_that_takes_white_space(tokenizer: Tokenizer) -> None:
    tokenizer.add_special_tokens([AddedToken("<b>", lstrip=True, normalized=False)])


def with_a_token_of_whole_words(tokenizer: Tokenizer) -> None:
    tokenizer.add_tokens([AddedToken("fine", single_word=True, normalized=False)])


def with_a_token_of_normalized_text(tokenizer: Tokenizer) -> None:
    tokenizer.add_tokens([AddedToken("</b>", normalized=True)])


def with_a_token_that_holds_a_newline(tokenizer: Tokenizer) -> None:
    tokenizer.add_special_tokens([AddedToken("?\n\n", normalized=False)])


UNKNOWN = [each for name, each in list(globals().items()) if name.startswith(("with_", "without_"))]


@pytest.mark.parametrize("change", UNKNOWN, ids=lambda change: change.__name__)
def test_a_tokenizer_of_which_nothing_is_proven_gets_every_text_whole(
    tokenizer: Tokenizer, change: Callable[[Tokenizer], None]
) -> None:
    change(tokenizer)
    encode = Watched(tokenizer)
    for _ in range(2):
        assert encode(TALK) == plain(tokenizer, TALK)
    assert encode.encoded == [[TALK], [TALK]]
