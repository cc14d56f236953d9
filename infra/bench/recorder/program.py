"""A program that tells of its model's turns, and times each call: `python program.py SIDE TASK.json`.

Started by path, in any Python that has what its side needs; so it imports nothing of ours at its head. A side:

    nothing         makes the same calls to functions that do nothing: what timing itself costs
    recorder        `streams.record.AgentRecorder`, to Kafka, or to its spool while there is none
    opentelemetry   a span of OpenTelemetry's SDK for each call, with the same words by its GenAI conventions, through
                    BatchSpanProcessor and the OTLP/HTTP exporter, all as they are by default

The task names the talks to tell and the mode; what was found is written to the file that the task names:

    paced   one call every `pace_s`, so that what is in the background keeps up; ns of each call, by kind
    steady  as many as the side takes at a time, then wait until they are out, again and again: how fast they get out
    burst   everything at once, faster than anything gets out: what is dropped, and how memory grows
"""

import importlib
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

MODEL = "gpt-x"
NEXT_STATE = {"role": "user", "content": "No, shorter please, and without a list."}
COMMENT = "Far too long, and not what I asked for."
SETTLE_S = 120.0  # longest wait until what was told is out
Json = dict[str, Any]


class Side(Protocol):
    """How a program tells of its turns."""

    at_once: int  # turns that it can hold

    def turn(self, messages: list[Json], reply: str) -> Any:
        """One answer; what names it."""

    def next_state(self, turn: Any, message: Json) -> None:
        """What followed an answer."""

    def feedback(self, turn: Any, comment: str) -> None:
        """What somebody says of an answer."""

    def settle(self) -> None:
        """Wait until all of it is out."""

    def counts(self) -> Json:
        """What became of it, as far as the side itself can say."""


class Nothing:
    """Calls that do nothing."""

    at_once = 1_000

    def turn(self, messages: list[Json], reply: str) -> Any:
        """Nothing."""

    def next_state(self, turn: Any, message: Json) -> None:
        """Nothing."""

    def feedback(self, turn: Any, comment: str) -> None:
        """Nothing."""

    def settle(self) -> None:
        """Nothing."""

    def counts(self) -> Json:
        """None."""
        return {}


class Recorded:
    """The recorder, set up as its documentation says."""

    at_once = 5_000  # half of what it lets wait

    def __init__(self, task: Json) -> None:
        record = importlib.import_module("streams.record")
        self._recorder = record.AgentRecorder(task["address"], spool_folder=Path(task["folder"]))

    def turn(self, messages: list[Json], reply: str) -> Any:
        """A turn."""
        return self._recorder.record(messages, reply, model=MODEL)

    def next_state(self, turn: Any, message: Json) -> None:
        """A next state."""
        self._recorder.next_state(turn, message)

    def feedback(self, turn: Any, comment: str) -> None:
        """A thumb and a comment."""
        self._recorder.feedback(turn, thumb=-1, comment=comment)

    def settle(self) -> None:
        """Until it is in Kafka, or in the spool."""
        self._recorder.flush(SETTLE_S)

    def counts(self) -> Json:
        """Its own."""
        return dict(self._recorder.counts)


class Spans:
    """OpenTelemetry's SDK. A turn is named by nothing: a span that has ended cannot be added to."""

    at_once = 2_000  # BatchSpanProcessor holds 2,048 spans

    def __init__(self, task: Json) -> None:
        sdk = importlib.import_module("opentelemetry.sdk.trace")
        export = importlib.import_module("opentelemetry.sdk.trace.export")
        otlp = importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        self._provider = sdk.TracerProvider()
        exporter = otlp.OTLPSpanExporter(endpoint=f"{task['address']}/v1/traces")
        self._provider.add_span_processor(export.BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("program")

    def turn(self, messages: list[Json], reply: str) -> Any:
        """The span of a model call."""
        span = self._tracer.start_span(f"chat {MODEL}")
        span.set_attribute("gen_ai.operation.name", "chat")
        span.set_attribute("gen_ai.request.model", MODEL)
        span.set_attribute("gen_ai.input.messages", _told(messages))
        span.set_attribute("gen_ai.output.messages", _told([{"role": "assistant", "content": reply}]))
        span.end()

    def next_state(self, turn: Any, message: Json) -> None:  # noqa: ARG002
        """A span that holds a message."""
        span = self._tracer.start_span("next state")
        span.set_attribute("gen_ai.input.messages", _told([message]))
        span.end()

    def feedback(self, turn: Any, comment: str) -> None:  # noqa: ARG002
        """A span that holds an evaluation."""
        span = self._tracer.start_span("feedback")
        span.set_attribute("gen_ai.evaluation.name", "thumb")
        span.set_attribute("gen_ai.evaluation.score.value", -1.0)
        span.set_attribute("gen_ai.evaluation.explanation", comment)
        span.end()

    def settle(self) -> None:
        """Until the exporter has sent it."""
        self._provider.force_flush(int(1000 * SETTLE_S))

    def counts(self) -> Json:
        """None: what it drops is in no count."""
        return {}


def _told(messages: list[Json]) -> str:
    parts = [
        {"role": message["role"], "parts": [{"type": "text", "content": message["content"]}]} for message in messages
    ]
    return json.dumps(parts)


SIDES: dict[str, Callable[[Json], Side]] = {
    "nothing": lambda _: Nothing(),
    "recorder": Recorded,
    "opentelemetry": Spans,
}


def paced(side: Side, task: Json) -> Json:
    """Times each call. Turns come in their order, the two kinds of talk by turns."""
    pace_s, took_ns = task["pace_s"], defaultdict(list)

    def call(kind: str, what: Callable[..., Any], *args: Any) -> Any:
        time.sleep(pace_s)
        began = time.perf_counter_ns()
        found = what(*args)
        took_ns[kind].append(time.perf_counter_ns() - began)
        return found

    used_s, num_calls = 0.0, 0
    for number, turns in enumerate(zip(*task["talks"].values(), strict=True)):
        if number == task["num_warm_up"]:
            took_ns.clear()
            used_s = time.process_time()
        for kind, (messages, reply) in zip(task["talks"], turns, strict=True):
            turn = call(kind, side.turn, messages, reply)
        call("next state", side.next_state, turn, NEXT_STATE)
        call("feedback", side.feedback, turn, COMMENT)
        num_calls += len(turns) + 2
    side.settle()
    return {"took_ns": took_ns, "used_s": time.process_time() - used_s, "num_calls": num_calls}


def steady(side: Side, task: Json) -> Json:
    """How long all turns take to get out, told no faster than they do."""
    (first, *turns), *_ = task["talks"].values()
    side.turn(*first)  # connects, or finds that it cannot
    side.settle()
    began_s, used_s = time.perf_counter(), time.process_time()
    for start in range(0, len(turns), side.at_once):
        for messages, reply in turns[start : start + side.at_once]:
            side.turn(messages, reply)
        side.settle()
    took_s, used_s = time.perf_counter() - began_s, time.process_time() - used_s
    return {"took_s": took_s, "used_s": used_s, "num_timed": len(turns), "num_calls": 1 + len(turns)}


def burst(side: Side, task: Json) -> Json:
    """Everything at once."""
    (turns,) = task["talks"].values()
    before = _resident_bytes()
    began_s = time.perf_counter()
    for messages, reply in turns:
        side.turn(messages, reply)
    told_s, full = time.perf_counter() - began_s, _resident_bytes()
    side.settle()
    grown = max(full, _resident_bytes()) - before
    return {"told_s": told_s, "num_calls": len(turns), "grown_bytes": grown}


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main(name: str, task_file: str) -> None:
    """Runs one side through a task."""
    del sys.path[0]  # this script's own folder
    task = json.loads(Path(task_file).read_bytes())
    side = SIDES[name](task)
    found = {"paced": paced, "steady": steady, "burst": burst}[task["mode"]](side, task)
    Path(task["found"]).write_text(json.dumps({**found, "counts": side.counts()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
