"""`tell_format` and `read_chats`: which format a file has, and the conversations in it.

A file is asked itself, not its name: exports are called anything. What a user says it is must be what it is.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from schemas.errors import RejectedError
from streams.formats import openai_messages, openclaw, sharegpt
from streams.formats.lines import bad_line, objects
from streams.formats.old_chats import BadLine, Found, NotTheFormatError, OldConversation, Place

Format = Literal["openai", "sharegpt", "openclaw"]
NUM_LOOKED_AT = 100  # objects at the beginning of a file: some may be broken


def tell_format(path: Path, said: Format | None = None) -> Format:
    """The format of a file.

    Args:    said: what the user says it is; None: whatever it is.
    Raises:  NotTheFormatError: none that can be read, or another than the user says.
    """
    found = _told(path)
    if found is None:
        raise NotTheFormatError(
            f"{path} holds no conversations in a format that is known here: give OpenAI's messages or ShareGPT's "
            "conversations as JSON, or OpenClaw's session store."
        )
    if said is not None and found != said:
        raise NotTheFormatError(f"{path} is {found}, not {said}: leave out --format, or name another file.")
    return found


def read_chats(path: Path, kind: Format) -> Iterator[Found]:
    """Every conversation of a file in its order, and every line that holds none.

    Raises:  NotTheFormatError: the file is cut off or damaged as a whole.
    """
    match kind:
        case "openai":
            yield from _each(path, openai_messages.read_conversation)
        case "sharegpt":
            yield from _each(path, sharegpt.read_conversation)
        case "openclaw":
            yield from openclaw.read_sqlite(path) if _is_sqlite(path) else openclaw.read_jsonl(path)


def _each(path: Path, read: Callable[[dict[str, Any], Place], OldConversation]) -> Iterator[Found]:
    for found in objects(path):
        if isinstance(found, BadLine):
            yield found
            continue
        try:
            yield read(found.value, found.place)
        except RejectedError as error:
            yield bad_line(found.raw, found.place, error)


def _told(path: Path) -> Format | None:
    if _is_sqlite(path):
        return "openclaw"
    for found in islice(objects(path), NUM_LOOKED_AT):
        if isinstance(found, BadLine):
            continue
        if openai_messages.MARK in found.value:
            return "openai"
        if sharegpt.MARK in found.value:
            return "sharegpt"
        if openclaw.is_entry(found.value):
            return "openclaw"
    return None


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(openclaw.SQLITE_MARK)) == openclaw.SQLITE_MARK
