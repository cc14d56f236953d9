"""What is said of how an answer was drawn, in the words of every API, and what of it makes no sense."""

import math
from typing import Any

import pytest

from schemas.events import FinishReason, Message, Sampling, ToolCall
from streams.sampling import finish_reason_of, sampling_of

CALL = ToolCall(name="look", arguments="{}", id="1")


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, Sampling()),
        ({"temperature": 0, "top_k": 20, "seed": 7}, Sampling(temperature=0.0, top_k=20, seed=7)),
        ({"max_tokens": 5, "max_completion_tokens": 9}, Sampling(max_tokens=9)),
        ({"max_output_tokens": 5}, Sampling(max_tokens=5)),
        ({"stop": "a"}, Sampling(stop=("a",))),
        ({"stop_sequences": ["a", 1, "b"]}, Sampling(stop=("a", "b"))),
        ({"temperature": True, "top_p": math.nan, "min_p": "0.1", "seed": 2**70, "stop": 3}, Sampling()),
        ({"temperature": 10**400, "top_k": 0.5, "seed": 2**53 + 1}, Sampling(seed=2**53 + 1)),
        ({"temperature": None, "max_tokens": math.inf, "top_k": False}, Sampling()),
    ],
)
def test_sampling_is_told_as_far_as_it_makes_sense(parameters: dict[str, Any], expected: Sampling) -> None:
    assert sampling_of(parameters) == expected


@pytest.mark.parametrize(
    ("said", "tool_calls", "expected"),
    [
        ("LENGTH", (), "length"),
        ("max_tokens", (), "length"),
        ("end_turn", (), "stop"),
        ("tool_use", (CALL,), "tool_calls"),
        ("content_filter", (), "error"),
        ("whatever", (CALL,), "tool_calls"),
        (None, (), "stop"),
    ],
)
def test_why_an_answer_ended_is_said_or_shown(
    said: object, tool_calls: tuple[ToolCall, ...], expected: FinishReason
) -> None:
    assert finish_reason_of(said, Message(role="assistant", tool_calls=tool_calls)) == expected
