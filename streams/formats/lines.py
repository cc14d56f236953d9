"""`objects`: the JSON objects of a file, one a line or in one list, each with its place; bad ones as `BadLine`s.

Owns what every text format shares: UTF-8 with or without a byte order mark, any line ends, empty lines, a bound on how
long a line may be. Nothing longer than that is ever held in memory, but for a file that is one JSON list.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec
import orjson

from schemas.errors import RejectedError
from schemas.identity import digest_bytes
from streams.formats.old_chats import BadLine, NotTheFormatError, Place

MAX_LINE_BYTES = 32 * 1024 * 1024  # twice what a record may have: no conversation in it could be recorded
MAX_LIST_BYTES = 1024**3  # of a file that is one JSON list, which is read whole
PREVIEW_BYTES = 200
_UTF8_MARK, _UTF16_MARKS = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")


class Object(NamedTuple):
    """A JSON object, and the bytes that it was written in."""

    place: Place
    raw: bytes
    value: dict[str, Any]


def objects(path: Path) -> Iterator[Object | BadLine]:
    """Every object of a file, in order.

    Raises:  NotTheFormatError: the file is empty, not UTF-8, or one JSON list that is cut off or too large.
    """
    with path.open("rb") as file:
        first = _skip_mark(file, path)
        is_list = first.strip()[:1] == b"[" or first.strip() == b"{"  # a line that ends there is a list or object apart
        yield from (_entries if is_list else _lines)(file, path)


def read_object(raw: bytes, place: Place) -> Object | BadLine:
    """The object that some JSON holds."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return bad_line(raw, place, f"It is no JSON ({error})")
    if not isinstance(value, dict):
        return bad_line(raw, place, f"It is a JSON {type(value).__name__}, not an object")
    return Object(place, raw, value)


def bad_line(raw: bytes, place: Place, reason: str | RejectedError) -> BadLine:
    """The `BadLine` of some bytes, with a reason that names the place."""
    error = reason if isinstance(reason, RejectedError) else RejectedError(f"{reason}: export it again.")
    preview = raw[:PREVIEW_BYTES].decode(errors="replace")
    return BadLine(place=place, error=error, digest=digest_bytes(raw), preview=preview)


def _skip_mark(file: BinaryIO, path: Path) -> bytes:
    """Puts the file behind its byte order mark; returns the beginning of its first line that is not empty."""
    head = file.read(len(_UTF8_MARK))
    if head.startswith(_UTF16_MARKS):
        raise NotTheFormatError(f"{path} is UTF-16 text: save it as UTF-8.")
    start = len(head) if head == _UTF8_MARK else 0
    file.seek(start)
    first = b""
    while not first.strip():
        first = file.readline(MAX_LINE_BYTES)
        if not first:
            raise NotTheFormatError(f"{path} is empty: name a file with conversations.")
    file.seek(start)
    return first


def _lines(file: BinaryIO, path: Path) -> Iterator[Object | BadLine]:
    number = 0
    while raw := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        place = Place(file=str(path), line=number)
        if len(raw) > MAX_LINE_BYTES:
            too_long = f"It has more than {MAX_LINE_BYTES} bytes, which no record could hold: leave it out."
            yield bad_line(raw, place, RejectedError(too_long))
            while raw and not raw.endswith(b"\n"):
                raw = file.readline(MAX_LINE_BYTES)
        elif raw.strip():
            yield read_object(raw.strip(), place)


def _entries(file: BinaryIO, path: Path) -> Iterator[Object | BadLine]:
    data = file.read(MAX_LIST_BYTES + 1)
    if len(data) > MAX_LIST_BYTES:
        raise NotTheFormatError(f"{path} is a JSON list of more than {MAX_LIST_BYTES} bytes: write one object a line.")
    entries = list[msgspec.Raw]
    try:
        # Each entry stays bytes until it is its turn: as Python objects a list takes ten times its room.
        found = [data] if data.lstrip()[:1] == b"{" else msgspec.json.decode(data, type=entries)
    except (msgspec.DecodeError, RecursionError) as error:
        raise NotTheFormatError(f"{path} is cut off, or no JSON ({error}): export it again.") from error
    for number, raw in enumerate(found, start=1):
        yield read_object(bytes(raw), Place(file=str(path), line=number))
