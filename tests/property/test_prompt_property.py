"""`resolve` undoes `delta`, whatever the client did to its history; what is stored is what is new."""

from dataclasses import replace
from typing import Any

from example_events import ACTION
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import ActionTaken, Message
from schemas.prompt import Delta, Resolved, delta, resolve
from schemas.validate import validate

# Few distinct values, so that parts are often shared and often broken.
LETTERS = st.sampled_from("ab")
MESSAGES = st.lists(
    st.builds(Message, role=st.sampled_from(["system", "user", "assistant"]), content=LETTERS), max_size=8
).map(tuple)
IDS = st.lists(st.integers(0, 2), max_size=40).map(tuple)
BASES = st.builds(
    Resolved,
    action_id=st.just("a-1"),
    messages=MESSAGES,
    prompt_ids=IDS,
    reply=st.builds(Message, role=st.just("assistant"), content=LETTERS),
    response_ids=IDS,
)
NEWS = MESSAGES.map(lambda some: tuple(replace(one, role="user") for one in some))
SHORTEST_TAIL = 2 * 16  # tokens: a part of two blocks is found wherever it begins

Sent = tuple[Resolved, tuple[Message, ...], tuple[int, ...]]  # a base, and what is sent after it


@st.composite
def continued(draw: st.DrawFn) -> Sent:
    """A base, and what a client sends after it: some of it, other things before and after, and a later part again."""
    base = draw(BASES)
    messages = draw(mixed((*base.messages, base.reply), MESSAGES))
    return base, messages, draw(mixed(base.prompt_ids + base.response_ids, IDS))


@st.composite
def mixed(draw: st.DrawFn, known: tuple[Any, ...], other: st.SearchStrategy[tuple[Any, ...]]) -> tuple[Any, ...]:
    head, start, end = (draw(st.integers(0, len(known))) for _ in range(3))
    return known[:head] + draw(other) + known[start:end] + draw(other)


@st.composite
def changed_in_front(
    draw: st.DrawFn,
) -> tuple[Resolved, tuple[Message, ...], tuple[int, ...], tuple[Message, ...], int]:
    """A conversation whose turns differ, read once more after another system prompt; and how many ids are new."""
    num_turns = draw(st.integers(1, 12))
    turns = [
        Message(role=role, content=f"{role} {turn}") for turn in range(num_turns) for role in ("user", "assistant")
    ]
    history, reply = tuple(turns[:-1]), turns[-1]
    words = st.lists(st.integers(0, 99), max_size=20).map(tuple)
    said = tuple(range(100, 100 + draw(st.integers(SHORTEST_TAIL, 300))))
    old, new, asked = draw(words), draw(words), draw(words)
    base = Resolved(
        action_id="a-1",
        messages=(Message(role="system", content="old"), *history),
        prompt_ids=(1_000, *old, *said[:-5]),
        reply=reply,
        response_ids=said[-5:],
    )
    messages = (Message(role="system", content="new"), *history, reply, *draw(NEWS))
    return (base, messages, (1_001, *new, *said, *asked)), 1 + len(new) + len(asked)


def stored(messages: tuple[Message, ...], prompt_ids: tuple[int, ...], base: Resolved | None) -> ActionTaken:
    return replace(ACTION, **delta(messages, prompt_ids, base).as_fields())


@given(continued())
def test_resolving_a_delta_gives_back_the_very_prompt(
    sent: Sent,
) -> None:
    base, messages, prompt_ids = sent
    action = stored(messages, prompt_ids, base)
    whole = resolve(action, base if action.base_action_id else None)
    assert (whole.messages, whole.prompt_ids) == (messages, prompt_ids)
    assert (whole.reply, whole.response_ids) == (action.reply, action.response_ids)


@given(continued())
def test_whatever_is_stored_may_be_written(sent: Sent) -> None:
    base, messages, prompt_ids = sent
    validate(stored(messages, prompt_ids, base))


@given(continued())
def test_nothing_is_stored_that_the_base_begins_with(
    sent: Sent,
) -> None:
    base, messages, prompt_ids = sent
    found = delta(messages, prompt_ids, base)
    known, kept = base.prompt_ids + base.response_ids, found.kept_prompt_tokens
    assert len(found.prompt_ids) == len(prompt_ids) - kept - num_in_tail(found)
    assert kept == min(len(known), len(prompt_ids)) or known[kept] != prompt_ids[kept]


@given(changed_in_front())
def test_a_conversation_behind_a_prompt_that_changes_costs_what_is_new(read: tuple[Sent, int]) -> None:
    (base, messages, prompt_ids), num_new_ids = read
    found = delta(messages, prompt_ids, base)
    assert found.messages == (messages[0], *news_of(messages))
    assert len(found.prompt_ids) <= num_new_ids


@given(continued())
def test_what_an_action_is_the_first_to_read_stands_behind_its_tail(
    sent: Sent,
) -> None:
    base, messages, prompt_ids = sent
    found = delta(messages, prompt_ids, base)
    news = news_of(messages)
    if (tail := found.messages_tail) is not None:
        behind = found.messages[tail.num_before :]
        assert behind[len(behind) - len(news) :] == news


@given(MESSAGES, IDS)
def test_without_a_base_everything_is_stored(messages: tuple[Message, ...], prompt_ids: tuple[int, ...]) -> None:
    action = stored(messages, prompt_ids, None)
    assert (action.messages, action.prompt_ids) == (messages, prompt_ids)
    assert resolve(action, None).prompt_ids == prompt_ids


@given(st.lists(st.tuples(MESSAGES, IDS), max_size=6))
def test_a_whole_conversation_resolves_step_by_step(turns: list[tuple[tuple[Message, ...], tuple[int, ...]]]) -> None:
    base: Resolved | None = None
    for messages, prompt_ids in turns:
        action = stored(messages, prompt_ids, base)
        base = resolve(action, base if action.base_action_id else None)
        assert (base.messages, base.prompt_ids) == (messages, prompt_ids)


def news_of(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """What follows the policy's last words."""
    return messages[max((place for place, one in enumerate(messages, 1) if one.role == "assistant"), default=0) :]


def num_in_tail(found: Delta) -> int:
    return found.prompt_tail.end - found.prompt_tail.start if found.prompt_tail else 0
