"""`create_app`: the door in front of the policy, in several protocols; everything that passes it is recorded.

Dataflow:  POST to a protocol's endpoint (serving/protocols) ──► serving/chat.py ──► ActionTaken, NextStateObserved
           POST /v1/feedback ──► serving/feedback.py ──► FeedbackGiven
           POST /v1/events ──► serving/intake.py ──► whatever producers elsewhere say
           POST /v1/traces, /v1/logs ──► serving/otlp/ ──► ActionTaken, NextStateObserved, of models served elsewhere
           GET  /v1/responses/{id}: an answer told again, from the open actions
           GET  /v1/models, /health: what is served, and whether it can be
           GET  /metrics, and the reasons in /health: how it goes, for all tenants together, so for admins
Consumes HTTP and the routes. Owns nothing but the wiring.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from schemas.clock import Clock, now_ms
from schemas.errors import NextstateError
from serving.admission import admit_admin, is_admin, route_for, tenant_of
from serving.api_errors import ApiError
from serving.chat import Chat, Served
from serving.config import GatewayConfig
from serving.drawing import Engine
from serving.feedback import Feedback
from serving.http_edge import Measured, error_response
from serving.intake import Intake
from serving.metrics import GatewayMetrics
from serving.otlp.receiver import OtlpReceiver
from serving.protocols import WIRES
from serving.protocols.messages.read import read_countable
from serving.protocols.responses.kept import kept_response
from serving.recording import Recorder, Recording
from serving.routing import Routes
from serving.shutdown import SETTLE_S
from serving.turn import TurnPorts
from streams.conversation import ConversationIndex


def create_app(
    config: GatewayConfig,
    *,
    engine: Engine,
    recorder: Recorder,
    index: ConversationIndex,
    routes: Routes,
    served: Served,
    clock: Clock = now_ms,
) -> Starlette:
    """The ASGI application of one gateway."""
    metrics = GatewayMetrics()
    ports = TurnPorts(
        engine=engine,
        renderer=served.renderer,
        recording=Recording(recorder, config.when_unrecordable, metrics),
        index=index,
        metrics=metrics,
        now_ms=clock,
        engine_patience_s=config.engine_retry_s,
    )
    chat = Chat(config, ports, routes, served)
    intake = Intake(config, ports.recording, index, routes)
    otlp = OtlpReceiver(config, ports.recording, index, routes, metrics)
    feedback = Feedback(config, ports)
    endpoints = _endpoints(chat, feedback, intake, otlp, _Overview(config, ports, routes))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await chat.settle(SETTLE_S)

    return Starlette(
        routes=endpoints,
        middleware=[Middleware(Measured, metrics=metrics, routes=endpoints)],
        exception_handlers=dict.fromkeys((NextstateError, HTTPException, ClientDisconnect, Exception), error_response),
        lifespan=lifespan,
    )


def _endpoints(
    chat: Chat, feedback: Feedback, intake: Intake, otlp: OtlpReceiver, overview: "_Overview"
) -> list[Route]:
    return [
        *(Route(wire.path, chat.endpoint(wire), methods=["POST"]) for wire in WIRES),
        Route("/v1/messages/count_tokens", chat.token_counter(read_countable), methods=["POST"]),
        Route("/v1/feedback", feedback.give, methods=["POST"]),
        Route("/v1/events", intake.events, methods=["POST"]),
        Route("/v1/traces", otlp.traces, methods=["POST"]),
        Route("/v1/logs", otlp.logs, methods=["POST"]),
        Route("/v1/responses/{response}", overview.response),
        Route("/v1/models", overview.models),
        Route("/v1/models/{model}", overview.model),
        Route("/health", overview.health),
        Route("/metrics", overview.metrics),
    ]


class _Overview:
    """The endpoints that only look."""

    def __init__(self, config: GatewayConfig, ports: TurnPorts, routes: Routes) -> None:
        self._config = config
        self._ports = ports
        self._routes = routes

    async def models(self, request: Request) -> Response:
        """GET /v1/models, in one form that OpenAI's clients read and Anthropic's, too."""
        tenant_of(request.headers, self._config.api_keys)
        policies = list(self._routes.versions)
        page = {"has_more": False, "first_id": policies[0], "last_id": policies[-1]}
        return JSONResponse({"object": "list", "data": [*map(_model, policies)], **page})

    async def model(self, request: Request) -> Response:
        """GET /v1/models/{model}."""
        tenant_of(request.headers, self._config.api_keys)
        return JSONResponse(_model(route_for(request.path_params["model"], self._routes).policy))

    async def response(self, request: Request) -> Response:
        """GET /v1/responses/{response}, whole."""
        tenant = tenant_of(request.headers, self._config.api_keys)
        if request.query_params.get("stream") == "true":
            raise ApiError("A response that is told again cannot be streamed; leave 'stream' out.", param="stream")
        return JSONResponse(kept_response(request.path_params["response"], partial(self._ports.index.served, tenant)))

    async def health(self, request: Request) -> Response:
        """GET /health: ready while the engine answers and events can be kept, be it in the spool, or need not be.

        What stands in the way, and how it goes, is for admins.
        """
        engine = await self._ports.engine.health()
        ready = engine and self._ports.recording.serves
        body: dict[str, object] = {"status": "ready" if ready else "unavailable"}
        if is_admin(request.headers, self._config):
            body |= {
                "engine": engine,
                "recording": self._ports.recording.place,
                "trouble": self._ports.recording.trouble,
                "spooled_bytes": self._ports.recording.spooled_bytes,
                "versions": self._routes.versions,
            }
        return JSONResponse(body, status_code=HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE)

    async def metrics(self, request: Request) -> Response:
        """GET /metrics, for admins."""
        admit_admin(request.headers, self._config)
        metrics = self._ports.metrics
        metrics.spooled_bytes.set(self._ports.recording.spooled_bytes)
        metrics.open_actions.set(len(self._ports.index))
        for policy, version in self._routes.versions.items():
            metrics.version.labels(policy).set(version)
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")


def _model(policy: str) -> dict[str, object]:
    openai = {"id": policy, "object": "model", "created": 0, "owned_by": "nextstate"}
    return openai | {"type": "model", "display_name": policy, "created_at": "1970-01-01T00:00:00Z"}
