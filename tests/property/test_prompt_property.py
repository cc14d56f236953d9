"""`resolve` undoes `delta`, whatever the client did to its history."""

from dataclasses import replace

from example_events import ACTION
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import ActionTaken, Message
from schemas.prompt import Resolved, delta, resolve

# Few distinct values, so that prefixes are often shared and often broken.
MESSAGES = st.lists(st.builds(Message, role=st.sampled_from(["user", "assistant"]), content=st.sampled_from("ab"))).map(
    tuple
)
IDS = st.lists(st.integers(0, 2), max_size=12).map(tuple)
BASES = st.builds(
    Resolved,
    action_id=st.just("a-1"),
    messages=MESSAGES,
    prompt_ids=IDS,
    reply=st.builds(Message, role=st.just("assistant"), content=st.sampled_from("ab")),
    response_ids=IDS,
)


@st.composite
def continued(draw: st.DrawFn) -> tuple[Resolved, tuple[Message, ...], tuple[int, ...]]:
    """A base, and what a client sends after it: some of it again, then something."""
    base = draw(BASES)
    seen, ids = (*base.messages, base.reply), base.prompt_ids + base.response_ids
    messages = seen[: draw(st.integers(0, len(seen)))] + draw(MESSAGES)
    return base, messages, ids[: draw(st.integers(0, len(ids)))] + draw(IDS)


def stored(messages: tuple[Message, ...], prompt_ids: tuple[int, ...], base: Resolved | None) -> ActionTaken:
    found = delta(messages, prompt_ids, base)
    return replace(
        ACTION,
        base_action_id=found.base_action_id,
        kept_messages=found.kept_messages,
        messages=found.messages,
        kept_prompt_tokens=found.kept_prompt_tokens,
        prompt_ids=found.prompt_ids,
    )


@given(continued())
def test_resolving_a_delta_gives_back_the_very_prompt(
    sent: tuple[Resolved, tuple[Message, ...], tuple[int, ...]],
) -> None:
    base, messages, prompt_ids = sent
    action = stored(messages, prompt_ids, base)
    whole = resolve(action, base if action.base_action_id else None)
    assert (whole.messages, whole.prompt_ids) == (messages, prompt_ids)
    assert (whole.reply, whole.response_ids) == (action.reply, action.response_ids)


@given(continued())
def test_nothing_is_stored_that_the_base_already_has(
    sent: tuple[Resolved, tuple[Message, ...], tuple[int, ...]],
) -> None:
    base, messages, prompt_ids = sent
    found = delta(messages, prompt_ids, base)
    known = base.prompt_ids + base.response_ids
    kept = found.kept_prompt_tokens
    assert len(found.prompt_ids) == len(prompt_ids) - kept
    assert kept == min(len(known), len(prompt_ids)) or known[kept] != prompt_ids[kept]


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
