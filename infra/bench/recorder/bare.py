"""A bare OTLP receiver: `python -m ...bare PORT`. What OTLP over HTTP costs in Python where nothing is kept.

It stands on what our gateway stands on (uvicorn on uvloop, Starlette, protobuf), decodes each batch, counts its spans,
prints a line, as the collector's debug exporter does by default, and answers. GET /received: how many spans so far.
"""

import asyncio
import sys

import uvicorn
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.ports import HOST
from serving.otlp.wire import Encoding, answer, decode, unpack

_MAX_BYTES = 1 << 30


class BareReceiver:
    """The endpoints."""

    def __init__(self) -> None:
        self._num_spans = 0

    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[Route("/v1/traces", self.traces, methods=["POST"]), Route("/received", self.received)],
        )

    async def traces(self, request: Request) -> Response:
        """POST /v1/traces; in protobuf only."""
        body = await request.body()
        batch = await asyncio.to_thread(self._decoded, body, request.headers.get("content-encoding", ""))
        num_spans = sum(len(scope.spans) for group in batch.resource_spans for scope in group.scope_spans)
        self._num_spans += num_spans
        sys.stdout.write(f"Traces: {num_spans} spans\n")
        return answer(ExportTraceServiceResponse(), Encoding.PROTOBUF)

    async def received(self, _: Request) -> Response:
        """GET /received."""
        return JSONResponse(self._num_spans)

    @staticmethod
    def _decoded(body: bytes, packing: str) -> ExportTraceServiceRequest:
        return decode(unpack(body, packing, _MAX_BYTES), Encoding.PROTOBUF, ExportTraceServiceRequest)


def main(port: str) -> None:
    """Serves until it is ended from outside."""
    uvicorn.run(BareReceiver().app(), host=HOST, port=int(port), log_level="warning", access_log=False, loop="uvloop")


if __name__ == "__main__":
    main(*sys.argv[1:])
