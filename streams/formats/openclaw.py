"""OpenClaw's sessions: rows of its SQLite store (2026.9), or a JSONL file per session (before).

Both hold the same entries: a `session` header, then `message`s and notes for itself, each naming its parent. A session
is a tree, because a person can go back and say something else; every path from its first entry to a last one is a
conversation, and what two paths share gets the same ids when it is imported. A summary that OpenClaw once put in the
place of old messages is left out: here the old messages are.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa

from schemas.errors import RejectedError
from schemas.events import FinishReason
from schemas.messages import normalise_message
from streams.formats.lines import MAX_LINE_BYTES, Object, bad_line, objects, read_object
from streams.formats.old_chats import BadLine, Found, NotTheFormatError, OldConversation, Place, Said
from streams.formats.times import time_of
from streams.printable import printable

MAX_NAME_CHARS = 80  # of a session, in a place
SQLITE_MARK = b"SQLite format 3\0"
_ENTRIES = "SELECT session_id, seq, event_json, event_zstd, event_utf8_bytes FROM transcript_events ORDER BY 1, 2"
_STOPS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "toolUse": "tool_calls",
    "error": "error",
    "aborted": "aborted",
}
_LEFT_OUT = ("thinking", "toolCall")  # reasoning is no message; calls are beside the content
_NOTES = ("bashExecution", "custom", "branchSummary", "compactionSummary")  # roles of what nobody said


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One entry of a session: a message, or None where it is a note."""

    place: Place
    id: str
    parent_id: str | None
    said: Said | None


def is_entry(raw: dict[str, Any]) -> bool:
    """Whether an object is a line of a session file."""
    return raw.get("type") == "session" or (raw.get("type") == "message" and isinstance(raw.get("message"), dict))


def read_jsonl(path: Path) -> Iterator[Found]:
    """The conversations of one session file."""
    yield from _session(objects(path))


def read_sqlite(path: Path) -> Iterator[Found]:
    """The conversations of every session in a store, which may be in use.

    Raises:  NotTheFormatError: it cannot be opened, or holds no transcripts.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as store:
            store.text_factory = bytes  # a text that is no UTF-8 must not end the rows behind it
            for _, rows in groupby(store.execute(_ENTRIES), key=itemgetter(0)):
                yield from _session(_objects(rows, path))
    except (sqlite3.Error, UnicodeDecodeError) as error:  # where SQLite's own message of a fault is no UTF-8
        raise NotTheFormatError(
            f"{path} is no session store of OpenClaw ({error}): name agents/<id>/agent/openclaw-agent.sqlite."
        ) from error


def _objects(rows: Iterable[Any], path: Path) -> Iterator[Object | BadLine]:
    for count, (session_id, number, text, packed, num_bytes) in enumerate(rows):
        place = Place(file=f"{path}#{_name(session_id)}", line=1 + (number if isinstance(number, int) else count))
        match text, packed, num_bytes:
            case bytes(), None, _:
                yield read_object(text, place)
            case _, bytes(), int() if 0 < num_bytes <= MAX_LINE_BYTES:
                yield _unpacked(packed, num_bytes, place)
            case _:
                raw = packed if isinstance(packed, bytes) else b""
                yield bad_line(raw, place, f"It holds no text, or a packed one of {str(num_bytes)[:40]} bytes")


def _name(session_id: object) -> str:
    """A session's name in a place, which is one line."""
    text = session_id.decode(errors="replace") if isinstance(session_id, bytes) else str(session_id)
    return printable(text[:MAX_NAME_CHARS])


def _unpacked(packed: bytes, num_bytes: int, place: Place) -> Object | BadLine:
    try:
        raw = pa.Codec("zstd").decompress(packed, decompressed_size=num_bytes, asbytes=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        return bad_line(packed, place, f"It is packed in a way that cannot be undone ({error})")
    return read_object(raw, place)


def _session(found: Iterable[Object | BadLine]) -> Iterator[Found]:
    entries: dict[str, _Entry] = {}
    for one in found:
        if isinstance(one, BadLine):
            yield one
            continue
        try:
            entry = _entry(one, entries)
        except RejectedError as error:
            yield bad_line(one.raw, one.place, error)
        else:
            entries[entry.id] = entry
    yield from _paths(entries)


def _entry(found: Object, before: dict[str, _Entry]) -> _Entry:
    """An entry; one without a parent that is there follows the one before it, as in the oldest files."""
    raw = found.value
    message, own_id, parent_id = raw.get("message"), raw.get("id"), raw.get("parentId")
    is_known = isinstance(parent_id, str) and parent_id in before
    return _Entry(
        place=found.place,
        id=own_id if isinstance(own_id, str) and own_id not in before else f"line {found.place.line}",
        parent_id=str(parent_id) if is_known else next(reversed(before), None),
        said=_said(message, raw) if raw.get("type") == "message" and isinstance(message, dict) else None,
    )


def _said(message: dict[str, Any], entry: dict[str, Any]) -> Said | None:
    if message.get("role") in _NOTES:
        return None
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    calls = [part for part in parts if isinstance(part, dict) and part.get("type") == "toolCall"]
    is_result = message.get("role") == "toolResult"
    details = message.get("details")
    exit_code = details.get("exitCode") if isinstance(details, dict) and is_result else None
    kept = [part for part in parts if not (isinstance(part, dict) and part.get("type") in _LEFT_OUT)]
    plain = {
        "role": "tool" if is_result else message.get("role"),
        "content": kept if isinstance(content, list) else content,
        "tool_calls": [{"id": call.get("id"), "function": call} for call in calls],
        "tool_call_id": message.get("toolCallId"),
        "name": message.get("toolName"),
    }
    model, stop = message.get("model"), message.get("stopReason")
    return Said(
        message=normalise_message(plain),
        time_ms=time_of(message) or time_of(entry),
        model=model if isinstance(model, str) else "",
        finish_reason=_STOPS.get(stop) if isinstance(stop, str) else None,
        exit_code=exit_code if isinstance(exit_code, int) else None,
    )


def _paths(entries: dict[str, _Entry]) -> Iterator[OldConversation]:
    """A conversation per entry that no other follows, first to last. A parent always stands before its children."""
    parents = {entry.parent_id for entry in entries.values()}
    for leaf in entries.values():
        if leaf.id in parents:
            continue
        path = [leaf]
        while (parent_id := path[-1].parent_id) is not None:
            path.append(entries[parent_id])
        said = tuple(entry.said for entry in reversed(path) if entry.said is not None)
        if said:
            yield OldConversation(place=path[-1].place, said=said)
