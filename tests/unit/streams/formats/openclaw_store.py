"""A session store as OpenClaw 2026.9.6 makes it: its own tables, with entries of its own form."""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa

Entry = dict[str, Any]

TABLES = """
CREATE TABLE session_nodes (
  session_key TEXT NOT NULL PRIMARY KEY,
  current_session_id TEXT NOT NULL,
  entry_json TEXT NOT NULL,
  entry_valid INTEGER NOT NULL DEFAULT 0 CHECK (entry_valid IN (-1, 0, 1)),
  updated_at INTEGER NOT NULL
) STRICT;
CREATE TABLE session_windows (
  session_id TEXT NOT NULL PRIMARY KEY,
  session_key TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  FOREIGN KEY (session_key) REFERENCES session_nodes(session_key) ON DELETE CASCADE
) STRICT;
CREATE TABLE transcript_events (
  session_id TEXT NOT NULL,
  seq INTEGER NOT NULL,
  event_json TEXT,
  created_at INTEGER NOT NULL,
  event_zstd BLOB,
  event_utf8_bytes INTEGER CHECK (event_utf8_bytes IS NULL OR event_utf8_bytes >= 0),
  navigation_json TEXT,
  PRIMARY KEY (session_id, seq),
  FOREIGN KEY (session_id) REFERENCES "session_windows"(session_id) ON DELETE CASCADE,
  CHECK (
    (event_json IS NOT NULL AND event_zstd IS NULL)
    OR (
      event_json IS NULL AND event_zstd IS NOT NULL
      AND event_utf8_bytes IS NOT NULL
      AND event_utf8_bytes BETWEEN 1 AND 4194304
      AND length(event_zstd) BETWEEN 1 AND 4194304
      AND navigation_json IS NOT NULL
    )
  ),
  CHECK (
    navigation_json IS NULL OR CASE WHEN json_valid(navigation_json)
    THEN coalesce(octet_length(navigation_json) <= 16384, 0) ELSE 0 END
  )
) STRICT;
"""
START_MS = 1_795_339_740_000


def header(session_id: str) -> Entry:
    return {"type": "session", "version": 4, "id": session_id, "timestamp": "2026-11-22T09:29:00Z", "cwd": "/tmp/x"}


def message(entry_id: str, parent: str | None, number: int, role: str, content: object, **own: Any) -> Entry:
    """The entry of one message; `number` makes its time."""
    said = {"role": role, "content": content, "timestamp": START_MS + 1000 * number, **own}
    return {"type": "message", "id": entry_id, "parentId": parent, "timestamp": "2026-11-22T09:29:14Z", "message": said}


def reply(entry_id: str, parent: str, number: int, *parts: Entry, stop: str = "stop") -> Entry:
    own = {"api": "openai-completions", "provider": "x", "model": "m", "stopReason": stop, "responseId": "c"}
    return message(entry_id, parent, number, "assistant", list(parts), **own)


def text(words: str) -> Entry:
    return {"type": "text", "text": words, "textSignature": '{"v":1}'}


SESSION: tuple[Entry, ...] = (
    header("s1"),
    {"type": "model_change", "provider": "x", "modelId": "m", "id": "e0", "parentId": None, "timestamp": "t"},
    message("e1", "e0", 1, "user", "How do I boil an egg?", __openclaw={"senderIsOwner": True}),
    reply("e2", "e1", 2, {"type": "thinking", "thinking": "Hm."}, text("For 8 minutes.")),
    {"type": "custom", "customType": "openclaw.cache-ttl", "data": {"x": 1}, "id": "e3", "parentId": "e2"},
    message("e4", "e3", 4, "user", "Look it up."),
    reply(
        "e5",
        "e4",
        5,
        text("Let me look. "),
        {"type": "toolCall", "id": "call_1", "name": "exec", "arguments": {"command": "cat eggs"}},
        stop="toolUse",
    ),
    message(
        "e6",
        "e5",
        6,
        "toolResult",
        [{"type": "text", "text": "no such file"}],
        toolCallId="call_1",
        toolName="exec",
        details={"status": "completed", "exitCode": 1},
        isError=False,
    ),
    reply("e7", "e6", 7, text("I found nothing."), stop="length"),
    message("e8", "e7", 8, "custom", "a note of its own"),
)
OTHER_END = message("e9", "e2", 9, "user", "No, shorter please.")  # the person went back to the first answer


def write_store(path: Path, *sessions: Sequence[Entry], packed: Sequence[int] = ()) -> Path:
    """A store of sessions. Args: packed: places of entries that are kept compressed, as long ones are."""
    with closing(sqlite3.connect(path)) as store, store:
        store.create_function("octet_length", 1, lambda value: len(value.encode()), deterministic=True)
        store.executescript(TABLES)
        for entries in sessions:
            own = entries[0]["id"]
            store.execute("INSERT INTO session_nodes VALUES (?, ?, '{}', 1, 0)", (f"agent:main:explicit:{own}", own))
            store.execute("INSERT INTO session_windows VALUES (?, ?, 0, 0)", (own, f"agent:main:explicit:{own}"))
            for number, entry in enumerate(entries):
                raw = json.dumps(entry)
                row: tuple[object, ...] = (own, number, raw, START_MS, None, len(raw), None)
                if number in packed:
                    zstd = pa.Codec("zstd").compress(raw.encode(), asbytes=True)
                    row = (own, number, None, START_MS, zstd, len(raw), '{"version":1}')
                store.execute("INSERT INTO transcript_events VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    return path
