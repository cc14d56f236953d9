"""`validate`: the laws that one event must hold beyond its field types, the same for whoever writes and whoever reads.

Consumes an event, produces nothing, and raises on the first broken law. The codec (streams/codec.py) calls it on both
sides, so a record that was written can be read, and a mismatch of lengths is a rejection, never padding (design
promise 5).

Legend: T response tokens, H hints.
"""

import re
from collections.abc import Iterable, Sequence

from schemas.errors import MalformedEventError, TokenMismatchError
from schemas.events import ActionTaken, BatchSealed, Event, FeedbackGiven, KeptTail, SampleBuilt, VersionSpan
from schemas.origin import UNSCORED

MAX_TOKEN_ID = 2**31 - 1  # engines, Arrow columns and open actions keep ids in 32 bits
MAX_ID_CHARS = 256  # ids travel in headers of Kafka and HTTP, which have room for some thousand bytes
ID_FIELDS = (  # what producers name; the ids of derived events are digests of these
    "id",
    "conversation_id",
    "episode_id",
    "group_id",
    "request_id",
    "action_id",
    "base_action_id",
    "parent_action_id",
)
_ID = re.compile(r"[^\x00-\x1f\x7f-\x9f]*")  # nobody needs control characters, and no header can hold them


def validate(event: Event) -> None:
    """Check the laws of every event's ids, and those of its own type.

    Raises:  TokenMismatchError: ids, log-probs, spans or hints that do not fit each other.
             MalformedEventError: counts, offsets or a rating and its scale that contradict each other; an id that is
             too long or holds control characters; a reply that is nobody's answer.
    """
    _validate_ids(event)
    match event:
        case ActionTaken():
            _validate_reply(event)
            _validate_response(event)
            _validate_kept(event)
        case FeedbackGiven():
            _validate_rating(event)
        case SampleBuilt():
            _validate_response(event)
            _validate_teacher(event)
        case BatchSealed():
            _validate_range(event)


def _validate_ids(event: Event) -> None:
    for field in ID_FIELDS:
        given = getattr(event, field, None)
        if given and (len(given) > MAX_ID_CHARS or not _ID.fullmatch(given)):
            message = (
                f"{type(event).__name__} {event.id[:40]!r} has the {field} {given[:40]!r} (cut); an id has at most "
                f"{MAX_ID_CHARS} characters, and no control characters."
            )
            raise MalformedEventError(message)


def _validate_reply(event: ActionTaken) -> None:
    if event.reply.role != "assistant":
        message = f"{_name(event)} has a reply of the role {event.reply.role!r}; a reply is the assistant's."
        raise MalformedEventError(message)


def _validate_response(event: ActionTaken | SampleBuilt) -> None:
    num_ids, num_logprobs = len(event.response_ids), len(event.response_logprobs)
    if event.logprob_origin == UNSCORED:
        _refuse_scores(event)
    elif num_ids != num_logprobs:
        message = f"{_name(event)} has {num_ids} response_ids but {num_logprobs} response_logprobs; send one per token."
        raise TokenMismatchError(message)
    else:
        _validate_spans(event, event.token_versions, num_ids)
    _refuse_impossible(event, "prompt_ids", event.prompt_ids)
    _refuse_impossible(event, "response_ids", event.response_ids)


def _refuse_scores(event: ActionTaken | SampleBuilt) -> None:
    if event.response_logprobs or event.token_versions:
        message = f"{_name(event)} is {UNSCORED} but has response_logprobs or token_versions; leave both empty."
        raise TokenMismatchError(message)


def spans_cover(spans: Iterable[tuple[int, int, int]], num_tokens: int) -> bool:
    """Whether (version, start, end) spans are non-empty, in order, without gap or overlap, and cover [0, T)."""
    covered = 0
    for version, start, end in spans:
        if version < 0 or start != covered or end <= start:
            return False
        covered = end
    return covered == num_tokens


def _validate_spans(event: Event, spans: Sequence[VersionSpan], num_tokens: int) -> None:
    if not spans_cover(((span.version, span.start, span.end) for span in spans), num_tokens):
        message = f"{_name(event)} has token_versions that do not cover its {num_tokens} response_ids, each once."
        raise TokenMismatchError(message)


def _refuse_impossible(event: Event, field: str, ids: Sequence[int]) -> None:
    if ids and (min(ids) < 0 or max(ids) > MAX_TOKEN_ID):
        wrong = min(ids) if min(ids) < 0 else max(ids)
        message = f"{_name(event)} has the impossible token id {wrong} in {field}; ids are 0 to {MAX_TOKEN_ID}."
        raise TokenMismatchError(message)


def _validate_kept(event: ActionTaken) -> None:
    kept, tails = (event.kept_messages, event.kept_prompt_tokens), (event.messages_tail, event.prompt_tail)
    if min(kept) < 0 or (event.base_action_id is None and (max(kept) > 0 or any(tails))):
        message = (
            f"{_name(event)} keeps {kept[0]} messages, {kept[1]} tokens and {2 - tails.count(None)} tails of "
            f"{event.base_action_id}; name a base."
        )
        raise MalformedEventError(message)
    for tail, num_new in zip(tails, (len(event.messages), len(event.prompt_ids)), strict=True):
        if tail is not None and not _is_tail(tail, num_new):
            message = (
                f"{_name(event)} keeps [{tail.start}, {tail.end}) of {event.base_action_id} after {tail.num_before} of "
                f"{num_new} new ones; give a range that is not empty, and a place among the new ones."
            )
            raise MalformedEventError(message)


def _is_tail(tail: KeptTail, num_new: int) -> bool:
    return 0 <= tail.start < tail.end and 0 <= tail.num_before <= num_new


def _validate_rating(event: FeedbackGiven) -> None:
    rating, worst, best = event.rating, event.worst_rating, event.best_rating
    if worst is None and best is None:
        return
    if rating is None or worst is None or best is None or worst == best or rating != sorted((worst, rating, best))[1]:
        message = (
            f"{_name(event)} rates {rating} from worst {worst} to best {best}; give two ends, and a number between."
        )
        raise MalformedEventError(message)


def _validate_teacher(event: SampleBuilt) -> None:
    if len(event.hints) != len(event.teacher_prompt_ids):
        message = f"{_name(event)} has {len(event.hints)} hints but {len(event.teacher_prompt_ids)} teacher prompts."
        raise TokenMismatchError(message)
    for ids in event.teacher_prompt_ids:
        _refuse_impossible(event, "teacher_prompt_ids", ids)


def _validate_range(event: BatchSealed) -> None:
    if len(event.sample_ids) != len(event.action_ids) or not 0 <= event.first_offset <= event.last_offset:
        message = f"{_name(event)} must name one action per sample and a range of offsets that is not empty."
        raise MalformedEventError(message)


def _name(event: Event) -> str:
    return f"{type(event).__name__} {event.id}"
