"""Admission: who may ask, how much, and for which model; checked before any work is done.

Consumes a request's headers and body stream; produces the tenant and the raw body, or an `ApiError`.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from starlette.requests import Request

from schemas.events import TurnType
from schemas.identity import DEFAULT_TENANT
from serving.api_errors import ApiError
from serving.routing import Route, Routes


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionHeaders:
    """What a client may say about its conversation, all optional."""

    session_id: str | None = None  # X-Session-Id
    turn_type: TurnType = "main"  # X-Turn-Type
    done: bool = False  # X-Session-Done: nothing will follow this turn


def tenant_of(headers: Mapping[str, str], api_keys: Mapping[str, str]) -> str:
    """The tenant whose key the request carries, as OpenAI's clients send it or as Anthropic's do.

    Without configured keys all are one tenant.

    Raises:  ApiError: no key, or one that is not known (401).
    """
    if not api_keys:
        return DEFAULT_TENANT
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    given = bearer if scheme.lower() == "bearer" else headers.get("x-api-key", "")
    for key, tenant in api_keys.items():
        if hmac.compare_digest(key.encode(), given.strip().encode()):
            return tenant
    message = "The API key is missing or not known; send it as 'Authorization: Bearer KEY' or 'x-api-key: KEY'."
    raise ApiError(message, status=HTTPStatus.UNAUTHORIZED, code="invalid_api_key")


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The whole body, given up as soon as it is known to be too long.

    Raises:  ApiError: longer than `max_bytes` (413).
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise _too_long(max_bytes)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > max_bytes:
            raise _too_long(max_bytes)
    return bytes(body)


def session_headers(headers: Mapping[str, str]) -> SessionHeaders:
    """The session headers of a request.

    Raises:  ApiError: an X-Turn-Type or X-Session-Done that means nothing.
    """
    turn_type = headers.get("x-turn-type", "main").lower()
    if turn_type not in {"main", "side"}:
        raise ApiError("The header X-Turn-Type must be 'main' or 'side'.", param="X-Turn-Type")
    done = headers.get("x-session-done", "false").lower()
    if done not in {"true", "false", "1", "0"}:
        raise ApiError("The header X-Session-Done must be 'true' or 'false'.", param="X-Session-Done")
    return SessionHeaders(
        session_id=headers.get("x-session-id") or None,
        turn_type="side" if turn_type == "side" else "main",
        done=done in {"true", "1"},
    )


def route_for(model: str, routes: Routes) -> Route:
    """Where a request for this model goes.

    Raises:  ApiError: no such model (404).
    """
    route = routes.current(model)
    if route is None:
        message = f"The model {model!r} does not exist; this gateway serves {', '.join(routes.versions)}."
        raise ApiError(message, status=HTTPStatus.NOT_FOUND, param="model", code="model_not_found")
    return route


def _too_long(max_bytes: int) -> ApiError:
    message = f"The request body is longer than {max_bytes} bytes."
    return ApiError(message, status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE, code="request_too_large")
