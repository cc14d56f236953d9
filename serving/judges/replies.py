"""`LabelledReply`: the replies of data/replies.jsonl, from which the reaction judge learns what a reply says.

Owns the reading of that file's form: one JSON object a line with family, language, label, question, answer and reply.
"""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

import msgspec

from schemas.errors import RejectedError
from schemas.events import Score
from serving.judges.features import Exchange

REPLIES_FILE: Final = files("serving.judges") / "data" / "replies.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledReply:
    """One reply, what it answers, and what it says of it. Replies of a `family` are paraphrases of each other."""

    question: str
    answer: str
    reply: str
    label: Score
    language: str = "en"
    family: str = ""

    @property
    def exchange(self) -> Exchange:
        """The part that a classifier may see."""
        return Exchange(self.question, self.answer, self.reply)


def read_replies(path: Path | None = None) -> list[LabelledReply]:
    """The labelled replies of a file, by default the project's own.

    Raises:  RejectedError: a line that is no labelled reply, by file and line number.
    """
    source = REPLIES_FILE if path is None else path
    replies = []
    for number, line in enumerate(source.read_text(encoding="utf-8").splitlines(), 1):
        try:
            replies.append(msgspec.json.decode(line, type=LabelledReply))
        except (msgspec.MsgspecError, RecursionError) as error:
            raise RejectedError(f"Line {number} of {source} is no labelled reply: {error}.") from None
    return replies
