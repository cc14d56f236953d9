"""The body of a request as JSON: read, and checked by a pydantic model; whatever is wrong is an `ApiError`.

Every endpoint that takes JSON reads it here, so that all say alike what cannot be used and where it stands.
"""

from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from serving.api_errors import ApiError

Form = TypeVar("Form", bound=BaseModel)


def load_json(raw: bytes) -> Any:
    """What a body says.

    Raises:  ApiError: it is not JSON.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        message = f"The request body is not JSON: {error}."
        raise ApiError(message, code="malformed_json") from error


def parse_body(raw: bytes, form: type[Form]) -> Form:
    """What a body says, in this form.

    Raises:  ApiError: not JSON, or a field of a wrong type or out of range, which it names.
    """
    try:
        return form.model_validate(load_json(raw))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(step) for step in first["loc"][:2]) or "body"
        message = f"{field!r} cannot be used: {first['msg'].removeprefix('Value error, ')}."
        raise ApiError(message, param=field) from error
