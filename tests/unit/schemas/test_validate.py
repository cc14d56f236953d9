"""What `validate` lets pass, and what it refuses."""

from dataclasses import replace
from typing import Any

import pytest
from example_events import ACTION, BATCH, EXAMPLES, SAMPLE

from schemas.errors import MalformedEventError, RejectedError, TokenMismatchError
from schemas.events import Event, KeptTail, VersionSpan
from schemas.origin import UNSCORED
from schemas.validate import validate


def spans(*triples: tuple[int, int, int]) -> tuple[VersionSpan, ...]:
    return tuple(VersionSpan(version=version, start=start, end=end) for version, start, end in triples)


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: event.type)
def test_every_example_is_valid(event: Event) -> None:
    validate(event)


def test_an_empty_response_needs_no_span() -> None:
    validate(replace(ACTION, response_ids=(), response_logprobs=(), token_versions=()))


@pytest.mark.parametrize("event", [ACTION, SAMPLE], ids=["action", "sample"])
def test_a_missing_logprob_is_a_rejection_and_never_padded(event: Any) -> None:
    with pytest.raises(TokenMismatchError, match="3 response_ids but 2 response_logprobs"):
        validate(replace(event, response_logprobs=(-0.5, -1.0)))


@pytest.mark.parametrize(
    "broken",
    [
        spans(),
        spans((3, 0, 2)),  # ends early
        spans((3, 0, 4)),  # ends late
        spans((3, 1, 3)),  # starts late
        spans((3, 0, 1), (4, 2, 3)),  # a gap
        spans((3, 0, 2), (4, 1, 3)),  # an overlap
        spans((4, 2, 3), (3, 0, 2)),  # out of order
        spans((3, 0, 3), (4, 3, 3)),  # an empty one
        spans((-1, 0, 3)),  # no such version
    ],
)
@pytest.mark.parametrize("event", [ACTION, SAMPLE], ids=["action", "sample"])
def test_spans_must_cover_every_response_token_once_and_in_order(event: Any, broken: tuple[VersionSpan, ...]) -> None:
    with pytest.raises(TokenMismatchError, match="token_versions"):
        validate(replace(event, token_versions=broken))


@pytest.mark.parametrize(
    "changed",
    [
        replace(ACTION, prompt_ids=(5, -6)),
        replace(ACTION, response_ids=(1, 2, -3)),
        replace(SAMPLE, prompt_ids=(-1,)),
        replace(SAMPLE, teacher_prompt_ids=((4, -4),)),
        replace(ACTION, prompt_ids=(5, 2**31)),
        replace(ACTION, response_ids=(1, 2, 2**31)),
        replace(SAMPLE, prompt_ids=(2**40,)),
        replace(SAMPLE, teacher_prompt_ids=((2**31, 4),)),
    ],
)
def test_a_token_id_that_no_engine_can_have_is_refused_because_it_would_kill_one(changed: Event) -> None:
    with pytest.raises(TokenMismatchError, match="impossible token id"):
        validate(changed)


def test_the_largest_token_id_of_32_bits_is_one() -> None:
    validate(replace(ACTION, prompt_ids=(2**31 - 1,)))


@pytest.mark.parametrize("name", ["x" * 257, "a\r\nset-cookie: a=1", "\x00", "\x7f", "\x85", "a\n"])
@pytest.mark.parametrize("field", ["id", "conversation_id", "episode_id", "request_id", "parent_action_id"])
def test_an_id_that_no_header_could_hold_is_refused(field: str, name: str) -> None:
    with pytest.raises(MalformedEventError, match="256 characters") as refused:
        validate(replace(ACTION, **{field: name}))
    assert len(str(refused.value)) < 1000


@pytest.mark.parametrize("name", ["x" * 256, "разговор", "a b/c%d", "\N{ZERO WIDTH JOINER}"])
def test_an_id_may_be_in_any_language(name: str) -> None:
    validate(replace(ACTION, conversation_id=name))


def test_each_hint_has_its_teacher_prompt() -> None:
    with pytest.raises(TokenMismatchError, match="1 hints but 0 teacher prompts"):
        validate(replace(SAMPLE, teacher_prompt_ids=()))


@pytest.mark.parametrize(
    "changed",
    [
        replace(ACTION, base_action_id=None),  # keeps something of nothing
        replace(ACTION, kept_messages=-1),
        replace(ACTION, base_action_id=None, kept_messages=0, kept_prompt_tokens=0),  # but for its tails
        *(
            replace(ACTION, **{name: KeptTail(start=start, end=end, num_before=num_before)})
            for name, num_new in (("messages_tail", 1), ("prompt_tail", 3))
            for start, end, num_before in ((-1, 1, 0), (1, 1, 0), (2, 1, 0), (0, 1, -1), (0, 1, num_new + 1))
        ),
        replace(BATCH, action_ids=()),
        replace(BATCH, first_offset=6),  # behind its end
        replace(BATCH, first_offset=-1),
    ],
)
def test_counts_that_contradict_each_other_are_refused(changed: Event) -> None:
    with pytest.raises(MalformedEventError):
        validate(changed)


def test_the_sentence_names_the_event() -> None:
    with pytest.raises(RejectedError, match="ActionTaken a-2"):
        validate(replace(ACTION, response_logprobs=()))


@pytest.mark.parametrize("event", [ACTION, SAMPLE], ids=["action", "sample"])
def test_what_nobody_scored_has_no_logprobs_and_no_versions_not_even_some(event: Any) -> None:
    unscored = replace(event, logprob_origin=UNSCORED, response_logprobs=(), token_versions=())
    validate(unscored)
    for kept in ({"response_logprobs": event.response_logprobs}, {"token_versions": event.token_versions}):
        with pytest.raises(TokenMismatchError, match="is unscored but has"):
            validate(replace(unscored, **kept))
