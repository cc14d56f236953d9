"""`judge`: what the configured judge says of the turns of recorded chats, without a stack."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import click
import orjson

from infra.prepare import runtime_home
from infra.settings import Settings
from schemas.errors import RejectedError
from schemas.events import Message, TransitionJoined
from schemas.judgement import Judgement
from schemas.messages import normalise_message

FLAWED = 1
SHOWN_CHARS = 60


def judge_file(settings: Settings, file: Path, as_json: bool) -> int:
    """Prints a judgement per turn; 1 where a line could not be used."""
    transitions, flaws = read_transitions(file)
    from serving.judges.factory import make_judge

    judge = make_judge(settings.judge, runtime_home(settings).judge)
    judgements = asyncio.run(judge.judge(transitions))
    for transition, judgement in zip(transitions, judgements, strict=True):
        click.echo(_as_json(transition, judgement) if as_json else _as_text(transition, judgement))
    for flaw in flaws:
        click.echo(flaw, err=True)
    return FLAWED if flaws else 0


def read_transitions(file: Path) -> tuple[list[TransitionJoined], list[str]]:
    """The turns of a JSONL file of chats, and a sentence for each line that holds none that can be used.

    Raises:  RejectedError when there is no such text file.
    """
    transitions: list[TransitionJoined] = []
    flaws: list[str] = []
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RejectedError(f"{file} cannot be read as UTF-8 text ({error}): name an existing JSONL file.") from None
    for number, line in enumerate(lines, start=1):
        try:
            transitions += _transitions(_messages(line), f"{file.name}:{number}")
        except RejectedError as error:
            flaws.append(f"{file}, line {number} is left out: {error}")
    return transitions, flaws


def _messages(line: str) -> list[Message]:
    try:
        chat = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise RejectedError(f"it is not JSON ({error}).") from None
    raw = chat.get("messages") if isinstance(chat, dict) else None
    if not isinstance(raw, list) or not all(isinstance(message, dict) for message in raw):
        raise RejectedError('it must be an object with "messages", a list of OpenAI chat messages.')
    return [normalise_message(message) for message in raw]


def _transitions(messages: list[Message], name: str) -> Iterator[TransitionJoined]:
    """One per assistant message that something follows."""
    places = [place for place, message in enumerate(messages) if message.role == "assistant"]
    for turn, (place, end) in enumerate(zip(places, [*places[1:], len(messages)], strict=True)):
        following = tuple(messages[place + 1 : end])
        begin = places[turn - 1] + 1 if turn else 0
        if following:
            yield TransitionJoined(
                id=f"{name}/{turn}",
                time_ms=0,
                policy="",
                conversation_id=name,
                action_id=f"{name}/{turn}",
                next_state_id=f"{name}/{turn}",
                turn=turn,
                context=tuple(message for message in messages[begin:place] if message.role != "system"),
                reply=messages[place],
                kind="messages",
                next_messages=following,
            )


def _as_json(transition: TransitionJoined, judgement: Judgement) -> str:
    place = {"conversation": transition.conversation_id, "turn": transition.turn}
    return orjson.dumps({**place, **_fields(judgement)}).decode()


def _fields(judgement: Judgement) -> dict[str, object]:
    return {
        "score": judgement.score,
        "votes": judgement.votes,
        "confidence": judgement.confidence,
        "abstention": judgement.abstention,
    }


def _as_text(transition: TransitionJoined, judgement: Judgement) -> str:
    score = "abstained" if judgement.score is None else f"{judgement.score:+d}"
    sure = "" if judgement.confidence is None else f" {judgement.confidence:.2f}"
    why = f" ({judgement.abstention})" if judgement.abstention else ""
    said = " ".join(transition.next_messages[0].content.split())[:SHOWN_CHARS]
    return f"{transition.conversation_id} turn {transition.turn}: {score}{sure}{why}: {said}"
