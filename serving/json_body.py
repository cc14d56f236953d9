"""The body of a request as JSON: read, and checked by a pydantic model; whatever is wrong is an `ApiError`.

Every endpoint that takes JSON reads it here, so that all say alike what cannot be used and where it stands.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from serving.api_errors import ApiError

Form = TypeVar("Form", bound=BaseModel)
MAX_STEPS = 2  # of a place that is told: messages.3, without what stands where inside the message
_FORMS = {  # pydantic's names of errors, and what would have been right
    "string_type": "a string",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
}


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
    given = load_json(raw)
    if not isinstance(given, dict):
        raise ApiError("The request body must be a JSON object.")
    try:
        return form.model_validate(given)
    except ValidationError as error:
        raise _refusal(error.errors(include_url=False, include_input=False), given) from error


def _refusal(errors: Sequence[ErrorDetails], given: dict[str, Any]) -> ApiError:
    """What is wrong with the first field that is wrong.

    A field that may have several forms has an error for each: the one that went furthest into what was given is told.
    """
    placed = [(_place(error, given), error) for error in errors if error["loc"][:1] == errors[0]["loc"][:1]]
    place = max((place for place, _ in placed), key=len)
    own = [error for where, error in placed if where == place]
    field = ".".join(place[:MAX_STEPS])
    other = next((error for error in own if error["type"] not in _FORMS), None)
    if other is None:
        sentence = f"{field!r} must be {' or '.join(_FORMS[error['type']] for error in own)}."
    elif other["type"] == "missing":
        sentence = f"{field!r} is missing."
    else:
        reason = other["msg"].removeprefix("Value error, ").replace(" after validation", "")
        sentence = f"{field!r} cannot be used: {reason}."
    return ApiError(sentence, param=field)


def _place(error: ErrorDetails, given: Any) -> tuple[str, ...]:
    """Where a field stands in what was given: steps that name one of its forms in our model are no place there."""
    place: list[str] = []
    for step in error["loc"]:
        is_there = step in given if isinstance(given, dict) else isinstance(given, list) and isinstance(step, int)
        if is_there:
            given = given[step]
        if is_there or error["type"] == "missing":
            place.append(str(step))
    return tuple(place)
