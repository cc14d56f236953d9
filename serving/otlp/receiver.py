"""`OtlpReceiver`: POST /v1/traces and /v1/logs, the model calls that an instrumented agent tells of.

    admission ──► decode ──► spans ──► turns ──► what is new of them ──► ActionTaken, NextStateObserved ──► recorder

Consumes whole batches of spans, whatever else is in them. Answers in the request's encoding once every event is safe;
where one is not, with 503: the exporter sends the batch again, and what was safe is not told twice, since ids follow
from the spans'. Batches are taken one at a time, so that one which is sent again finds its first try ended.

* What is no model call is foreign: counted, not refused. So is a span of which nothing is new (news.py).
* A model call that cannot become a turn is refused in the answer's partial success, with how many and why. So is one
  that the gateway itself fails on: an exporter does not send a batch again that was answered with an error of ours.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Generic, TypeVar

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from starlette.requests import Request
from starlette.responses import Response

from schemas.errors import RejectedError
from schemas.events import Event
from serving.admission import read_body, tenant_of
from serving.api_errors import ApiError
from serving.config import GatewayConfig
from serving.http_edge import api_error_of
from serving.metrics import GatewayMetrics
from serving.otlp.model_call import SpanRefusedError
from serving.otlp.news import News
from serving.otlp.spans import Span, spans_of_logs, spans_of_traces
from serving.otlp.turns import Told, read_spans
from serving.otlp.wire import Encoding, answer, decode, encoding_of, refusal, unpack
from serving.recording import Recording
from serving.routing import Routes
from streams.conversation import ConversationIndex
from streams.topics import TOPIC_OF

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class _Signal(Generic[M]):
    """One of OTLP's signals: what a request is, what it tells, and what the answer to it is."""

    request: type[M]
    spans_of: Callable[[M], list[Span]]
    response: Callable[[int, str], Message]  # of how many were refused, and why


def _traces_response(num_refused: int, why: str) -> Message:
    refused = ExportTracePartialSuccess(rejected_spans=num_refused, error_message=why)
    return ExportTraceServiceResponse(partial_success=refused if num_refused else None)


def _logs_response(num_refused: int, why: str) -> Message:
    refused = ExportLogsPartialSuccess(rejected_log_records=num_refused, error_message=why)
    return ExportLogsServiceResponse(partial_success=refused if num_refused else None)


_TRACES = _Signal(ExportTraceServiceRequest, spans_of_traces, _traces_response)
_LOGS = _Signal(ExportLogsServiceRequest, spans_of_logs, _logs_response)


class OtlpReceiver:
    """The two endpoints."""

    def __init__(
        self,
        config: GatewayConfig,
        recording: Recording,
        index: ConversationIndex,
        routes: Routes,
        metrics: GatewayMetrics,
    ) -> None:
        self._config = config
        self._recording = recording
        self._index = index
        self._routes = routes
        self._metrics = metrics
        self._one_batch = asyncio.Lock()
        self._news = News(index)

    async def traces(self, request: Request) -> Response:
        """POST /v1/traces."""
        return await self._export(request, _TRACES)

    async def logs(self, request: Request) -> Response:
        """POST /v1/logs."""
        return await self._export(request, _LOGS)

    async def _export(self, request: Request, signal: _Signal[M]) -> Response:
        content_type = request.headers.get("content-type", "")
        encoding = encoding_of(content_type)
        if encoding is None:
            message = f"The content-type is {content_type[:80]!r}; send {' or '.join(Encoding)}."
            return refusal(ApiError(message, status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE), Encoding.JSON)
        try:
            tenant = tenant_of(request.headers, self._config.api_keys)
            self._recording.admit()
            body = await read_body(request, self._config.max_otlp_bytes)
            packing = request.headers.get("content-encoding", "")
            told = await asyncio.to_thread(self._read, body, packing, encoding, signal, tenant)
            async with self._one_batch:
                not_taken = await self._take(told, tenant)
        except Exception as error:
            return refusal(api_error_of(error), encoding)
        return answer(signal.response(len(not_taken), _why(not_taken)), encoding)

    def _read(self, body: bytes, packing: str, encoding: Encoding, signal: _Signal[M], tenant: str) -> list[Told]:
        """What a body tells. In a thread of its own: a large one takes a while."""
        raw = unpack(body, packing, self._config.max_otlp_bytes)
        spans = signal.spans_of(decode(raw, encoding, signal.request))
        return read_spans(spans, tenant, tuple(self._routes.versions))

    async def _take(self, batch: Sequence[Told], tenant: str) -> list[SpanRefusedError]:
        """Record the turns of a batch; returns why others were refused.

        Raises:  SpoolFullError: some are not safe.
        """
        outcomes: Counter[str] = Counter()
        refused: list[SpanRefusedError] = []
        told: list[tuple[str, Event]] = []
        for one in batch:
            became, events = self._news.of(one, tenant)
            if isinstance(became, SpanRefusedError):
                refused.append(became)
            else:
                outcomes[became] += 1
            told += [(events[-1].id, event) for event in events]  # the action comes last
            await asyncio.sleep(0)  # a batch is long, and others are being served
        unrecordable = await self._make_safe(told)
        outcomes["turn"] -= len(unrecordable)
        refused += unrecordable
        outcomes.update(error.reason for error in refused)
        for outcome, count in outcomes.items():
            self._metrics.otlp_spans.labels(outcome).inc(count)
        return refused

    async def _make_safe(self, told: Sequence[tuple[str, Event]]) -> list[SpanRefusedError]:
        """Record events, each by the turn (its action's id) that it is of; returns why turns cannot be recorded ever.

        Raises:  SpoolFullError: some are not safe now. All that are not are forgotten, so that they can be told again.
        """
        kept = [self._recording.must_keep(TOPIC_OF[type(event)], event) for _, event in told]
        results = await asyncio.gather(*kept, return_exceptions=True)
        failed = {
            action_id: result
            for (action_id, _), result in zip(told, results, strict=True)
            if isinstance(result, BaseException)
        }
        for action_id in failed:
            self._index.forget(action_id)
        for error in failed.values():
            if not isinstance(error, RejectedError):
                raise error
        return [SpanRefusedError("unrecordable", str(error)) for error in failed.values()]


def _why(refused: Sequence[SpanRefusedError]) -> str:
    """How many were refused for what, one sentence for each reason."""
    counted = Counter(error.reason for error in refused)
    examples = {error.reason: str(error).rstrip(".") for error in reversed(refused)}
    return " ".join(f"{reason}, {count}: {examples[reason]}." for reason, count in counted.items())
