"""Deltas leave out only what provably is in the base; resolving refuses any other base."""

from dataclasses import replace
from time import process_time

import pytest
from example_events import ACTION, QUESTION, REPLY, RESULT, WHOLE

from schemas.errors import TokenMismatchError
from schemas.events import ActionTaken, KeptTail, Message
from schemas.prompt import Resolved, delta, resolve

BASE = Resolved(action_id="a-1", messages=(QUESTION,), prompt_ids=(1, 2, 3), reply=REPLY, response_ids=(4, 5))
SAID = tuple(range(100, 150))  # tokens of what was said


def system(text: str) -> Message:
    return Message(role="system", content=text)


def user(text: str) -> Message:
    return Message(role="user", content=text)


def test_a_continued_conversation_stores_only_what_is_new() -> None:
    stored = delta((QUESTION, REPLY, RESULT), (1, 2, 3, 4, 5, 6), BASE)
    assert (stored.base_action_id, stored.kept_messages, stored.kept_prompt_tokens) == ("a-1", 2, 5)
    assert (stored.messages, stored.prompt_ids) == ((RESULT,), (6,))
    assert (stored.messages_tail, stored.prompt_tail) == (None, None)


def test_behind_a_system_prompt_that_changed_only_that_and_what_is_new_are_stored() -> None:
    base = replace(BASE, messages=(system("at 9"), QUESTION), prompt_ids=(1, 9, *SAID))
    stored = delta((system("at 10"), QUESTION, REPLY, RESULT), (1, 10, 10, *SAID, 4, 5, 6), base)
    assert (stored.kept_messages, stored.kept_prompt_tokens) == (0, 1)
    assert stored.messages == (system("at 10"), RESULT)
    assert stored.messages_tail == KeptTail(start=1, end=3, num_before=1)
    assert stored.prompt_ids == (10, 10, 6)
    assert stored.prompt_tail == KeptTail(start=2, end=54, num_before=2)


def test_context_that_a_client_sends_once_only_is_left_out_of_what_is_kept() -> None:
    context = user("It rains.")
    base = replace(BASE, messages=(system("at 9"), QUESTION, REPLY, user("And now?"), context))
    stored = delta((system("at 10"), QUESTION, REPLY, user("And now?"), REPLY, user("So?")), (), base)
    assert stored.messages_tail == KeptTail(start=1, end=4, num_before=1)
    assert stored.messages == (system("at 10"), REPLY, user("So?"))


def test_who_says_again_what_was_said_before_is_not_shown_as_silent() -> None:
    base = replace(BASE, messages=(system("at 9"), user("Go on.")))
    stored = delta((system("at 10"), user("Go on."), REPLY, user("Go on.")), (), base)
    assert stored.messages == (system("at 10"), user("Go on."))
    assert stored.messages_tail == KeptTail(start=1, end=3, num_before=1)


def test_a_conversation_that_lost_its_first_turns_keeps_the_others() -> None:
    said = tuple(Message(role=role, content=f"{turn}") for turn in range(9) for role in ("user", "assistant"))
    base = replace(BASE, messages=(system("S"), *said))
    stored = delta((system("S"), user("(Summary)"), *said[8:], REPLY, RESULT), (), base)
    assert (stored.kept_messages, stored.messages) == (1, (user("(Summary)"), RESULT))
    assert stored.messages_tail == KeptTail(start=9, end=20, num_before=1)


def test_a_retokenised_reply_keeps_tokens_up_to_the_first_difference_only() -> None:
    stored = delta((QUESTION, REPLY, RESULT), (1, 2, 3, 9, 6), BASE)
    assert (stored.kept_messages, stored.kept_prompt_tokens, stored.prompt_ids) == (2, 3, (9, 6))


def test_a_prompt_with_nothing_of_the_base_is_stored_whole_without_a_base() -> None:
    stored = delta((RESULT,), (7, 8), BASE)
    assert (stored.base_action_id, stored.messages, stored.prompt_ids) == (None, (RESULT,), (7, 8))


@pytest.mark.parametrize(
    ("known", "sent"),
    [
        ((1,) * 60_000, (2, *(1,) * 60_000)),  # all blocks are alike
        ((*(1,) * 15, 2) * 4_000, (3, *(*(1,) * 15, 4) * 4_000)),  # no block is found
        ((1, 2, 3) * 20_000, (9, *((1, 2, 3) * 6, 4) * 3_000)),  # many short parts are found
    ],
)
def test_a_prompt_of_60000_tokens_is_compared_in_moments_whatever_it_repeats(
    known: tuple[int, ...], sent: tuple[int, ...]
) -> None:
    base, began_s = replace(BASE, prompt_ids=known), process_time()
    stored = delta((), sent, base)
    assert process_time() - began_s < 1  # comparing each with each would take minutes
    action = replace(ACTION, **stored.as_fields())
    assert resolve(action, base if stored.base_action_id else None).prompt_ids == sent


def test_an_action_of_the_first_version_and_one_of_the_second_are_one_chain() -> None:
    """As v1 was written: the beginning of its base is kept, and nothing else."""
    first = resolve(replace(WHOLE, id="a-1"), None)
    v1 = replace(WHOLE, id="a-v1", base_action_id="a-1", kept_messages=1, kept_prompt_tokens=2)
    second = resolve(v1, first)
    assert second.messages == (*first.messages[:1], *v1.messages)
    assert second.prompt_ids == first.prompt_ids[:2] + v1.prompt_ids
    prompt = (77, *second.prompt_ids, *second.response_ids, *SAID)
    messages = (system("new"), *second.messages, second.reply, RESULT)
    v2 = continuing(second, messages, prompt)
    assert v2.messages == (system("new"), RESULT)
    third = resolve(v2, second)
    assert (third.messages, third.prompt_ids) == (messages, prompt)
    fourth = continuing(third, (*messages, third.reply), (78, *prompt[1:], 5))
    assert fourth.prompt_ids == (78, 5)
    assert resolve(fourth, third).prompt_ids == (78, *prompt[1:], 5)


def continuing(base: Resolved, messages: tuple[Message, ...], prompt_ids: tuple[int, ...]) -> ActionTaken:
    return replace(ACTION, id=f"{base.action_id}'", **delta(messages, prompt_ids, base).as_fields())


@pytest.mark.parametrize("base", [None, replace(BASE, action_id="a-0")])
def test_resolving_against_another_base_is_refused(base: Resolved | None) -> None:
    with pytest.raises(TokenMismatchError, match="a-1"):
        resolve(ACTION, base)


@pytest.mark.parametrize(
    "kept",
    [
        {"kept_messages": 3},
        {"kept_prompt_tokens": 6},
        {"messages_tail": KeptTail(start=1, end=3, num_before=0)},
        {"prompt_tail": KeptTail(start=0, end=6, num_before=0)},
    ],
)
def test_resolving_against_a_base_that_is_too_short_is_refused(kept: dict[str, object]) -> None:
    with pytest.raises(TokenMismatchError, match="keeps more"):
        resolve(replace(WHOLE, id="a-2", base_action_id="a-1", **kept), BASE)  # type: ignore[arg-type]
