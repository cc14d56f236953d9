"""The file of `nextstate judge`: every line is read, or named."""

from pathlib import Path

import orjson
import pytest

from infra.commands.judge import Exchange, read_exchanges
from schemas.errors import RejectedError

GOOD = {"question": "How are you?", "answer": "Blue.", "reply": "That makes no sense."}


def write(tmp_path: Path, *lines: object) -> Path:
    file = tmp_path / "replies.jsonl"
    file.write_text("\n".join(line if isinstance(line, str) else orjson.dumps(line).decode() for line in lines))
    return file


def test_each_line_is_an_exchange_whatever_else_it_says(tmp_path: Path) -> None:
    assert read_exchanges(write(tmp_path, GOOD, "", {**GOOD, "label": -1})) == [
        (1, Exchange(**GOOD)),
        (3, Exchange(**GOOD)),
    ]


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"x":' + "[" * 5000, {"question": "q", "answer": "a"}, {**GOOD, "reply": 1}]
)
def test_a_broken_line_is_named_in_one_sentence(line: object, tmp_path: Path) -> None:
    file = write(tmp_path, GOOD, line)
    with pytest.raises(RejectedError) as refused:
        read_exchanges(file)
    assert str(refused.value).startswith(f"{file}, line 2: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", None])
def test_a_file_that_is_not_there_or_not_text_is_refused(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "replies.jsonl"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(RejectedError, match="cannot be read as UTF-8 text"):
        read_exchanges(file)
