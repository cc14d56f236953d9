"""`ApiError`: a request that is refused, whatever protocol it came in; and how every error of ours becomes one.

Owns the mapping from the error tree to HTTP statuses. A client reads one sentence; SDKs decide by the status whether to
retry, so what passes by itself is 503 with `Retry-After`. How a body says it is the protocol's (serving/protocols).
"""

from collections.abc import Mapping
from http import HTTPStatus

from schemas.errors import (
    EngineUnavailableError,
    MalformedEventError,
    NextstateError,
    RejectedError,
    SpoolFullError,
    TokenMismatchError,
)
from serving.errors import EngineRefusedError

RETRY_AFTER_S = 5


class ApiError(RejectedError):
    """A request that is refused, with what a client needs to know: status, the parameter at fault, a stable code.

    Args:    headers: of the response, beside those that go with the status.
    """

    def __init__(
        self,
        message: str,
        *,
        status: HTTPStatus = HTTPStatus.BAD_REQUEST,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code
        self._own_headers = dict(headers or {})

    @property
    def headers(self) -> dict[str, str]:
        """Response headers that go with the status."""
        match self.status:
            case HTTPStatus.SERVICE_UNAVAILABLE:
                return {"retry-after": str(RETRY_AFTER_S), **self._own_headers}
            case HTTPStatus.UNAUTHORIZED:
                return {"www-authenticate": "Bearer", **self._own_headers}
            case _:
                return self._own_headers


def as_api_error(error: BaseException) -> ApiError:
    """The form in which a client sees an error; anything unforeseen is a 500 without details."""
    match error:
        case ApiError():
            return error
        case EngineRefusedError():
            sentence = " ".join(str(error).split())  # the engine's own words may hold line breaks
            return ApiError(sentence, status=_client_status(error.status), code="engine_refused")
        case EngineUnavailableError():
            return ApiError(str(error), status=HTTPStatus.SERVICE_UNAVAILABLE, code="engine_unavailable")
        case SpoolFullError():
            return ApiError(str(error), status=HTTPStatus.SERVICE_UNAVAILABLE, code="not_recordable")
        case TokenMismatchError() | MalformedEventError():  # what the engine gave cannot be recorded as it is
            return ApiError(str(error), status=HTTPStatus.BAD_GATEWAY, code="engine_mismatch")
        case RejectedError():
            return ApiError(str(error))
        case NextstateError():
            return ApiError(str(error), status=HTTPStatus.SERVICE_UNAVAILABLE)
        case _:
            message = "The gateway failed on this request; its log says why."
            return ApiError(message, status=HTTPStatus.INTERNAL_SERVER_ERROR, code="internal_error")


def _client_status(engine_status: int) -> HTTPStatus:
    """The engine's status, unless it says that the gateway's own key is wrong or is no status at all."""
    if engine_status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN} or engine_status not in set(HTTPStatus):
        return HTTPStatus.BAD_GATEWAY
    return HTTPStatus(engine_status)
