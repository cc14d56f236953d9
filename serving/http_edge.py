"""The edge of HTTP: requests counted, errors in the form of their path's protocol, clients that leave noticed.

What the gateway needs of ASGI beyond Starlette; knows nothing of turns or events.
"""

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schemas.errors import NextstateError
from schemas.identity import new_id
from serving.api_errors import ApiError, as_api_error
from serving.metrics import GatewayMetrics
from serving.protocols import wire_of

_LOGGER = logging.getLogger(__name__)


class Measured:
    """Middleware: counts requests by path and status, and those not answered whole yet.

    Args:    routes: those that are served, each counts by its pattern; what fits none counts as one, so that no client
             can grow the metric.
    """

    def __init__(self, app: ASGIApp, metrics: GatewayMetrics, routes: Sequence[Route]) -> None:
        self._app = app
        self._metrics = metrics
        self._plain = frozenset(route.path for route in routes if not route.param_convertors)
        self._patterns = [route for route in routes if route.param_convertors]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's entry."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = self._counted_as(scope["path"])

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.requests.labels(path, message["status"]).inc()
            await send(message)

        with self._metrics.in_flight.track_inprogress():
            await self._app(scope, receive, counted)

    def _counted_as(self, path: str) -> str:
        if path in self._plain:
            return path
        return next((route.path for route in self._patterns if route.path_regex.fullmatch(path)), "other")


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


def api_error_of(error: Exception) -> ApiError:
    """How a request ends on which this was raised. What nobody foresaw is logged."""
    match error:
        case NextstateError():
            return as_api_error(error)
        case HTTPException():
            # Its headers say which methods a path has, for one.
            return ApiError(f"{error.detail}.", status=HTTPStatus(error.status_code), headers=error.headers)
        case ClientDisconnect():
            return ApiError("The client has left.", status=HTTPStatus.REQUEST_TIMEOUT)
        case _:
            _LOGGER.error("a request failed", exc_info=error)
            return as_api_error(error)


async def error_response(request: Request, error: Exception) -> Response:
    """Starlette's exception handler for everything that an endpoint raises, and for paths that have none."""
    # Not `request.url`, which cannot be made of a query that is no UTF-8.
    wire, api_error = wire_of(request.scope["path"]), api_error_of(error)
    request_id = getattr(request.state, "request_id", None) or new_id()  # refused before it had one
    status, body = wire.refusal(api_error, request_id)
    return JSONResponse(body, status_code=status, headers={wire.request_id_header: request_id, **api_error.headers})
