"""Files of old chats: each format as its tools write it, and files as people have them."""

import json
from pathlib import Path
from typing import Any

import pytest

from schemas.events import Message, ToolCall
from streams.formats import lines
from streams.formats.detect import Format, read_chats, tell_format
from streams.formats.old_chats import BadLine, Found, NotTheFormatError, OldConversation
from streams.formats.times import epoch_ms

USER, REPLY = {"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Yes."}
OPENAI = {"messages": [USER, REPLY]}
SHAREGPT = {"conversations": [{"from": "human", "value": "Hello?"}, {"from": "gpt", "value": "Yes."}]}
HELLO = [Message(role="user", content="Hello?"), Message(role="assistant", content="Yes.")]


def write(tmp_path: Path, *rows: object, end: str = "\n") -> Path:
    file = tmp_path / "chats"
    texts = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    file.write_bytes(end.join(texts).encode())
    return file


def read(path: Path) -> list[Found]:
    return list(read_chats(path, tell_format(path)))


def messages(found: Found) -> list[Message]:
    assert isinstance(found, OldConversation)
    return [one.message for one in found.said]


def one_of(tmp_path: Path, row: object) -> OldConversation:
    (found,) = read(write(tmp_path, row))
    assert isinstance(found, OldConversation), found
    return found


@pytest.mark.parametrize(
    ("rows", "kind", "num"),
    [
        ([OPENAI, "", OPENAI], "openai", 2),
        ([SHAREGPT], "sharegpt", 1),
        ([[SHAREGPT, SHAREGPT]], "sharegpt", 2),
        ([[OPENAI]], "openai", 1),
        ([json.dumps(SHAREGPT, indent=2)], "sharegpt", 1),
        ([json.dumps([OPENAI, OPENAI], indent=2)], "openai", 2),
    ],
)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_file_is_known_by_what_is_in_it(
    rows: list[Any], kind: Format, num: int, mark: str, end: str, tmp_path: Path
) -> None:
    texts = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    file = write(tmp_path, mark + texts[0].replace("\n", end), *texts[1:], end=end)
    assert tell_format(file) == kind
    assert [messages(found) for found in read(file)] == [HELLO] * num


def test_openai_calls_tools_times_and_people_are_read(tmp_path: Path) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"b": 1, "a": 2}'}}
    found = one_of(
        tmp_path,
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Look."}]},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "call_1", "content": "found", "timestamp": "2024-05-01T10:00:00Z"},
                {"role": "assistant", "function_call": {"name": "look", "arguments": "{}"}, "time": 1714557601.5},
            ],
            "tools": [{"type": "function", "function": {"name": "look"}}],
            "user": "ada",
            "model": "gpt-x",
            "created": 1714557500,
        },
    )
    assert found.subject == "ada"
    assert found.tools == '[{"function":{"name":"look"},"type":"function"}]'
    assert [one.time_ms for one in found.said] == [1714557500_000, None, 1714557600_000, 1714557601_500]
    assert [one.model for one in found.said] == ["", "gpt-x", "", "gpt-x"]
    asked, called, _, again = messages(found)
    assert asked == Message(role="user", content="Look.")
    assert called.tool_calls == (ToolCall(name="look", arguments='{"a":2,"b":1}', id="call_1"),)
    assert again.tool_calls == (ToolCall(name="look", arguments="{}"),)


def test_sharegpts_many_names_for_who_speaks_are_read(tmp_path: Path) -> None:
    spoken = [
        {"from": "Human", "value": "Look."},
        {"from": "function_call", "value": '{"name": "look", "arguments": {"a": 1}}'},
        {"from": "observation", "value": "found"},
        {"from": "function_call", "value": "no call"},
        {"from": "user", "value": None},
    ]
    tools = json.dumps([{"name": "look"}])
    found = one_of(tmp_path, {"system": "Be kind.", "conversations": spoken, "tools": tools})
    assert messages(found) == [
        Message(role="system", content="Be kind."),
        Message(role="user", content="Look."),
        Message(role="assistant", tool_calls=(ToolCall(name="look", arguments='{"a":1}'),)),
        Message(role="tool", content="found"),
        Message(role="assistant", content="no call"),
        Message(role="user"),
    ]
    assert found.tools == '[{"name":"look"}]'


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        ('{"messages": [{"role": "user", "con', "no JSON"),
        ("[1, 2]", "JSON list, not an object"),
        ({"messages": []}, '"messages"'),
        ({"messages": "Hello?"}, '"messages"'),
        ({"messages": ["Hello?"]}, "Message 1 is no object"),
        ({"messages": [USER, {"role": "wizard", "content": "x"}]}, "Message 2 cannot be read. Message role 'wizard'"),
        ({"messages": [{"role": "user", "content": 7}]}, "Message 1 cannot be read"),
        ({"messages": [USER], "tools": "hammer"}, '"tools"'),
        ({"messages": [USER], "functions": 3}, '"functions"'),
        ({"text": "no chat"}, '"messages"'),
    ],
)
def test_a_bad_line_is_named_and_the_others_are_read(bad: object, word: str, tmp_path: Path) -> None:
    before, broken, after = read(write(tmp_path, OPENAI, bad, OPENAI))
    assert messages(before) == messages(after) == HELLO
    assert isinstance(broken, BadLine)
    assert (broken.place.file, broken.place.line) == (str(tmp_path / "chats"), 2)
    assert word in str(broken.error)
    assert "\n" not in str(broken.error)
    assert broken.preview.startswith(bad[:9] if isinstance(bad, str) else "{")


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        ({"conversations": [{"from": "wizard", "value": "x"}]}, "'wizard': write one of system, human"),
        ({"conversations": [{"value": "x"}]}, "'None'"),
        ({"conversations": ["x"]}, "Message 1"),
        ({"conversations": [{"from": "gpt", "value": ["x"]}]}, '"value" of message 1'),
        ({"conversations": [{"from": "gpt", "value": "x"}], "tools": "{"}, '"tools" is no JSON'),
        ({"conversations": [{"from": "gpt", "value": "x"}], "tools": [1]}, '"tools" is no list of objects'),
        ({"conversations": None}, '"conversations"'),
    ],
)
def test_a_bad_entry_of_a_list_is_named_by_its_number(bad: object, word: str, tmp_path: Path) -> None:
    good, broken = read(write(tmp_path, [SHAREGPT, bad]))
    assert messages(good) == HELLO
    assert isinstance(broken, BadLine)
    assert broken.place.line == 2
    assert word in str(broken.error)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf \r\n\n", "is empty"),
        (b"\xff\xfe{\x00", "is UTF-16 text: save it as UTF-8"),
        (b"question,answer\nHello?,Yes.\n", "no conversations in a format that is known here"),
        (b'{"text": "no chat"}\n', "no conversations in a format that is known here"),
        (json.dumps([SHAREGPT, SHAREGPT])[:-9].encode(), "is cut off, or no JSON"),
        (b"[\n" + b"[" * 20_000, "is cut off, or no JSON"),
        (b"SQLite format 3\0" + bytes(4096), "is no session store of OpenClaw"),
    ],
)
def test_a_file_that_is_something_else_is_one_sentence(content: bytes, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "chats"
    file.write_bytes(content)
    with pytest.raises(NotTheFormatError) as refused:
        read(file)
    assert str(refused.value).startswith(str(file))
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_is_what_the_user_says_or_refused(tmp_path: Path) -> None:
    file = write(tmp_path, OPENAI)
    assert tell_format(file, "openai") == "openai"
    with pytest.raises(NotTheFormatError, match="is openai, not sharegpt"):
        tell_format(file, "sharegpt")


def test_bytes_that_are_no_text_are_a_bad_line(tmp_path: Path) -> None:
    file = tmp_path / "chats"
    good = json.dumps(OPENAI).encode()
    file.write_bytes(good + b'\n{"messages": "\xff\xfe"}\n' + good)
    assert [type(found) for found in read(file)] == [OldConversation, BadLine, OldConversation]


def test_a_line_that_no_record_could_hold_is_passed_over_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 1000)
    file = write(tmp_path, OPENAI, {"messages": [{"role": "user", "content": "x" * 5000}]}, OPENAI)
    before, broken, after = read(file)
    assert messages(before) == messages(after) == HELLO
    assert isinstance(broken, BadLine)
    assert "more than 1000 bytes" in str(broken.error)
    assert (broken.place.line, after.place.line) == (2, 3)


def test_a_list_that_memory_could_not_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LIST_BYTES", 100)
    with pytest.raises(NotTheFormatError, match="write one object a line"):
        read(write(tmp_path, [SHAREGPT, SHAREGPT]))


@pytest.mark.parametrize(
    ("written", "time_ms"),
    [
        (1714557600, 1714557600_000),
        (1714557600.25, 1714557600_250),
        (1714557600_250, 1714557600_250),
        ("2024-05-01T10:00:00Z", 1714557600_000),
        ("2024-05-01T12:00:00+02:00", 1714557600_000),
        ("2024-05-01 10:00:00", 1714557600_000),
        ("morning", None),
        (True, None),
        (-5, None),
        (10**30, None),
        (float("nan"), None),
        (float("inf"), None),
        ("0001-01-01", None),
        ({"seconds": 1}, None),
    ],
)
def test_a_time_is_read_in_its_usual_ways_or_not_at_all(written: object, time_ms: int | None) -> None:
    assert epoch_ms(written) == time_ms
