"""What OpenAI's two protocols share: the body of an error, and a token with its rivals."""

from http import HTTPStatus

from serving.api_errors import ApiError
from serving.protocols.wire import JsonObject, Refusal
from serving.turn import TokenLogprob

REQUEST_ID_HEADER = "x-request-id"
_CLIENT_ERROR_TYPES = {
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.FORBIDDEN: "permission_error",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
}


def openai_refusal(error: ApiError) -> Refusal:
    """An error as OpenAI's APIs give it."""
    return Refusal(error.status, error_body(error))


def error_body(error: ApiError) -> JsonObject:
    """The JSON of an error: message, type, the parameter at fault, a stable code."""
    kind = "server_error" if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    kind = _CLIENT_ERROR_TYPES.get(error.status, kind)
    return {"error": {"message": str(error), "type": kind, "param": error.param, "code": error.code}}


def token_json(token: TokenLogprob) -> JsonObject:
    """A token with its log-probability and its rivals."""
    return {**_token(token), "top_logprobs": list(map(_token, token.top))}


def _token(one: TokenLogprob) -> JsonObject:
    return {"token": one.token.text, "logprob": one.logprob, "bytes": list(one.token.raw)}
