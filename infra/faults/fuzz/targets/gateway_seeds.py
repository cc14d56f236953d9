"""`SEEDS`: valid requests to each group of routes, as clients send them; `HEADS`: odd things around any body."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from infra.faults.fuzz.case import Case
from infra.faults.fuzz.seeds import golden_records, recorded_spans
from infra.faults.fuzz.targets.gateway_world import KEY, POLICY
from streams.cloudevents import ACCEPTED

_ACTION, _CONVERSATION = "0" * 31 + "1", "c-1"  # of the prelude
_JSON, _PROTOBUF = "application/json", "application/x-protobuf"
Json = dict[str, Any]

_WEATHER: Json = {
    "name": "weather",
    "description": "Tells it.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
_CALL: Json = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}}
_PICTURE = "data:image/png;base64,iVBORw0KGgo="
_TALK: list[Json] = [
    {"role": "system", "content": "You are brief."},
    {"role": "user", "content": "Weather in Rome?"},
    {"role": "assistant", "content": None, "tool_calls": [_CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "21 C"},
]
_SCHEMA: Json = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def _chat() -> list[Case]:
    hello = [{"role": "user", "content": "Hello?"}]
    tools = [{"type": "function", "function": _WEATHER}]
    return [
        _case("/v1/chat/completions", {"model": POLICY, **fields})
        for fields in (
            {"messages": hello},
            {"messages": hello, "stream": True, "stream_options": {"include_usage": True}, "user": "ada"},
            {"messages": _TALK, "tools": tools, "tool_choice": "auto", "temperature": 0.5, "max_tokens": 5},
            {"messages": _TALK, "tools": tools, "tool_choice": "none", "stream": True},
            {"messages": hello, "n": 2, "logprobs": True, "top_logprobs": 2, "seed": 7, "stop": ["###"]},
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}], "top_p": 0.9, "top_k": 5},
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": _PICTURE}}]}]},
            {"messages": hello, "logit_bias": {"65": -5.0}, "frequency_penalty": 0.1, "min_p": 0.1},
            {
                "messages": hello,
                "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": _SCHEMA}},
                "chat_template_kwargs": {"thinking": False},
            },
        )
    ]


def _responses() -> list[Case]:
    tool = {"type": "function", **_WEATHER}
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
        {"type": "function_call", "call_id": "c", "name": "weather", "arguments": '{"city":"Rome"}'},
        {"type": "function_call_output", "call_id": "c", "output": "21 C"},
    ]
    return [
        _case("/v1/responses", {"model": POLICY, **fields})
        for fields in (
            {"input": "Hello?"},
            {"input": "Hello?", "instructions": "Be brief.", "stream": True, "metadata": {"a": "b"}},
            {"input": items, "tools": [tool], "tool_choice": "auto", "max_output_tokens": 20, "store": True},
            {"input": "And?", "previous_response_id": f"resp_{_ACTION}", "truncation": "auto", "user": "ada"},
            {"input": [{"type": "item_reference", "id": f"msg_{_ACTION}"}, {"role": "user", "content": "And?"}]},
            {"input": "1?", "text": {"format": {"type": "json_schema", "name": "x", "schema": _SCHEMA}}},
            {"input": "Hi", "include": ["message.output_text.logprobs"], "top_logprobs": 1, "reasoning": {}},
        )
    ]


def _messages() -> list[Case]:
    tool = {"name": "weather", "description": "Tells it.", "input_schema": _WEATHER["parameters"]}
    hello = [{"role": "user", "content": "Hello?"}]
    talk = [
        {"role": "user", "content": [{"type": "text", "text": "Weather?", "cache_control": {"type": "ephemeral"}}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm."},
                {"type": "tool_use", "id": "t", "name": "weather", "input": {"city": "Rome"}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "21 C"}]},
    ]
    bodies: Sequence[Json] = (
        {"messages": hello, "max_tokens": 20},
        {"messages": hello, "max_tokens": 20, "stream": True, "system": [{"type": "text", "text": "Be brief."}]},
        {"messages": talk, "max_tokens": 20, "tools": [tool], "tool_choice": {"type": "auto"}, "top_k": 3},
        {"messages": hello, "max_tokens": 9, "metadata": {"user_id": "ada"}, "stop_sequences": ["#"]},
        {"messages": hello, "max_tokens": 9, "output_config": {"format": {"type": "json_schema", "schema": _SCHEMA}}},
    )
    answered = [_case("/v1/messages", {"model": POLICY, **body}) for body in bodies]
    counted = [_case("/v1/messages/count_tokens", {"model": POLICY, **body}) for body in bodies[:3]]
    return [*answered, *counted]


def _feedback() -> list[Case]:
    scale = {"rating": 4, "worst_rating": 1, "best_rating": 5}
    return [
        _case("/v1/feedback", fields)
        for fields in (
            {"action_id": _ACTION, "thumb": "up"},
            {"response_id": f"resp_{_ACTION}", "thumb": -1, "comment": "Too long.", "user": "ada"},
            {"conversation_id": _CONVERSATION, **scale},
            {"session_id": "s-1", "comment": "Fine."},
            {"action_id": _ACTION, "choice": 0, "thumb": 1, "id": "f-1", **scale},
        )
    ]


def _events() -> list[Case]:
    one_each = [_cloudevent(record.headers, record.value) for record in golden_records() if record.type in ACCEPTED]
    alone = [_case("/v1/events", event, {"content-type": "application/cloudevents+json"}) for event in one_each]
    batch = _case("/v1/events", one_each, {"content-type": "application/cloudevents-batch+json"})
    return [*alone, batch, _case("/v1/events", [], {})]


def _cloudevent(headers: Mapping[str, str], value: bytes) -> Json:
    return {
        "specversion": "1.0",
        "id": headers["ce_id"],
        "source": "fuzz",
        "type": headers["ce_type"],
        "time": headers["ce_time"],
        "data": {key: one for key, one in orjson.loads(value).items() if key != "tenant"},
    }


def _otlp() -> list[Case]:
    cases = []
    for name, body in recorded_spans():
        kind = _JSON if name.endswith(".json") else _PROTOBUF
        path = "/v1/logs" if "logs" in name and "beside" not in name else "/v1/traces"
        cases += [_case(path, body, {"content-type": kind})]
    packed = [
        Case({**case.head, "pack": "gzip", "headers": {**case.head["headers"], "content-encoding": "gzip"}}, case.body)
        for case in cases[::3]
    ]
    return [*cases, *packed]


def _reads() -> list[Case]:
    paths = (
        *("/v1/models", f"/v1/models/{POLICY}", "/v1/models/none", "/health", "/metrics", "/", "/v1", "/v2/x"),
        *(f"/v1/responses/resp_{_ACTION}", "/v1/responses/none", "/v1/chat/completions", "/v1/messages/batches"),
    )
    methods = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
    cases = [_case(path, b"") for path in paths]
    cases = [Case({**case.head, "method": "GET"}, b"") for case in cases]
    cases += [Case({**case.head, "method": method}, b"{}") for case in cases[:4] for method in methods]
    return [*cases, Case({**cases[8].head, "query": "stream=true"}, b"")]


def _case(path: str, body: object, headers: Mapping[str, str] | None = None) -> Case:
    head = {"path": path, "headers": {"authorization": f"Bearer {KEY}", "x-session-id": "s-1", **(headers or {})}}
    return Case(head, body if isinstance(body, bytes) else orjson.dumps(body))


def prelude() -> Case:
    """An action of a conversation, which other requests can speak of."""
    record = next(record for record in golden_records() if record.type == "nextstate.action.taken.v2")
    event = _cloudevent(record.headers, record.value)
    whole = ("base_action_id", "parent_action_id", "messages_tail", "prompt_tail")
    event["id"] = _ACTION
    event["data"] |= {"conversation_id": _CONVERSATION, "kept_messages": 0, "kept_prompt_tokens": 0}
    event["data"] = {key: value for key, value in event["data"].items() if key not in whole}
    return _case("/v1/events", event)


SEEDS: Mapping[str, Callable[[], list[Case]]] = {
    "chat": _chat,
    "responses": _responses,
    "messages": _messages,
    "feedback": _feedback,
    "events": _events,
    "otlp": _otlp,
    "reads": _reads,
}

_LONG = "x" * 10_000
HEADS: Sequence[dict[str, Any]] = (
    *({"headers": {"authorization": value}} for value in ("", "Bearer ", "Bearer wrong", "Basic x", "Bearer \xff\xfe")),
    *({"headers": {"x-api-key": value}} for value in (KEY, "", "\xe9", _LONG)),
    *(
        {"headers": {"authorization": f"Bearer {KEY}", name: value}}
        for name in ("x-session-id", "x-turn-type", "x-session-done", "content-type", "content-encoding", "user-agent")
        for value in ("", "\xff", "side", "true", "application/json; charset=utf-16", "gzip", "br", _LONG, "\ud800")
    ),
    *(
        {"headers": {"authorization": f"Bearer {KEY}", "content-length": value}}
        for value in ("0", "-1", "x", "99999999999", "9" * 5000, "\xb2")
    ),
    *(
        {"pack": pack, "headers": {"authorization": f"Bearer {KEY}", "content-type": kind, "content-encoding": "gzip"}}
        for pack in ("gzip", "cut", "twice", "bomb", "nested", "plain")
        for kind in (_PROTOBUF, _JSON)
    ),
    *({"path": path} for path in ("/v1/traces", "/v1/models/\xff", "/v1/responses/" + "%00", "/v1/models/" + _LONG)),
    *({"query": query} for query in ("stream=true", "stream=%ff", "a=b&a=c", "%", _LONG)),
)
