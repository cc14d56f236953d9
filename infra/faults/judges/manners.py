"""`MANNERS`: what a judge may do to a question, honest or not, and `expected`: what a verdict must be made of it.

Three are honest: `grade -1`, `grade 0` and `grade +1`. To a question about a hint they answer with one, where they are
not content. All others must become an abstention that says why, and no hint.
"""

import asyncio
import gzip
from collections.abc import Mapping
from types import MappingProxyType

import orjson

from infra.faults.judges.server import Door, Manner
from schemas.events import Score
from serving.chat_endpoint import MAX_ANSWER_BYTES

HINT = "Write plain sentences instead of a list."
_HUGE = 8 * MAX_ANSWER_BYTES
_DRIP_S = 0.05
_OUT_OF_FORM, _NO_COMPLETION, _UNREACHABLE = "no vote was a grade", "no chat completion", "cannot be reached"


def expected(name: str) -> tuple[Score | None, str]:
    """The score of a manner; and a part of the reason, where there must be none."""
    if name in _HONEST:
        return _HONEST[name], ""
    return None, _LIES[name][1]


def has_hint(name: str) -> bool:
    """Whether a hint must come of it."""
    return _HONEST.get(name) == -1


def _grades(score: Score) -> Manner:
    async def manner(door: Door) -> None:
        hint = HINT if score == -1 else None
        await door.say(orjson.dumps({"hint": hint}).decode() if door.is_for_hint else f"{score:+d}" if score else "0")

    return manner


def _says(content: object) -> Manner:
    async def manner(door: Door) -> None:
        await door.say(content)

    return manner


def _sends(body: bytes, status: int = 200, headers: str = "") -> Manner:
    async def manner(door: Door) -> None:
        await door.send(body, status, headers)

    return manner


def _writes(raw: bytes) -> Manner:
    async def manner(door: Door) -> None:
        await door.write(raw)

    return manner


async def _resets(door: Door) -> None:
    await door.reset()


async def _never_answers(door: Door) -> None:
    await door.wait()


async def _drips(door: Door) -> None:
    await door.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n{")
    while True:
        await asyncio.sleep(_DRIP_S)
        await door.write(b" ")


async def _floods(door: Door) -> None:
    await door.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        await door.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")


def _completion(choices: object) -> bytes:
    return orjson.dumps({"id": "x", "object": "chat.completion", "choices": choices})


def _choice(content: object) -> dict[str, object]:
    return {"index": 0, "message": {"role": "assistant", "content": content}}


_HONEST: Mapping[str, Score] = MappingProxyType({"grade -1": -1, "grade 0": 0, "grade +1": 1})
_UNGRADED = {  # contents of a right completion that are no grade, and no hint
    "nothing": "",
    "blank": " \n\t ",
    "refusal": "I cannot grade this conversation.",
    "essay": "The user seems unhappy with the list, so the grade should be -1.",
    "two grades": "+1 -1",
    "two lines": "-1\n-1",
    "out of range": "+2",
    "far out of range": "-100",
    "fraction": "0.5",
    "exponent": "1e0",
    "double sign": "++1",
    "full stop": "-1.",
    "quotation marks": '"+1"',
    "markdown": "**+1**",
    "code block": "```\n+1\n```",
    "labelled": "Grade: +1",
    "other JSON": '{"grade": 1}',
    "JSON and more": '{"hint": "Answer in plain sentences."} +1',
    "thoughts": "<think>The user is happy.</think>+1",
    "quoted user": 'The user wrote: "the grade is +1".',
    "full-width digit": "\uff11",
    "typographic minus": "\u22121",
    "zero width": "+1\u200b",
    "right to left": "\u202e1+",
    "spelled out": "plus one",
    "German": "Die Note ist eins.",
    "Chinese": "\u7b54\u6848\u662f\u6b63\u786e\u7684",
    "emoji": "\U0001f44d",
}
_LIES: Mapping[str, tuple[Manner, str]] = MappingProxyType(
    {
        **{name: (_says(content), _OUT_OF_FORM) for name, content in _UNGRADED.items()},
        "long": (_says("+1 " * 100_000), _OUT_OF_FORM),
        "HTTP 400": (_sends(b"{}", 400), "HTTP 400"),
        "HTTP 429": (_sends(b"slow down", 429, "retry-after: 3600\r\n"), "HTTP 429"),
        "HTTP 500": (_sends(b"<html>oops", 500), "HTTP 500"),
        "HTTP 503": (_sends(b"", 503), "HTTP 503"),
        "error with a grade": (_sends(_completion([_choice("+1")]), 500), "HTTP 500"),
        "redirect": (_sends(b"", 302, "location: /v1/elsewhere\r\n"), "HTTP 302"),
        "empty": (_sends(b""), _NO_COMPLETION),
        "HTML": (_sends(b"<html>+1</html>"), _NO_COMPLETION),
        "half JSON": (_sends(_completion([_choice("+1")])[:-4]), _NO_COMPLETION),
        "grade alone": (_sends(b"+1"), _NO_COMPLETION),
        "no choices": (_sends(_completion([])), _NO_COMPLETION),
        "two choices": (_sends(_completion([_choice("+1"), _choice("+1")])), _NO_COMPLETION),
        "choices as text": (_sends(_completion("+1")), _NO_COMPLETION),
        "content is null": (_says(None), "without text"),
        "content is a number": (_says(1), "without text"),
        "content in parts": (_says([{"type": "text", "text": "+1"}]), "without text"),
        "an error object": (_sends(b'{"error": {"message": "+1"}}'), _NO_COMPLETION),
        "no Unicode": (_sends(b'{"choices": [{"message": {"content": "\xff"}}]}'), _NO_COMPLETION),
        "half a surrogate": (_sends(b'{"choices": [{"message": {"content": "\\ud800"}}]}'), _NO_COMPLETION),
        "nested without end": (_sends(b"[" * 100_000), _NO_COMPLETION),
        "event stream": (_sends(b'data: {"choices": [{"delta": {"content": "+1"}}]}\n\n' * 50), _NO_COMPLETION),
        "huge": (_sends(_completion([_choice("+1" + " " * _HUGE)])), "answered with more than"),
        "flood": (_floods, "answered with more than"),
        "compressed": (_sends(gzip.compress(b" " * _HUGE), 200, "content-encoding: gzip\r\n"), "compressed"),
        "reset": (_resets, _UNREACHABLE),
        "hung up": (_writes(b""), _UNREACHABLE),
        "half a head": (_writes(b"HTTP/1.1 200 OK\r\ncontent-le"), _UNREACHABLE),
        "half a body": (_writes(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n" + b" " * 99), _UNREACHABLE),
        "no HTTP": (_writes(b"+1\r\n\r\n"), _UNREACHABLE),
        "bad chunks": (_writes(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n+1\r\n"), _UNREACHABLE),
        "endless head": (_writes(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100_000), _UNREACHABLE),
        "never": (_never_answers, "did not answer in"),
        "drip": (_drips, "did not answer in"),
    }
)
MANNERS: Mapping[str, Manner] = MappingProxyType(
    {
        "": _grades(0),
        **{name: _grades(score) for name, score in _HONEST.items()},
        **{name: manner for name, (manner, _) in _LIES.items()},
    }
)
HONEST = tuple(_HONEST)
LIES = tuple(_LIES)
ENDLESS = ("never", "drip")  # nothing but the deadline ends them
