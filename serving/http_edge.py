"""The edge of HTTP: requests counted, errors in OpenAI's form, clients that leave noticed.

What the gateway needs of ASGI beyond Starlette; knows nothing of turns or events.
"""

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schemas.errors import NextstateError
from serving.metrics import GatewayMetrics
from serving.openai_errors import ApiError, as_api_error

_LOGGER = logging.getLogger(__name__)
KNOWN_PATHS = frozenset(  # others would grow the metric
    {"/v1/chat/completions", "/v1/feedback", "/v1/models", "/health", "/metrics"}
)


class Measured:
    """Middleware: counts requests by status, and those not answered whole yet."""

    def __init__(self, app: ASGIApp, metrics: GatewayMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's entry."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"] if scope["path"] in KNOWN_PATHS else "other"

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.requests.labels(path, message["status"]).inc()
            await send(message)

        with self._metrics.in_flight.track_inprogress():
            await self._app(scope, receive, counted)


class EventStream(StreamingResponse):
    """Server-sent events; `on_end` is called once they end, however they end."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncIterator[bytes], headers: Mapping[str, str], on_end: Callable[[], None]) -> None:
        super().__init__(events, headers={"cache-control": "no-cache", "x-accel-buffering": "no", **headers})
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's entry."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._on_end()


async def until_disconnected(request: Request) -> None:
    """Return when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def error_response(_: Request, error: Exception) -> Response:
    """Starlette's exception handler for everything that an endpoint raises."""
    match error:
        case NextstateError():
            refused = as_api_error(error)
        case HTTPException():
            refused = ApiError(f"{error.detail}.", status=HTTPStatus(error.status_code))
        case ClientDisconnect():
            refused = ApiError("The client has left.", status=HTTPStatus.REQUEST_TIMEOUT)
        case _:
            _LOGGER.error("a request failed", exc_info=error)
            refused = as_api_error(error)
    return JSONResponse(refused.body(), status_code=refused.status, headers=refused.headers)
