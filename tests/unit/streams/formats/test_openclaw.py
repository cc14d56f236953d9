"""OpenClaw's sessions, from its store and from the files of before."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from schemas.events import Message, ToolCall
from streams.formats.detect import read_chats, tell_format
from streams.formats.old_chats import BadLine, Found, NotTheFormatError, OldConversation
from tests.unit.streams.formats.openclaw_store import OTHER_END, SESSION, START_MS, header, message, reply, text
from tests.unit.streams.formats.openclaw_store import write_store as store

CALL = ToolCall(name="exec", arguments='{"command":"cat eggs"}', id="call_1")
WORDS = [
    Message(role="user", content="How do I boil an egg?"),
    Message(role="assistant", content="For 8 minutes."),
    Message(role="user", content="Look it up."),
    Message(role="assistant", content="Let me look. ", tool_calls=(CALL,)),
    Message(role="tool", content="no such file", tool_call_id="call_1", name="exec"),
    Message(role="assistant", content="I found nothing."),
]


def conversations(path: Path) -> list[OldConversation]:
    found = list(read_chats(path, tell_format(path, "openclaw")))
    assert all(isinstance(one, OldConversation) for one in found), found
    return [one for one in found if isinstance(one, OldConversation)]


def words(found: Found) -> list[Message]:
    assert isinstance(found, OldConversation)
    return [one.message for one in found.said]


def jsonl(path: Path, *entries: object) -> Path:
    path.write_text("\n".join(entry if isinstance(entry, str) else json.dumps(entry) for entry in entries))
    return path


def test_a_store_and_a_file_of_before_say_the_same(tmp_path: Path) -> None:
    (stored,) = conversations(store(tmp_path / "store.sqlite", SESSION, packed=(2, 4, 6)))
    (written,) = conversations(jsonl(tmp_path / "s1.jsonl", *SESSION))
    assert words(stored) == words(written) == WORDS
    assert stored.said == written.said
    assert stored.place.file.endswith("store.sqlite#s1")


def test_times_models_ends_and_exit_codes_are_kept(tmp_path: Path) -> None:
    (found,) = conversations(store(tmp_path / "store.sqlite", SESSION))
    assert [one.time_ms for one in found.said] == [START_MS + 1000 * number for number in (1, 2, 4, 5, 6, 7)]
    replies = [one for one in found.said if one.message.role == "assistant"]
    assert [one.finish_reason for one in replies] == ["stop", "tool_calls", "length"]
    assert {one.model for one in replies} == {"m"}
    assert [one.exit_code for one in found.said if one.message.role == "tool"] == [1]


def test_each_end_of_a_session_is_a_conversation_from_its_beginning(tmp_path: Path) -> None:
    straight, back = conversations(store(tmp_path / "store.sqlite", [*SESSION, OTHER_END]))
    assert words(straight) == WORDS
    assert words(back) == [*WORDS[:2], Message(role="user", content="No, shorter please.")]


def test_sessions_are_apart(tmp_path: Path) -> None:
    other = (header("s2"), message("e1", None, 1, "user", "Hi"), reply("e2", "e1", 2, text("Hello.")))
    found = conversations(store(tmp_path / "store.sqlite", SESSION, other))
    assert [len(one.said) for one in found] == [6, 2]


def test_the_oldest_files_have_no_parents_and_are_read_in_order(tmp_path: Path) -> None:
    entries = [{key: value for key, value in entry.items() if key not in {"id", "parentId"}} for entry in SESSION]
    (found,) = conversations(jsonl(tmp_path / "s1.jsonl", *entries))
    assert words(found) == WORDS


def test_a_broken_entry_is_named_and_leaves_the_others_in_one_conversation(tmp_path: Path) -> None:
    odd = message("e10", "e7", 10, "wizard", "x")
    path = jsonl(tmp_path / "s1.jsonl", *SESSION[:4], '{"type": "custom", "id": "e', *SESSION[5:], odd)
    cut, unknown, found = read_chats(path, tell_format(path))
    assert isinstance(cut, BadLine)
    assert isinstance(unknown, BadLine)
    assert (cut.place.line, unknown.place.line) == (5, 11)
    assert "role 'wizard'" in str(unknown.error)
    assert words(found) == WORDS


def test_an_entry_that_cannot_be_unpacked_is_a_bad_line(tmp_path: Path) -> None:
    path = store(tmp_path / "store.sqlite", SESSION, packed=(2,))
    with closing(sqlite3.connect(path)) as opened, opened:
        opened.create_function("octet_length", 1, lambda value: len(value.encode()), deterministic=True)
        opened.execute("UPDATE transcript_events SET event_zstd = x'00112233' WHERE seq = 2")
    broken, found = read_chats(path, "openclaw")
    assert isinstance(broken, BadLine)
    assert "cannot be undone" in str(broken.error)
    assert words(found) == WORDS[1:]


def test_a_database_of_something_else_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with closing(sqlite3.connect(path)) as opened:
        opened.execute("CREATE TABLE songs (title TEXT)")
    with pytest.raises(NotTheFormatError, match="no such table: transcript_events"):
        list(read_chats(path, "openclaw"))


ODD_ROWS: list[tuple[object, ...]] = [
    ("s1", None, '{"type": "session"}', None, None),
    ("s1", "x", None, None, None),
    ("s1", 8, 1.5, None, None),
    ("s1", 8, None, "packed", 6),
    ("s1", 8, None, b"packed", None),
    ("s1", 8, None, b"packed", -1),
    ("s1", 8, None, b"packed", 2**40),
    ("s1", 8, b"\xff{}", None, None),
]


@pytest.mark.parametrize("row", ODD_ROWS)
def test_a_row_of_other_types_or_of_no_size_is_a_bad_line_and_the_others_are_read(
    row: tuple[object, ...], tmp_path: Path
) -> None:
    path = tmp_path / "store.sqlite"
    with closing(sqlite3.connect(path)) as made, made:
        made.execute("CREATE TABLE transcript_events (session_id, seq, event_json, event_zstd, event_utf8_bytes)")
        plain = [("s1", number, json.dumps(entry), None, None) for number, entry in enumerate(SESSION)]
        made.executemany("INSERT INTO transcript_events VALUES (?, ?, ?, ?, ?)", [*plain, row])
    found = list(read_chats(path, tell_format(path)))
    bad = [one for one in found if isinstance(one, BadLine)]
    assert len(bad) == (row[2] != '{"type": "session"}')
    assert all("export it again" in str(one.error) for one in bad)
    assert words(found[-1]) == WORDS


def test_a_text_that_is_no_utf8_does_not_end_the_rows_behind_it(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with closing(sqlite3.connect(path)) as made, made:
        made.execute("CREATE TABLE transcript_events (session_id, seq, event_json, event_zstd, event_utf8_bytes)")
        made.execute("INSERT INTO transcript_events VALUES ('s0', 0, CAST(x'ff7b7d' AS TEXT), NULL, NULL)")
        plain = [("s1", number, json.dumps(entry), None, None) for number, entry in enumerate(SESSION)]
        made.executemany("INSERT INTO transcript_events VALUES (?, ?, ?, ?, ?)", plain)
    bad, *others = read_chats(path, tell_format(path))
    assert isinstance(bad, BadLine)
    assert [words(one) for one in others] == [WORDS]


def test_an_end_that_is_no_word_is_none(tmp_path: Path) -> None:
    odd = {**SESSION[2], "message": {**SESSION[2]["message"], "stopReason": ["stop"]}}
    (found,) = conversations(jsonl(tmp_path / "s1.jsonl", *SESSION[:2], odd))
    assert found.said[-1].finish_reason is None


def test_a_store_whose_fault_cannot_be_told_as_text_is_one_sentence(tmp_path: Path) -> None:
    path = store(tmp_path / "store.sqlite", SESSION)
    path.write_bytes(
        path.read_bytes().replace(b"CREATE TABLE transcript_events", b"CREATE \xff\xfe\xfd\xfcE transcript_events")
    )
    with pytest.raises(NotTheFormatError, match="is no session store of OpenClaw"):
        conversations(path)
