"""What real instrumentations send, and what each spelling tells; the payloads are described in tests/data/otlp."""

from typing import Any

import orjson
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from schemas.events import Message, Sampling
from serving.otlp.model_call import SpanRefusedError
from serving.otlp.spans import spans_of_logs, spans_of_traces
from serving.otlp.turns import Told, read_spans
from serving.otlp.wire import decode, encoding_of
from streams.observed import ObservedTurn
from tests.unit.serving.otlp_talk import REPLIES, TALK, batch, body, chat, content_type, said, span

WEATHER = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Weather of a city",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]


def told(name: str) -> list[Told]:
    encoding = encoding_of(content_type(name))
    assert encoding is not None
    if "logs" in name and "beside" not in name:
        return read_spans(spans_of_logs(decode(body(name), encoding, ExportLogsServiceRequest)), "t", ["assistant"])
    return read_spans(spans_of_traces(decode(body(name), encoding, ExportTraceServiceRequest)), "t", ["assistant"])


def turns(*names: str) -> list[ObservedTurn]:
    return [one.told for name in names for one in told(name) if isinstance(one.told, ObservedTurn)]


def outcomes(name: str) -> list[str]:
    return [
        one.told if isinstance(one.told, str) else getattr(one.told, "reason", type(one.told).__name__)
        for one in told(name)
    ]


def the_one(attributes: dict[str, Any], **own: Any) -> ObservedTurn | SpanRefusedError | str:
    [one] = read_spans(spans_of_traces(batch(span(attributes, **own))), "t", ["assistant", "other"])
    return one.told


def turn_of(attributes: dict[str, Any], **own: Any) -> ObservedTurn:
    turn = the_one(attributes, **own)
    assert isinstance(turn, ObservedTurn), turn
    return turn


def reason_of(attributes: dict[str, Any], **own: Any) -> str:
    refused = the_one(attributes, **own)
    assert isinstance(refused, SpanRefusedError), refused
    return refused.reason


@pytest.mark.parametrize(
    ("names", "num_turns"),
    [
        (("semconv.pb",), 5),
        (("semconv.json",), 5),
        (("openllmetry_flat.pb",), 5),
        (("openinference.pb",), 5),
        (("openinference.json",), 5),
        (("vercel.pb",), 5),
        (("vercel.json",), 5),
        (("semconv_vercel.pb",), 5),
        (("span_events_1.pb", "span_events_2.pb"), 4),
        (("details_events.pb",), 4),
    ],
)
def test_every_spelling_tells_the_same_talk(names: tuple[str, ...], num_turns: int) -> None:
    heard = turns(*names)
    assert [(turn.messages, turn.reply) for turn in heard] == [
        (TALK[:place], TALK[place]) for place in REPLIES[:num_turns]
    ]
    reasons = ["tool_calls", "stop", "stop", "stop", "length"]
    assert [turn.finish_reason for turn in heard] == reasons[:num_turns]
    assert {turn.model for turn in heard} == {"gpt-4o-mini"}
    assert [turn.time_ms for turn in heard] == sorted(turn.time_ms for turn in heard)
    assert len({turn.action_id for turn in heard}) == num_turns


@pytest.mark.parametrize(
    "name",
    [
        "semconv.pb",
        "semconv.json",
        "openllmetry_flat.pb",
        "openinference.pb",
        "vercel.pb",
        "vercel.json",
        "semconv_vercel.pb",
    ],
)
def test_tools_and_sampling_are_told_where_they_are_sent(name: str) -> None:
    *_, thanks, _ = turns(name)
    assert orjson.loads(thanks.tools) == WEATHER
    assert (thanks.sampling.temperature, thanks.sampling.max_tokens) == (0.5, 20)


def test_whose_the_talk_is() -> None:
    named = turns("openinference.pb", "span_events_1.pb", "vercel.pb", "vercel.json", "semconv_vercel.pb")
    assert {(turn.session_id, turn.subject) for turn in named} == {("talk-1", "ann")}
    assert [turn.subject for turn in turns("openllmetry_flat.pb")] == ["", "", "", "ann", ""]  # the request's user


def test_embeddings_tools_and_an_agents_own_spans_are_foreign() -> None:
    assert outcomes("semconv.pb").count("foreign") == len(outcomes("semconv.pb")) - 5 == 4
    assert outcomes("span_events_1.pb").count("foreign") == 5
    assert outcomes("vercel.pb").count("foreign") == len(outcomes("vercel.pb")) - 5 == 9
    assert outcomes("semconv_vercel.pb").count("foreign") == len(outcomes("semconv_vercel.pb")) - 5 == 14


def test_log_records_tell_the_calls_that_spans_tell_under_the_same_ids() -> None:
    from_logs, from_spans = turns("semconv_logs.pb"), turns("semconv_beside_logs.pb")
    assert [turn.action_id for turn in from_logs] == [turn.action_id for turn in from_spans]
    assert [turn.messages for turn in from_logs] == [turn.messages for turn in from_spans]
    assert from_logs[0].reply == TALK[2]


def test_a_call_without_words_says_how_to_switch_them_on() -> None:
    refused = [one.told for one in told("semconv_without_content.pb") if isinstance(one.told, SpanRefusedError)]
    assert [error.reason for error in refused] == ["no_content"] * 5
    assert "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY" in str(refused[0])


def test_a_call_of_a_model_is_one_even_where_nobody_names_its_kind() -> None:
    assert reason_of({"gen_ai.request.model": "gpt"}) == "no_content"
    assert reason_of({"gen_ai.operation.name": "acompletion"}) == "no_content"
    assert the_one({"gen_ai.request.model": "ada", "gen_ai.operation.name": "embeddings"}) == "foreign"


def test_a_talk_that_its_process_has_cut_is_refused_not_shortened() -> None:
    assert outcomes("openllmetry_flat_truncated.pb")[-3:] == ["truncated", "truncated", "foreign"]
    [*_, error, _] = [one.told for one in told("openllmetry_flat_truncated.pb")]
    assert "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT" in str(error)


def test_choices_come_with_what_read_them_and_instructions_go_first() -> None:
    turn = turn_of(chat("hi", "hello", gen_ai__system_instructions='[{"type":"text","content":"Be kind."}]'))
    assert turn.messages == (said("system", "Be kind."), said("user", "hi"))
    assert turn.reply == said("assistant", "hello")


def test_parts_of_other_apis_become_messages_of_their_own() -> None:
    messages = [
        {"role": "user", "parts": [{"type": "text", "content": "go"}]},
        {
            "role": "model",
            "parts": [{"type": "reasoning", "content": "hm"}, {"type": "tool_use", "id": "1", "name": "ls"}],
        },
        {
            "role": "user",
            "parts": [
                {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "a b"}]},
                {"type": "text", "content": "and?"},
            ],
        },
    ]
    turn = turn_of(chat("", "x", gen_ai__input__messages=orjson.dumps(messages).decode()))
    assert [message.role for message in turn.messages] == ["user", "assistant", "tool", "user"]
    assert turn.messages[1].tool_calls[0].name == "ls"
    assert turn.messages[1].content == ""
    assert turn.messages[2] == said("tool", "a b", "1")
    assert turn.messages[3] == said("user", "and?")


def test_a_picture_is_kept_by_its_digest() -> None:
    parts = [{"type": "blob", "modality": "image", "mime_type": "image/png", "content": "AAAA"}]
    messages = orjson.dumps([{"role": "user", "parts": parts}]).decode()
    [message] = turn_of(chat("", "x", gen_ai__input__messages=messages)).messages
    assert [(medium.kind, medium.num_bytes) for medium in message.media] == [("image_url", 3)]


@pytest.mark.parametrize(
    "events",
    [
        [
            ("gen_ai.content.prompt", {"gen_ai.prompt": '[{"role":"user","content":"hi"}]'}),
            ("gen_ai.content.completion", {"gen_ai.completion": '[{"role":"assistant","content":"hello"}]'}),
        ],
        [("gen_ai.user.message", {"content": "hi"}), ("gen_ai.choice", {"message": '{"content":"hello"}'})],
        [
            ("gen_ai.user.message", {"gen_ai.event.content": '{"role":"user","content":"hi"}'}),
            ("gen_ai.choice", {"gen_ai.event.content": '{"message":{"content":"hello"},"finish_reason":"stop"}'}),
        ],
    ],
)
def test_older_events_are_understood(events: list[tuple[str, dict[str, str]]]) -> None:
    told_in = [OtlpSpan.Event(name=name, attributes=span(attributes).attributes) for name, attributes in events]
    turn = turn_of({"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt"}, events=told_in)
    assert (turn.messages, turn.reply) == ((said("user", "hi"),), said("assistant", "hello"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"gen_ai__output__messages": "[]"}, "no_content"),
        ({"gen_ai__output__messages": '[{"role":"assistant","parts":[]}]'}, "no_content"),
        ({"gen_ai__input__messages": "[]"}, "no_content"),
        (
            {"gen_ai__input__messages": '[{"role":"user","parts":[{"type":"text","content":"__REDACTED__"}]}]'},
            "no_content",
        ),
        ({"gen_ai__input__messages": '[{"role":"user","parts":[{"type":"te'}, "unreadable"),
        ({"gen_ai__input__messages": '[{"role":"wizard","parts":[]}]'}, "unreadable"),
        ({"gen_ai__input__messages": '["hi"]'}, "unreadable"),
        ({"gen_ai__input__messages": 3}, "unreadable"),
        ({"gen_ai__input__messages": '[{"role":"user","content":"hi","tool_calls":5}]'}, "unreadable"),
        ({"gen_ai__input__messages": '[{"role":"user","parts":[{"type":"blob","content":"\u00e9"}]}]'}, "unreadable"),
        ({"nextstate__policy": "nobody"}, "unknown_policy"),
    ],
)
def test_a_call_that_cannot_be_a_turn_says_why(change: dict[str, Any], reason: str) -> None:
    assert reason_of(chat("hi", "hello", **change)) == reason


def test_arguments_of_any_depth_are_told_as_they_are() -> None:
    deep = "[" * 600 + "1.5" + "]" * 600
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": deep}}
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": None, "tool_calls": [call]}]
    turn = turn_of(chat("", "x", gen_ai__input__messages=orjson.dumps(messages).decode()))
    assert turn.messages[1].tool_calls[0].arguments == deep


def test_flat_attributes_that_contradict_each_other_or_have_a_gap_are_refused() -> None:
    flat = {"llm.request.type": "chat", "gen_ai.prompt.0.role": "user", "gen_ai.completion.0.content": "x"}
    assert reason_of(flat | {"gen_ai.prompt.0": "hi"}) == "unreadable"
    assert reason_of(flat | {"gen_ai.prompt.2.content": "hi"}) == "truncated"
    assert reason_of(flat | {"gen_ai.prompt.0" + ".x" * 20: "hi"}) == "unreadable"


def test_a_call_without_an_id_is_refused() -> None:
    assert reason_of(chat("hi", "hello"), number=0) == "no_id"


def test_a_failed_call_has_no_answer_and_one_that_broke_off_is_aborted() -> None:
    failed = Status(code=Status.STATUS_CODE_ERROR)
    assert the_one({"gen_ai.operation.name": "chat"}, status=failed) == "failed"
    assert the_one(chat("hi", "", gen_ai__output__messages="[]"), status=failed) == "failed"
    assert turn_of(chat("hi", "hel"), status=failed).finish_reason == "aborted"


def test_policy_and_turn_type_may_be_named() -> None:
    turn = turn_of(chat("hi", "hello", nextstate__policy="other", nextstate__turn_type="side"))
    assert (turn.policy, turn.turn_type) == ("other", "side")
    assert turn_of(chat("hi", "hello")).policy == "assistant"


def test_a_process_may_say_for_all_its_spans_whose_they_are() -> None:
    owned = batch(span(chat("hi", "hello")), **{"nextstate.policy": "other", "user.id": "ann"})
    [one] = read_spans(spans_of_traces(owned), "t", ["assistant", "other"])
    assert isinstance(one.told, ObservedTurn)
    assert (one.told.policy, one.told.subject) == ("other", "ann")


def test_sampling_is_told_as_far_as_it_makes_sense() -> None:
    odd = chat(
        "hi",
        "hello",
        gen_ai__request__temperature=float("nan"),
        gen_ai__request__seed=True,
        gen_ai__request__top_k=1.0,
        gen_ai__request__stop_sequences=["a", 1],
    )
    assert turn_of(odd).sampling == Sampling(top_k=1, stop=("a",))


def test_tenants_never_meet_in_an_id() -> None:
    spans = spans_of_traces(batch(span(chat("hi", "hello"))))
    ids = {
        one.told.action_id
        for tenant in "ab"
        for one in read_spans(spans, tenant, ["p"])
        if isinstance(one.told, ObservedTurn)
    }
    assert len(ids) == 2


def test_only_words_count_as_a_reply() -> None:
    assert isinstance(turn_of(chat("hi", "hello")).reply, Message)
    assert reason_of(chat("hi", "  ")) == "no_content"
