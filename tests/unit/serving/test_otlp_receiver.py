"""POST /v1/traces and /v1/logs: what instrumented agents leave in the log, and what their exporters are answered."""

import asyncio
import gzip
from typing import Any

import httpx
import orjson
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message as Protobuf
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from schemas.errors import RejectedError
from schemas.events import ActionTaken, Event
from schemas.origin import lacks_tokens
from schemas.prompt import resolve
from serving.otlp.model_call import ModelCall
from serving.otlp.spans import Span as SpanRead
from serving.otlp.spellings import registry
from streams.match import Match
from streams.topics import Topic
from tests.unit.serving.gateway_fakes import Bench, MemoryRecorder, assistant, user
from tests.unit.serving.otlp_talk import JSON, PROTOBUF, TALK, batch, body, chat, content_type, said, span


async def post(bench: Bench, raw: bytes, path: str = "/v1/traces", **headers: str) -> httpx.Response:
    sent = {"content-type": PROTOBUF} | {name.replace("_", "-"): text for name, text in headers.items()}
    async with bench.client() as client:
        return await client.post(path, content=raw, headers=sent)


async def export(bench: Bench, request: ExportTraceServiceRequest, **headers: str) -> ExportTraceServiceResponse:
    response = await post(bench, request.SerializeToString(), **headers)
    assert (response.status_code, response.headers["content-type"]) == (200, PROTOBUF), response.text
    return ExportTraceServiceResponse.FromString(response.content)


async def spans_by_outcome(bench: Bench) -> dict[str, float]:
    async with bench.client() as client:
        lines = (await client.get("/metrics")).text.splitlines()
    counted = [
        line.split('outcome="')[1].split('"} ') for line in lines if line.startswith("nextstate_otlp_spans_total")
    ]
    return {outcome: float(number) for outcome, number in counted if float(number)}


def refusal(response: httpx.Response) -> Protobuf:
    return Status.FromString(response.content)


@pytest.mark.parametrize(
    ("name", "num_foreign"),
    [
        ("semconv.pb", 4),
        ("semconv.json", 4),
        ("openllmetry_flat.pb", 4),
        ("openinference.pb", 4),
        ("vercel.pb", 9),
        ("vercel.json", 9),
        ("semconv_vercel.pb", 14),
    ],
)
async def test_a_talk_is_recorded_with_the_next_state_of_each_turn(name: str, num_foreign: int) -> None:
    bench = Bench()
    response = await post(bench, body(name), content_type=content_type(name))
    assert (response.status_code, response.headers["content-type"]) == (200, content_type(name))
    actions, states = bench.recorder.actions, bench.recorder.next_states
    assert [action.turn for action in actions] == [0, 1, 2, 3, 4]
    assert [action.parent_action_id for action in actions[1:]] == [action.id for action in actions[:-1]]
    assert [state.messages for state in states] == [TALK[3:5], TALK[6:7], TALK[8:9], TALK[10:11]]
    assert [state.action_id for state in states] == [action.id for action in actions[:-1]]
    assert [state.source for state in states] == ["tool", "chat", "chat", "chat"]
    assert len({event.conversation_id for event in bench.recorder.events}) == 1
    assert not any(event.ambiguous for event in (*actions, *states))
    assert all(map(lacks_tokens, actions))
    assert await spans_by_outcome(bench) == {"turn": 5, "foreign": num_foreign}


async def test_a_talk_is_stored_as_what_is_new_and_resolves_to_what_was_read() -> None:
    bench = Bench()
    await post(bench, body("semconv.pb"))
    whole = None
    for action in bench.recorder.actions:
        whole = resolve(action, whole)
    assert whole is not None
    assert (*whole.messages, whole.reply) == TALK
    assert sum(len(action.messages) for action in bench.recorder.actions) < len(TALK)


async def test_a_talk_that_comes_in_several_batches_is_one() -> None:
    bench = Bench()
    for name in ("span_events_1.pb", "span_events_2.pb"):
        assert (await post(bench, body(name))).content == b""
    assert [state.messages for state in bench.recorder.next_states] == [TALK[3:5], TALK[6:7], TALK[8:9]]
    assert not any(state.ambiguous for state in bench.recorder.next_states)


async def test_a_batch_that_is_sent_again_says_nothing_new() -> None:
    bench = Bench()
    for _ in range(2):
        await post(bench, body("openinference.json"), content_type=JSON)
    assert len(bench.recorder.actions) == 5
    assert await spans_by_outcome(bench) == {"turn": 5, "repeated": 5, "foreign": 8}


async def test_spans_of_a_batch_are_taken_in_the_order_in_which_they_ended() -> None:
    bench = Bench()
    first = span(chat("hi", "hello"), number=1, end_ns=1_000_000)
    more = '[{"role":"user","content":"hi"},{"role":"assistant","content":"hello"},{"role":"user","content":"louder"}]'
    second = span(chat("", "HELLO", gen_ai__input__messages=more), number=2, end_ns=2_000_000)
    await export(bench, batch(second, first))
    [state] = bench.recorder.next_states
    assert (state.action_id, state.messages) == (bench.recorder.actions[0].id, (said("user", "louder"),))


def run(number: int, *answers: str) -> list[Span]:
    """Calls of one trace: each reads the answers before it."""
    spans, told = [], [{"role": "user", "content": "go"}]
    for place, answer in enumerate(answers, start=1):
        attributes = chat("", answer, gen_ai__input__messages=orjson.dumps(told).decode())
        start_ns = number * 10**9 + place * 1_000
        one = span(attributes, number=place, start_time_unix_nano=start_ns, end_ns=start_ns + 500)
        one.trace_id = number.to_bytes(16, "big")
        spans.append(one)
        told += [{"role": "assistant", "content": answer}, {"role": "user", "content": f"after {answer}"}]
    return spans


async def test_runs_of_one_task_that_begin_alike_are_told_apart_by_their_traces() -> None:
    bench = Bench()
    one, other = run(1, "a", "b", "c"), run(2, "a", "b", "d")
    await export(bench, batch(*one[:2], *other))
    await export(bench, batch(*one[2:]))
    assert not any(event.ambiguous for event in (*bench.recorder.actions, *bench.recorder.next_states))
    talks: dict[str, list[str]] = {}
    for action in bench.recorder.actions:
        talks.setdefault(action.conversation_id, []).append(action.reply.content)
    assert sorted(talks.values()) == [["a", "b", "c"], ["a", "b", "d"]]


async def test_a_person_who_answers_in_another_trace_goes_on_with_the_talk() -> None:
    bench = Bench()
    first, *_ = run(1, "a", "b", "c", "d")
    _, second, third, _ = run(2, "a", "b", "c", "d")
    *_, last = run(3, "a", "b", "c", "d")
    await export(bench, batch(first, second, third, last))
    assert [action.turn for action in bench.recorder.actions] == [0, 1, 2, 3]
    assert len({action.conversation_id for action in bench.recorder.actions}) == 1
    assert len(bench.recorder.next_states) == 3


async def test_log_records_add_nothing_to_the_spans_that_they_belong_to() -> None:
    bench = Bench()
    await post(bench, body("semconv_beside_logs.pb"))
    answered = await post(bench, body("semconv_logs.pb"), "/v1/logs")
    assert ExportLogsServiceResponse.FromString(answered.content) == ExportLogsServiceResponse()
    assert len(bench.recorder.actions) == 5
    assert (await spans_by_outcome(bench))["repeated"] == 5


async def test_log_records_alone_are_enough() -> None:
    bench = Bench()
    await post(bench, body("semconv_logs.pb"), "/v1/logs")
    assert len(bench.recorder.actions) == 5
    assert bench.recorder.next_states[0].messages == TALK[3:5]


def without_words(name: str) -> bytes:
    """A batch of spans as it is sent where the words are in log records alone (EVENT_ONLY)."""
    request = ExportTraceServiceRequest.FromString(body(name))
    for one in (one for group in request.resource_spans for scope in group.scope_spans for one in scope.spans):
        for attribute in [a for a in one.attributes if a.key in {"gen_ai.input.messages", "gen_ai.output.messages"}]:
            one.attributes.remove(attribute)
    return request.SerializeToString()


async def test_spans_whose_words_are_in_log_records_are_not_refused() -> None:
    bench = Bench()
    await post(bench, body("semconv_logs.pb"), "/v1/logs")
    answered = await post(bench, without_words("semconv_beside_logs.pb"))
    assert answered.content == b""
    assert await spans_by_outcome(bench) == {"turn": 5, "repeated": 5, "foreign": 4}


async def test_a_process_that_tells_its_words_in_log_records_may_send_the_span_first() -> None:
    bench = Bench()
    logs = ExportLogsServiceRequest.FromString(body("semconv_logs.pb"))
    [records] = [scope.log_records for group in logs.resource_logs for scope in group.scope_logs if scope.log_records]
    later = [records.pop() for _ in range(len(records) - 1)]
    await post(bench, logs.SerializeToString(), "/v1/logs")
    await post(bench, without_words("semconv_beside_logs.pb"))
    assert await spans_by_outcome(bench) == {"turn": 1, "repeated": 1, "told_in_logs": 4, "foreign": 4}
    records.extend(later)
    await post(bench, logs.SerializeToString(), "/v1/logs")
    assert len(bench.recorder.actions) == 5


async def test_a_process_that_tells_no_words_is_told_so_whatever_others_tell() -> None:
    bench = Bench()
    await post(bench, body("semconv_logs.pb"), "/v1/logs")
    bare = span({"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt"})
    answered = await export(bench, batch(bare, **{"service.name": "another"}))
    assert answered.partial_success.rejected_spans == 1


async def test_a_framework_around_the_client_tells_each_call_once() -> None:
    bench = Bench()
    await post(bench, body("openinference_langchain.pb"))
    assert [action.reply.content for action in bench.recorder.actions] == ["", TALK[5].content, TALK[7].content]
    assert not any(state.ambiguous for state in bench.recorder.next_states)
    assert await spans_by_outcome(bench) == {"turn": 3, "doubled": 3, "foreign": 2}


async def test_a_span_around_a_call_is_not_told_even_where_it_words_it_otherwise() -> None:
    bench = Bench()
    inner = span(chat("hi", "hello"), number=1, parent=2, end_ns=1_000)
    middle = span(chat("hi!", "hello"), number=2, parent=3, end_ns=2_000)
    await export(bench, batch(inner, middle))
    await export(bench, batch(span(chat("hi", "hello!"), number=3, end_ns=3_000), middle, inner))
    assert len(bench.recorder.actions) == 1
    assert await spans_by_outcome(bench) == {"turn": 1, "doubled": 3, "repeated": 1}


def greeting(number: int, start_ns: int, end_ns: int, **names: str) -> Span:
    """A call with the words of every other one, in a trace of its own."""
    one = span(chat("hi", "hello", **names), number=number, start_time_unix_nano=start_ns, end_ns=end_ns)
    one.trace_id = number.to_bytes(16, "big")
    return one


@pytest.mark.parametrize("name", ["gen_ai__conversation__id", "user__id", "gen_ai__response__id"])
async def test_two_people_who_say_the_same_at_the_same_time_are_told_apart_by_their_names(name: str) -> None:
    bench = Bench()
    ann, bob = greeting(1, 100, 200, **{name: "ann"}), greeting(2, 110, 190, **{name: "bob"})
    await export(bench, batch(ann, bob))
    assert len(bench.recorder.actions) == 2
    await export(bench, batch(ann, bob))
    assert await spans_by_outcome(bench) == {"turn": 2, "repeated": 2}


async def test_spans_around_the_calls_of_two_people_are_known_by_what_any_of_their_spans_is_named() -> None:
    bench = Bench()
    inner = [greeting(number, 100 + number, 200 + number, gen_ai__response__id=f"r{number}") for number in (1, 2)]
    outer = [greeting(number, 100, 210 + number, gen_ai__conversation__id=f"talk-{number}") for number in (3, 4)]
    late = greeting(5, 100, 220, gen_ai__conversation__id="talk-5")
    await export(bench, batch(*inner, *outer, late))
    assert await spans_by_outcome(bench) == {"turn": 3, "doubled": 2}


async def test_the_same_words_at_another_time_are_another_call() -> None:
    bench = Bench()
    times = ((1_000, 2_000), (2_500, 3_000), (2_600, 3_100))
    calls = [
        span(chat("hi", "hello"), number=number, start_time_unix_nano=start, end_ns=end)
        for number, (start, end) in enumerate(times, start=1)
    ]
    await export(bench, batch(*calls))
    assert len(bench.recorder.actions) == 3


async def test_what_is_refused_is_counted_and_said_in_the_answer() -> None:
    bench = Bench()
    answered = ExportTraceServiceResponse.FromString((await post(bench, body("semconv_without_content.pb"))).content)
    assert answered.partial_success.rejected_spans == 5
    assert answered.partial_success.error_message.startswith("no_content, 5: it has no messages; switch the capture")
    assert bench.recorder.events == []
    assert await spans_by_outcome(bench) == {"no_content": 5, "foreign": 4}


async def test_foreign_spans_are_not_refused() -> None:
    bench = Bench()
    answered = await export(bench, batch(span({"http.request.method": "GET"}), span({}, number=2)))
    assert not answered.HasField("partial_success")
    assert await spans_by_outcome(bench) == {"foreign": 2}


async def test_json_is_answered_in_json() -> None:
    bench = Bench()
    good = MessageToDict(batch(span(chat("hi", "hello"))))
    for one in good["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        one |= {"traceId": "7" * 32, "spanId": "a" * 16, "links": [{"traceId": "7" * 32}], "newField": 1}
    async with bench.client() as client:
        assert (await client.post("/v1/traces", json=good)).json() == {}
        bad = await client.post("/v1/traces", json={"resourceSpans": 3})
    assert len(bench.recorder.actions) == 1
    assert bad.status_code == 400
    assert bad.json()["code"] == 3
    assert "ExportTraceServiceRequest" in bad.json()["message"]


async def test_a_batch_may_be_packed() -> None:
    bench = Bench()
    await export(bench, batch(span(chat("hi", "hello"))))
    response = await post(bench, gzip.compress(body("semconv.pb")), content_encoding="gzip")
    assert response.status_code == 200
    assert len(bench.recorder.actions) == 6


@pytest.mark.parametrize(
    ("raw", "headers", "status", "code"),
    [
        (b"\xff\xff", {}, 400, 3),
        (b"\xff\xff", {"content_encoding": "gzip"}, 400, 3),
        (gzip.compress(b"")[:-1], {"content_encoding": "gzip"}, 400, 3),
        (gzip.compress(b"") * 2, {"content_encoding": "gzip"}, 400, 3),
        (b"", {"content_encoding": "br"}, 415, 3),
        (b"x" * 1001, {}, 413, 8),
        (gzip.compress(b"x" * 1001), {"content_encoding": "gzip"}, 413, 8),
    ],
    ids=["no protobuf", "no gzip", "cut off", "two members", "other encoding", "too long", "too long unpacked"],
)
async def test_a_bad_body_is_refused_as_the_protocol_says(
    raw: bytes, headers: dict[str, str], status: int, code: int
) -> None:
    response = await post(Bench(max_otlp_bytes=1000), raw, **headers)
    assert (response.status_code, response.headers["content-type"]) == (status, PROTOBUF)
    assert MessageToDict(refusal(response))["code"] == code


async def test_another_content_type_is_refused_in_json() -> None:
    response = await post(Bench(), b"", content_type="text/plain")
    assert (response.status_code, response.headers["content-type"]) == (415, JSON)
    assert "application/x-protobuf" in response.json()["message"]


async def test_tenants_are_known_by_their_keys() -> None:
    bench = Bench(api_keys={"k1": "one", "k2": "two"})
    request = batch(span(chat("hi", "hello")))
    refused = await post(bench, request.SerializeToString())
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert MessageToDict(refusal(refused))["code"] == 16
    for key in ("k1", "k2"):
        await export(bench, request, authorization=f"Bearer {key}")
    assert [action.tenant for action in bench.recorder.actions] == ["one", "two"]
    assert len({action.id for action in bench.recorder.actions}) == 2


async def test_a_span_may_name_the_policy_that_learns() -> None:
    bench = Bench(policies=("assistant", "other"))
    await export(
        bench, batch(span(chat("hi", "hello")), span(chat("ho", "hello", nextstate__policy="other"), number=2))
    )
    assert [action.policy for action in bench.recorder.actions] == ["assistant", "other"]


@pytest.mark.parametrize("setting", ["refuse", "serve"])
async def test_where_nothing_can_be_kept_the_exporter_is_told_to_try_again_and_then_it_works(setting: str) -> None:
    bench = Bench(when_unrecordable=setting)
    bench.recorder.place = "nowhere"
    refused = await post(bench, body("semconv.pb"))
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert MessageToDict(refusal(refused)) == {"code": 14, "message": "The spool is full."}
    bench.recorder.place = "kafka"
    assert (await post(bench, body("semconv.pb"))).status_code == 200
    assert [action.turn for action in bench.recorder.actions] == [0, 1, 2, 3, 4]
    assert [state.messages for state in bench.recorder.next_states] == [TALK[3:5], TALK[6:7], TALK[8:9], TALK[10:11]]


async def test_what_was_safe_before_the_spool_was_full_is_not_told_twice() -> None:
    class FullAfter(MemoryRecorder):
        async def record(self, topic: Topic, event: Event) -> Any:
            self.place = "nowhere" if len(self.events) == 4 else "spool"
            return await super().record(topic, event)

    bench = Bench()
    full, bench.recorder.events = FullAfter(), []
    bench.recorder.record = full.record  # type: ignore[method-assign]
    assert (await post(bench, body("semconv.pb"))).status_code == 503
    bench.recorder.record = MemoryRecorder.record.__get__(full)  # type: ignore[method-assign]
    full.place = "spool"
    assert (await post(bench, body("semconv.pb"))).status_code == 200
    ids = [event.id for event in full.actions]
    assert len(ids) == len(set(ids)) == 5
    assert len({state.id for state in full.next_states}) == 4


async def test_a_turn_that_can_never_be_recorded_is_refused_and_the_others_are_kept() -> None:
    class Picky(MemoryRecorder):
        async def record(self, topic: Topic, event: Event) -> Any:
            if isinstance(event, ActionTaken) and event.reply.content == "too long":
                raise RejectedError("The event is too long for Kafka.")
            return await super().record(topic, event)

    bench = Bench()
    bench.recorder.record = (kept := Picky()).record  # type: ignore[method-assign]
    answered = await export(bench, batch(span(chat("hi", "too long")), span(chat("ho", "hello"), number=2)))
    assert answered.partial_success.rejected_spans == 1
    assert answered.partial_success.error_message == "unrecordable, 1: The event is too long for Kafka."
    assert [action.reply.content for action in kept.actions] == ["hello"]
    assert await spans_by_outcome(bench) == {"turn": 1, "unrecordable": 1}


async def test_a_span_that_the_gateway_fails_on_costs_no_other_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def holds(self, span: SpanRead) -> bool:
            return "broken" in span.attributes

        def read(self, span: SpanRead) -> ModelCall:
            raise TypeError(span)

    monkeypatch.setattr(registry, "SPELLINGS", (Broken(), *registry.SPELLINGS))
    bench = Bench()
    answered = await export(bench, batch(span(chat("hi", "hello", broken=True)), span(chat("ho", "hey"), number=2)))
    assert answered.partial_success.rejected_spans == 1
    assert answered.partial_success.error_message == "defect, 1: the gateway failed on it; its log says why."
    assert [action.reply.content for action in bench.recorder.actions] == ["hey"]
    assert await spans_by_outcome(bench) == {"turn": 1, "defect": 1}


async def test_a_turn_that_cannot_be_matched_costs_no_other_one() -> None:
    bench = Bench()
    match = bench.index.match

    def failing(**request: Any) -> Match:
        if request["messages"][0].content == "odd":
            raise RecursionError
        return match(**request)

    bench.index.match = failing  # type: ignore[method-assign]
    await export(bench, batch(span(chat("odd", "hello")), span(chat("ho", "hey"), number=2)))
    assert [action.reply.content for action in bench.recorder.actions] == ["hey"]
    assert await spans_by_outcome(bench) == {"turn": 1, "defect": 1}


async def test_what_nobody_foresaw_is_answered_in_the_protocols_own_form() -> None:
    class Broken(MemoryRecorder):
        async def record(self, topic: Topic, event: Event) -> Any:
            raise TypeError(topic)

    bench = Bench()
    bench.recorder.record = Broken().record  # type: ignore[method-assign]
    failed = await post(bench, batch(span(chat("hi", "hello"))).SerializeToString())
    assert (failed.status_code, failed.headers["content-type"]) == (500, PROTOBUF)
    assert MessageToDict(refusal(failed))["code"] == 13


async def test_a_batch_that_is_sent_again_waits_for_its_first_try() -> None:
    bench = Bench()
    bench.recorder.gate = asyncio.Event()
    tries = [asyncio.create_task(post(bench, body("semconv.pb"))) for _ in range(2)]
    await bench.recorder.asked.wait()
    await asyncio.sleep(0.05)
    assert not any(one.done() for one in tries)
    bench.recorder.gate.set()
    assert [(await one).status_code for one in tries] == [200, 200]
    assert len(bench.recorder.actions) == 5


async def test_an_observed_answer_is_followed_by_what_is_said_to_the_policy() -> None:
    bench = Bench([["Hm."]])
    await export(bench, batch(span(chat("hi", "hello"))))
    await bench.chat(user("hi"), assistant("hello"), user("No, in French."))
    observed, own = bench.recorder.actions
    [state] = bench.recorder.next_states
    assert (state.action_id, own.parent_action_id) == (observed.id, observed.id)
    assert not state.ambiguous
    assert own.prompt_ids == tuple(map(ord, "<user>hi<assistant>hello<user>No, in French.<assistant>"))
