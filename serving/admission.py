"""Admission: who may ask, how much, and for which model; checked before any work is done.

Consumes a request's headers and body stream; produces the tenant and the raw body, or an `ApiError`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from starlette.requests import Request

from schemas.events import TurnType
from schemas.identity import DEFAULT_TENANT
from serving.api_errors import ApiError
from serving.config import GatewayConfig
from serving.keys import key_digest, opens
from serving.routing import Route, Routes

_MAX_LENGTH_DIGITS = 18  # of a content-length; Python turns a number of thousands of digits into none


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionHeaders:
    """What a client may say about its conversation, all optional."""

    session_id: str | None = None  # X-Session-Id
    turn_type: TurnType = "main"  # X-Turn-Type
    done: bool = False  # X-Session-Done: nothing will follow this turn


def tenant_of(headers: Mapping[str, str], api_keys: Mapping[str, str]) -> str:
    """The tenant whose key the request carries, as OpenAI's clients send it or as Anthropic's do.

    Without configured keys all are one tenant. The look-up takes no longer for more keys, and tells nobody by its time
    how near a guess came: what is compared is a digest, which nobody can steer towards another.

    Args:    api_keys: tenants by the digests of their keys.
    Raises:  ApiError: no key, or one that is not known (401).
    """
    if not api_keys:
        return DEFAULT_TENANT
    tenant = api_keys.get(key_digest(_given(headers)))
    if tenant is None:
        message = "The API key is missing or not known; send it as 'Authorization: Bearer KEY' or 'x-api-key: KEY'."
        raise ApiError(message, status=HTTPStatus.UNAUTHORIZED, code="invalid_api_key")
    return tenant


def is_admin(headers: Mapping[str, str], config: GatewayConfig) -> bool:
    """Whether the request may see what is no tenant's. Without any configured key everybody may: all are one person."""
    if config.admin_key is None:
        return not config.api_keys
    return opens(_given(headers), config.admin_key)


def admit_admin(headers: Mapping[str, str], config: GatewayConfig) -> None:
    """Let pass who may see what is no tenant's.

    Raises:  ApiError: no admin key, or another one (401); the gateway has tenants, and nobody is its admin (403).
    """
    if is_admin(headers, config):
        return
    if config.admin_key is None:
        message = "Only an admin may see this, and this gateway has none; who runs it may set NEXTSTATE_ADMIN_KEY."
        raise ApiError(message, status=HTTPStatus.FORBIDDEN, code="admin_only")
    message = "Only the admin key opens this; send it as 'Authorization: Bearer KEY' or 'x-api-key: KEY'."
    raise ApiError(message, status=HTTPStatus.UNAUTHORIZED, code="invalid_admin_key")


def _given(headers: Mapping[str, str]) -> str:
    """The key that a request carries; "": none."""
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    return (bearer if scheme.lower() == "bearer" else headers.get("x-api-key", "")).strip()


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The whole body, given up as soon as it is known to be too long.

    Raises:  ApiError: longer than `max_bytes` (413).
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and (len(declared) > _MAX_LENGTH_DIGITS or int(declared) > max_bytes):
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
