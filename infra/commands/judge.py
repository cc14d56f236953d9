"""`judge`: what the configured judge says of replies of your own, without a stack.

Consumes JSON lines with `question`, `answer` and `reply`; produces a score and a confidence for each, in order.
"""

import asyncio
from pathlib import Path

import click
import msgspec
import orjson

from infra.prepare import runtime_home
from infra.settings import Settings
from schemas.errors import RejectedError
from schemas.events import Message, TransitionJoined
from schemas.judgement import Judgement

SHOWN_CHARS = 60


class Exchange(msgspec.Struct, frozen=True):
    """One line of the file."""

    question: str
    answer: str
    reply: str


def judge_file(settings: Settings, file: Path, as_json: bool) -> int:
    """Print a line per line."""
    transitions = [_transition(exchange, f"{file.name}:{line}") for line, exchange in read_exchanges(file)]
    from serving.judges.factory import make_judge

    judge = make_judge(settings.judge, runtime_home(settings).judge)
    judgements = asyncio.run(judge.judge(transitions))
    for transition, judgement in zip(transitions, judgements, strict=True):
        click.echo(_as_json(judgement) if as_json else _as_text(transition, judgement))
    return 0


def read_exchanges(file: Path) -> list[tuple[int, Exchange]]:
    """The exchanges of a JSON lines file, each with its line number; empty lines are passed over.

    Raises:  RejectedError that names file, line and what is wrong with it.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RejectedError(f"{file} cannot be read as UTF-8 text ({error}): name an existing JSONL file.") from None
    return [(number, _exchange(line, file, number)) for number, line in enumerate(lines, start=1) if line.strip()]


def _exchange(line: str, file: Path, number: int) -> Exchange:
    try:
        return msgspec.json.decode(line, type=Exchange)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RejectedError(
            f'{file}, line {number}: write an object with the texts "question", "answer" and "reply" ({error}).'
        ) from None


def _transition(exchange: Exchange, name: str) -> TransitionJoined:
    return TransitionJoined(
        id=name,
        time_ms=0,
        policy="",
        action_id=name,
        next_state_id=name,
        turn=0,
        context=(Message(role="user", content=exchange.question),),
        reply=Message(role="assistant", content=exchange.answer),
        kind="messages",
        next_messages=(Message(role="user", content=exchange.reply),),
    )


def _as_json(judgement: Judgement) -> str:
    return orjson.dumps({"score": judgement.score, "confidence": judgement.confidence}).decode()


def _as_text(transition: TransitionJoined, judgement: Judgement) -> str:
    score = "abstained" if judgement.score is None else f"{judgement.score:+d}"
    sure = "" if judgement.confidence is None else f" {judgement.confidence:.2f}"
    why = f" ({judgement.abstention})" if judgement.abstention else ""
    said = " ".join(transition.next_messages[0].content.split())[:SHOWN_CHARS]
    return f"{transition.id}: {score}{sure}{why}: {said}"
