"""The recorder's input: whatever a program tells it, as `AgentRecorder` takes it and its worker reads it.

The law: nothing is ever raised into the program; what cannot be recorded is told with its reason; the rest are events
that can be written and read again. Texts that begin with "@" stand for what no JSON holds: a set, an object, itself.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

from infra.faults.fuzz.case import Case
from infra.faults.fuzz.json_damage import damaged
from infra.faults.fuzz.target import Answer, Material, Target, WrongError
from schemas.clock import now_ms
from schemas.errors import RejectedError
from streams.codec import decode, encode
from streams.conversation import ConversationIndex
from streams.record import AgentRecorder
from streams.record_queue import RecordQueue
from streams.record_writer import Item, Kind, Limits
from streams.topics import TOPIC_OF

_CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
_ASKED = [{"role": "user", "content": "Hello?"}]
_COMPLETION = {
    "model": "m",
    "choices": [{"message": {"role": "assistant", "content": "Hi.", "tool_calls": [_CALL]}, "finish_reason": "stop"}],
}
_TOLD: tuple[dict[str, Any], ...] = (
    {"do": "record", "messages": _ASKED, "reply": "Hi.", "model": "m"},
    {"do": "record", "messages": _ASKED, "reply": _COMPLETION, "own_id": "a-1", "request": {"temperature": 0.5}},
    {
        "do": "record",
        "messages": [*_ASKED, {"role": "assistant", "content": "Hi."}, *_ASKED],
        "reply": {"content": "Hm."},
    },
    {"do": "record", "messages": _ASKED, "reply": "Hi.", "request": {"tools": [_CALL], "stop": ["#"], "max_tokens": 9}},
    {"do": "record", "messages": ["@object"], "reply": "@object", "turn_type": "side", "session_id": "s"},
    {"do": "feedback", "action_id": "", "session_id": "s", "thumb": 1, "rating": 4, "scale": [1, 5], "comment": "x"},
    {
        "do": "next_state",
        "action_id": "",
        "session_id": "s",
        "messages": [{"role": "tool", "content": "1"}],
        "exit_code": 1,
    },
)


def make(name: str, folder: Path) -> Target:  # noqa: ARG001 - every target's form
    """The target."""
    return Recording(folder)


class Recording:
    """A program that tells a recorder something: a talk in a session, then one call of its own."""

    def __init__(self, folder: Path) -> None:
        bodies = [orjson.dumps(told) for told in _TOLD]
        self.material = Material(seeds=[Case({}, body) for body in bodies], mutators=(damaged,))
        self._folder = folder

    def fresh(self) -> None:
        """Nothing is kept between calls."""

    def attempt(self, case: Case) -> Answer:
        """One call."""
        try:
            told = orjson.loads(case.body)
        except orjson.JSONDecodeError:
            told = {"do": "record", "messages": case.body, "reply": case.body.decode("utf-8", "surrogateescape")}
        worker = _Worker()
        recorder = AgentRecorder("localhost:9", spool_folder=self._folder / "spools")
        recorder._worker = worker  # type: ignore[assignment]  # noqa: SLF001 - all but the thread and Kafka
        with recorder.conversation("s"):
            recorder.record(_ASKED, "Hi.", own_id="a-0")
        _tell(recorder, told if isinstance(told, dict) else {"do": "record", "messages": told, "reply": told})
        reasons = worker.write()
        return Answer(is_taken=not reasons, reasons=reasons)


def _tell(recorder: AgentRecorder, told: Mapping[str, Any]) -> None:
    given = {key: _made(value) for key, value in told.items() if key != "do"}
    match told.get("do"):
        case "feedback":
            scale = given.get("scale")
            given["scale"] = tuple(scale) if isinstance(scale, list) else scale
            options = _named(given, "thumb", "rating", "scale", "comment", "session_id")
            recorder.feedback(given.get("action_id", ""), **options)
        case "next_state":
            said, options = given.get("messages"), _named(given, "exit_code", "session_id")
            recorder.next_state(given.get("action_id", ""), *(said if isinstance(said, list) else [said]), **options)
        case _:
            options = _named(given, "model", "own_id", "turn_type", "request")
            if "session_id" in given:
                with recorder.conversation(given["session_id"]):
                    recorder.record(given.get("messages"), given.get("reply"), **options)  # type: ignore[arg-type]
            else:
                recorder.record(given.get("messages"), given.get("reply"), **options)  # type: ignore[arg-type]


def _named(given: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: given[name] for name in names if name in given}


class _Said:
    """A message as an object of a client."""

    def model_dump(self) -> dict[str, object]:
        return {"role": "assistant", "content": "Hi."}


class _Odd:
    """An object that answers with something else."""

    def model_dump(self) -> list[object]:
        return [self]


def _held_by_itself() -> list[object]:
    held: list[object] = []
    held.append(held)
    return held


_MADE: Mapping[str, Callable[[], object]] = {
    "@object": _Said,
    "@odd": _Odd,
    "@set": lambda: {1, 2},
    "@bytes": lambda: b"\xff",
    "@itself": _held_by_itself,
    "@nan": lambda: float("nan"),
    "@surrogate": lambda: "\ud800",
    "@huge": lambda: 10**400,
}
_ODD = tuple(_MADE)
_DEEPEST = 200  # objects stand no deeper; what is deeper is the product's to bear


def _made(value: Any, depth: int = 0) -> Any:
    """A value with the objects that its texts stand for. A text that begins with "@" is one of them, by its length."""
    if depth > _DEEPEST:
        return value
    match value:
        case str() if value.startswith("@"):
            return _MADE.get(value, _MADE[_ODD[len(value) % len(_ODD)]])()
        case list():
            return [_made(one, depth + 1) for one in value]
        case dict():
            return {key: _made(one, depth + 1) for key, one in value.items()}
        case _:
            return value


class _Worker:
    """The recorder's worker without its thread: what it is told is weighed, matched and encoded when it is asked."""

    def __init__(self) -> None:
        limits = Limits()
        self.counts: Counter[str] = Counter()
        self._queue: RecordQueue[Item] = RecordQueue(limits.max_queued, limits.max_queued_bytes)
        self._index = ConversationIndex.of(limits, now_ms)
        self._reasons: list[str] = []

    def put(self, item: Item) -> None:
        self._queue.put(item)

    def trouble(self, kind: Kind, reason: object) -> None:  # noqa: ARG002 - as the worker's own
        self._reasons.append(str(reason))

    def write(self) -> list[str]:
        self._queue.weigh()
        for item in self._queue.take(10):
            try:
                item.missing(self._index)
                for event in item.events(self._index):
                    record = encode(TOPIC_OF[type(event)], event, "recorder")
                    if decode(record.headers, record.value) != event:
                        raise WrongError(f"{event.type} is read back as another than was written")
            except RejectedError as error:
                self.trouble("failed", error)
        return self._reasons
