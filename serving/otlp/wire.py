"""OTLP over HTTP: bodies as protobuf messages, and answers in the encoding that the request came in.

Owns what the protocol says of bodies: binary protobuf or JSON (where ids are hex digits, not protobuf's base64), gzip
or plain, errors as google.rpc.Status. Consumes and produces bytes; knows nothing of spans.
"""

import base64
import binascii
import zlib
from collections.abc import Iterator
from enum import StrEnum
from http import HTTPStatus
from typing import Any, TypeVar

import orjson
from google.protobuf.json_format import MessageToJson, ParseDict, ParseError
from google.protobuf.message import DecodeError, Message
from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status
from starlette.responses import Response

from serving.api_errors import ApiError

M = TypeVar("M", bound=Message)

_GZIP_WINDOW = 16 + zlib.MAX_WBITS  # zlib's way to say: gzip, with its header
_ID_FIELDS = ("traceId", "spanId", "parentSpanId")
_LEVELS = (("resourceSpans", "scopeSpans", "spans"), ("resourceLogs", "scopeLogs", "logRecords"))
_RPC_CODES = {
    HTTPStatus.UNAUTHORIZED: Code.UNAUTHENTICATED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: Code.RESOURCE_EXHAUSTED,
    HTTPStatus.SERVICE_UNAVAILABLE: Code.UNAVAILABLE,
    HTTPStatus.INTERNAL_SERVER_ERROR: Code.INTERNAL,
}


class Encoding(StrEnum):
    """How messages are written, by its content type."""

    PROTOBUF = "application/x-protobuf"
    JSON = "application/json"


def encoding_of(content_type: str) -> Encoding | None:
    """The encoding of a content type; None: OTLP has no such one."""
    named = content_type.partition(";")[0].strip().lower()
    return Encoding(named) if named in set(Encoding) else None


def unpack(body: bytes, content_encoding: str, max_bytes: int) -> bytes:
    """The body as it was before it was compressed.

    Raises:  ApiError: compressed in another way than gzip (415), damaged (400), or longer than `max_bytes` (413), which
             is noticed before it is unpacked whole.
    """
    match content_encoding.strip().lower():
        case "" | "identity":
            return body
        case "gzip":
            return _gunzip(body, max_bytes)
        case other:
            message = f"The body's content-encoding is {other[:40]!r}; send it as gzip or plain."
            raise ApiError(message, status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE)


def _gunzip(body: bytes, max_bytes: int) -> bytes:
    unpacker = zlib.decompressobj(_GZIP_WINDOW)
    try:
        raw = unpacker.decompress(body, max_bytes + 1)
    except zlib.error as error:
        message = f"The body is said to be gzip, but cannot be unpacked: {error}."
        raise ApiError(message) from error
    if len(raw) > max_bytes:
        message = f"The body has more than {max_bytes} bytes unpacked (gateway.max_otlp_bytes); send smaller batches."
        raise ApiError(message, status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    if not unpacker.eof or unpacker.unused_data:
        raise ApiError("The body is said to be gzip, but is not one whole gzip stream.")
    return raw


def decode(raw: bytes, encoding: Encoding, kind: type[M]) -> M:
    """A message of this kind.

    Raises:  ApiError: the bytes are none (400).
    """
    try:
        if encoding is Encoding.PROTOBUF:
            return kind.FromString(raw)
        return ParseDict(_with_ids_as_in_protobuf(orjson.loads(raw)), kind(), ignore_unknown_fields=True)
    except (DecodeError, ParseError, orjson.JSONDecodeError) as error:
        sentence = " ".join(str(error).split())[:300]
        message = f"The body is no {kind.__name__} in {encoding.value}: {sentence}."
        raise ApiError(message) from error


def answer(message: Message, encoding: Encoding, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """A message as the response."""
    if encoding is Encoding.PROTOBUF:
        return Response(message.SerializeToString(), status, media_type=encoding.value)
    return Response(MessageToJson(message, indent=None), status, media_type=encoding.value)


def refusal(error: ApiError, encoding: Encoding) -> Response:
    """A refused request as google.rpc.Status; exporters try again on a 503, after its Retry-After."""
    status = Status(code=_RPC_CODES.get(error.status, Code.INVALID_ARGUMENT), message=str(error))
    response = answer(status, encoding, error.status)
    response.headers.update(error.headers)
    return response


def _with_ids_as_in_protobuf(request: object) -> dict[str, Any]:
    if not isinstance(request, dict):
        raise ParseError("it is no object")
    for levels in _LEVELS:
        for record in _within(request, levels):
            record.pop("links", None)  # hold ids too; nobody reads them
            for field in _ID_FIELDS:
                if isinstance(digits := record.get(field), str):
                    record[field] = _base64_of(digits, field)
    return request


def _within(value: object, levels: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The objects at the end of lists within lists; what is no list or object is left to the parser to refuse."""
    if not isinstance(value, dict):
        return
    if not levels:
        yield value
        return
    listed = value.get(levels[0])
    for entry in listed if isinstance(listed, list) else ():
        yield from _within(entry, levels[1:])


def _base64_of(digits: str, field: str) -> str:
    try:
        return base64.b64encode(binascii.unhexlify(digits)).decode()
    except ValueError as error:
        raise ParseError(f"{field} {digits[:40]!r} is not in hex digits") from error
