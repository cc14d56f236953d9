"""What was served through a protocol and is sent back in its form is found again: no guess, no unknown reply."""

import asyncio
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.serving.gateway_fakes import Bench
from tests.unit.serving.protocol_clients import CLIENTS, Client, ask

VALUES = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
ARGUMENTS = st.dictionaries(st.text(max_size=3), VALUES | st.text(max_size=3), max_size=3)
CALLS = st.lists(ARGUMENTS | st.just({"INVALID_JSON": "x"}) | st.text(max_size=5), max_size=3)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="<"), max_size=8)
ANSWERS = st.tuples(TEXTS, CALLS)


def drawn(text: str, calls: list[Any]) -> list[Any]:
    """What the policy writes: text, and parallel calls; arguments that are no object are a text."""
    written = (f"<tool_call>{orjson.dumps({'name': 'weather', 'arguments': call}).decode()}" for call in calls)
    return [part for part in (text, *written) if part] or [" "]


def as_in_javascript(value: Any) -> Any:
    """JSON after a client that reads every number as a double and writes whole ones without a point."""
    match value:
        case dict():
            return {key: as_in_javascript(inner) for key, inner in value.items()}
        case list():
            return [as_in_javascript(inner) for inner in value]
        case int() | float() if not isinstance(value, bool):
            return int(float(value)) if float(value).is_integer() else value
        case _:
            return value


async def converse(client: Client, answers: list[Any], *, stream: bool, in_javascript: bool) -> None:
    bench = Bench([drawn(*answer) for answer in answers])
    client.user("hi")
    for number, answer in enumerate(answers):
        await ask(bench, client, stream=stream)
        num_calls = len(answer[1])
        assert client.num_calls == num_calls
        if num_calls:
            client.results([f"result {number}.{call}" for call in range(num_calls)])
        if number % 2 or not num_calls:
            client.user(f"and {number}?")
        if in_javascript:
            client.history = as_in_javascript(client.history)
    actions, states = bench.recorder.actions, bench.recorder.next_states
    assert len(actions) == len(answers)
    assert [action.parent_action_id for action in actions[1:]] == [action.id for action in actions[:-1]]
    assert len({action.conversation_id for action in actions}) == 1
    assert not any(action.ambiguous for action in actions)
    assert [state.action_id for state in states] == [action.id for action in actions[:-1]]
    for number, (state, (_, calls)) in enumerate(zip(states, answers, strict=False)):
        said = [message.content for message in state.messages]
        results = [f"result {number}.{call}" for call in range(len(calls))]
        assert said == results + ([f"and {number}?"] if number % 2 or not calls else [])


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(CLIENTS), st.lists(ANSWERS, min_size=2, max_size=4), st.booleans(), st.booleans())
def test_what_was_served_is_found_again_when_it_comes_back(
    kind: type[Client], answers: list[Any], stream: bool, in_javascript: bool
) -> None:
    asyncio.run(converse(kind(), answers, stream=stream, in_javascript=in_javascript))
