"""`FeedbackCall`: the body of POST /v1/feedback in our own words, read from JSON.

Owns its fields, their types and ranges. Fields that it does not know pass without effect. Consumes bytes, produces a
frozen `FeedbackCall`; whatever is wrong is an `ApiError` that names the field.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from schemas.events import Thumb
from serving.api_errors import ApiError
from serving.json_body import parse_body

Target = Literal["response_id", "action_id", "conversation_id", "session_id"]
TARGETS: tuple[Target, ...] = ("response_id", "action_id", "conversation_id", "session_id")
_THUMBS: dict[object, Thumb] = {"up": 1, "down": -1}

Name = Annotated[str, Field(min_length=1)]
Number = Annotated[float, Field(allow_inf_nan=False)]


def _as_thumb(value: object) -> object:
    """1, -1, "up" or "down"; `True` is not 1 here."""
    if value is None or (type(value) is int and value in {1, -1}):
        return value
    if isinstance(value, str) and value in _THUMBS:
        return _THUMBS[value]
    raise ValueError('send 1 or "up", -1 or "down"')


class _FeedbackBody(BaseModel):
    model_config = ConfigDict(strict=True)

    response_id: Name | None = None  # as an API returned it
    action_id: Name | None = None  # of the header x-action-id
    conversation_id: Name | None = None  # of the header x-conversation-id: its last answer
    session_id: Name | None = None  # as sent in the header X-Session-Id: its last answer
    choice: Annotated[int, Field(ge=0)] | None = None
    thumb: Annotated[Thumb | None, BeforeValidator(_as_thumb)] = None
    rating: Number | None = None
    worst_rating: Number | None = None
    best_rating: Number | None = None
    comment: str | None = None
    id: Name | None = None
    user: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackCall:
    """What somebody says of an answer. `choice`: which of several answers to one request; None: there is one."""

    target: Target
    name: str  # what `target` is
    choice: int | None
    thumb: Thumb | None
    rating: float | None
    worst_rating: float | None
    best_rating: float | None
    comment: str
    id: str | None  # the client's own name for this feedback
    subject: str


def read_feedback_call(raw: bytes) -> FeedbackCall:
    """The feedback in a body.

    Raises:  ApiError: not JSON, a field of a wrong type or out of range, nothing said, or of no answer or several.
    """
    body = parse_body(raw, _FeedbackBody)
    target, name = _target(body)
    _check_rating(body)
    comment = (body.comment or "").strip()
    if body.thumb is None and body.rating is None and not comment:
        raise ApiError("The feedback says nothing: send 'thumb', 'rating' or 'comment'.")
    return FeedbackCall(
        target=target,
        name=name,
        choice=body.choice,
        thumb=body.thumb,
        rating=body.rating,
        worst_rating=body.worst_rating,
        best_rating=body.best_rating,
        comment=comment,
        id=body.id,
        subject=body.user or "",
    )


def _target(body: _FeedbackBody) -> tuple[Target, str]:
    named: list[tuple[Target, str]] = [(each, name) for each in TARGETS if (name := getattr(body, each)) is not None]
    if len(named) != 1:
        message = f"Say of which answer: send one of {', '.join(map(repr, TARGETS))}; the body has {len(named)}."
        raise ApiError(message)
    return named[0]


def _check_rating(body: _FeedbackBody) -> None:
    """A rating lies on the scale that it names (schemas/validate.py); which here it has to."""
    rating, worst, best = body.rating, body.worst_rating, body.best_rating
    if (rating, worst, best) == (None, None, None):
        return
    if rating is None or worst is None or best is None:
        message = "A rating needs its scale: send 'rating', 'worst_rating' and 'best_rating' together."
        raise ApiError(message, param="rating")
    if worst == best or rating != sorted((worst, rating, best))[1]:
        message = f"The rating {rating:g} is not between 'worst_rating' {worst:g} and 'best_rating' {best:g}."
        raise ApiError(message, param="rating")
