from pathlib import Path

import orjson
import pytest

from infra.commands.judge import read_transitions
from schemas.errors import RejectedError


def write(tmp_path: Path, *lines: object) -> Path:
    file = tmp_path / "chats.jsonl"
    file.write_text("\n".join(line if isinstance(line, str) else orjson.dumps(line).decode() for line in lines))
    return file


def test_each_answered_action_is_a_turn_with_what_was_new_to_it(tmp_path: Path) -> None:
    chat = {
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": "q1"},
            {"role": "assistant", "content": "a1"},
            {"role": "user", "content": "q2"},
            {"role": "assistant", "content": "a2"},
            {"role": "user", "content": "thanks"},
        ]
    }
    turns, flaws = read_transitions(write(tmp_path, chat))
    assert flaws == []
    assert [[message.content for message in (*turn.context, turn.reply, *turn.next_messages)] for turn in turns] == [
        ["q1", "a1", "q2"],
        ["q2", "a2", "thanks"],
    ]
    assert [turn.id for turn in turns] == ["chats.jsonl:1/0", "chats.jsonl:1/1"]


def test_an_action_that_nothing_follows_is_no_turn(tmp_path: Path) -> None:
    turns, flaws = read_transitions(write(tmp_path, {"messages": [{"role": "assistant", "content": "a"}]}))
    assert (turns, flaws) == ([], [])


@pytest.mark.parametrize("line", ["{", "[]", {"messages": 1}, {"messages": [1]}, {"messages": [{"role": "pope"}]}])
def test_a_broken_line_is_named_and_the_others_are_kept(line: object, tmp_path: Path) -> None:
    good = {"messages": [{"role": "assistant", "content": "a"}, {"role": "user", "content": "u"}]}
    turns, flaws = read_transitions(write(tmp_path, line, good))
    assert len(turns) == 1
    assert len(flaws) == 1
    assert flaws[0].startswith(f"{tmp_path / 'chats.jsonl'}, line 1 is left out: ")


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "chats.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RejectedError, match="cannot be read as UTF-8 text"):
        read_transitions(tmp_path / "chats.jsonl")
