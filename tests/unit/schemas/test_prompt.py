"""Deltas leave out only what provably is in the base; resolving refuses any other base."""

from dataclasses import replace

import pytest
from example_events import ACTION, QUESTION, REPLY, RESULT

from schemas.errors import TokenMismatchError
from schemas.prompt import Resolved, delta, resolve

BASE = Resolved(action_id="a-1", messages=(QUESTION,), prompt_ids=(1, 2, 3), reply=REPLY, response_ids=(4, 5))


def test_a_continued_conversation_stores_only_what_is_new() -> None:
    stored = delta((QUESTION, REPLY, RESULT), (1, 2, 3, 4, 5, 6), BASE)
    assert (stored.base_action_id, stored.kept_messages, stored.kept_prompt_tokens) == ("a-1", 2, 5)
    assert (stored.messages, stored.prompt_ids) == ((RESULT,), (6,))


def test_a_retokenised_reply_keeps_tokens_up_to_the_first_difference_only() -> None:
    stored = delta((QUESTION, REPLY, RESULT), (1, 2, 3, 9, 6), BASE)
    assert (stored.kept_messages, stored.kept_prompt_tokens, stored.prompt_ids) == (2, 3, (9, 6))


def test_a_prompt_with_nothing_of_the_base_is_stored_whole_without_a_base() -> None:
    stored = delta((RESULT,), (7, 8), BASE)
    assert (stored.base_action_id, stored.messages, stored.prompt_ids) == (None, (RESULT,), (7, 8))


@pytest.mark.parametrize("base", [None, replace(BASE, action_id="a-0")])
def test_resolving_against_another_base_is_refused(base: Resolved | None) -> None:
    with pytest.raises(TokenMismatchError, match="a-1"):
        resolve(ACTION, base)


def test_resolving_against_a_base_that_is_too_short_is_refused() -> None:
    with pytest.raises(TokenMismatchError, match="keeps more"):
        resolve(replace(ACTION, kept_messages=1, kept_prompt_tokens=6), BASE)
