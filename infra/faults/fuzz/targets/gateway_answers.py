"""`reasons_of`: the sentences in an answer that refuse something, whatever protocol it is of; and that it is of one."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import orjson
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from infra.faults.fuzz.target import WrongError

_OTLP = ("/v1/traces", "/v1/logs")
_PROTOBUF = "application/x-protobuf"


class Reply(NamedTuple):
    """An answer, and what it answers."""

    method: str
    path: str
    status: int
    headers: Mapping[str, str]
    body: bytes


def reasons_of(reply: Reply) -> list[str]:
    """Why something was refused; empty: nothing was.

    Raises:  WrongError: the answer is not of its protocol.
    """
    if reply.method == "HEAD":
        return ["HEAD has no body"] if reply.status >= 400 else []
    kind = reply.headers.get("content-type", "").partition(";")[0]
    if kind == _PROTOBUF:
        return _of_protobuf(reply)
    if kind == "text/event-stream":
        _refuse_broken(reply)
        return []
    if kind != "application/json":
        return [] if reply.path == "/metrics" and reply.status < 400 else _none_of(reply)
    body = _json(reply.body)
    if reply.status >= 400:
        return [_message(body, reply), *_parts(body)]
    return [*_parts(body)]


def _message(body: Any, reply: Reply) -> str:
    """The sentence of an error in its protocol's form."""
    match body:
        case {"error": {"message": str(message), "type": str()}}:
            return message
        case {"code": int(), "message": str(message)} if reply.path in _OTLP:
            return message
        case _:
            raise WrongError(f"answered {reply.status} in no form of its protocol: {str(body)[:120]}")


def _parts(body: Any) -> Iterator[str]:
    """Of what was refused in part."""
    match body:
        case {"rejected": [*refused]}:
            yield from (one["reason"] for one in refused)
        case {"partialSuccess": {"errorMessage": str(message)}}:
            yield message


def _of_protobuf(reply: Reply) -> list[str]:
    try:
        if reply.status >= 400:
            return [Status.FromString(reply.body).message]
        success = ExportTraceServiceResponse.FromString(reply.body)  # a logs' response has the same form
    except DecodeError as error:
        raise WrongError(f"answered protobuf that cannot be read: {error}") from error
    message = success.partial_success.error_message
    return [message] if message else []


def _events(body: bytes) -> Iterator[Any]:
    for block in body.split(b"\n\n"):
        data = block.rpartition(b"data: ")[2]
        if block.strip() and data != b"[DONE]":
            yield _json(data)


def _refuse_broken(reply: Reply) -> None:
    for event in _events(reply.body):
        if isinstance(event, dict) and (event.get("error") or event.get("type") in {"error", "response.failed"}):
            raise WrongError(f"a stream breaks off, though engine and log are well: {str(event)[:200]}")


def _json(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise WrongError(f"answered JSON that cannot be read: {error}") from error


def _none_of(reply: Reply) -> list[str]:
    raise WrongError(f"answered {reply.status} as {reply.headers.get('content-type')}: {reply.body[:80]!r}")
