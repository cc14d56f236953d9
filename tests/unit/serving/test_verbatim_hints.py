"""The correction itself as the hint: whose words, when, and how they are cleaned."""

import pytest
from example_transition import example_transition

from schemas.events import Message, Score
from schemas.judgement import Hints, Judgement
from serving.hints.verbatim import MAX_HINT_CHARS, VerbatimExtractor


async def extracted(*messages: Message, score: Score | None = -1) -> Hints:
    return await VerbatimExtractor().extract(example_transition(*messages), Judgement(score=score, votes=(score,)))


async def test_the_users_complaint_is_the_hint() -> None:
    assert (await extracted(Message(role="user", content=" No bullet points, please. "))).hints == (
        "No bullet points, please.",
    )


@pytest.mark.parametrize("score", [0, 1, None])
async def test_only_a_negative_verdict_has_hindsight(score: Score | None) -> None:
    hints = await extracted(Message(role="user", content="No bullet points, please."), score=score)
    assert (hints.hints, hints.reason) == ((), "nothing was wrong with the answer")


@pytest.mark.parametrize(
    "text", ["no", "again please", "Please try again.", "wrong, wrong, wrong!", "That is wrong.", ""]
)
async def test_a_bare_refusal_says_nothing_that_could_be_learnt(text: str) -> None:
    hints = await extracted(Message(role="user", content=text))
    assert hints.hints == ()
    assert "what should have been different" in hints.reason


async def test_a_clients_time_stamp_is_no_part_of_the_hint() -> None:
    stamped = Message(role="user", content="[Sat 2026-11-21 06:22 UTC] Use full sentences.")
    assert (await extracted(stamped)).hints == ("Use full sentences.",)


async def test_the_user_outweighs_the_tool_and_the_tools_error_counts_where_nobody_spoke() -> None:
    tool = Message(role="tool", content="TypeError: unsupported operand", tool_call_id="1")
    user = Message(role="user", content="Use the other function.")
    assert (await extracted(tool, user)).hints == ("Use the other function.",)
    assert (await extracted(tool)).hints == ("TypeError: unsupported operand",)


async def test_a_paste_is_cut() -> None:
    (hint,) = (await extracted(Message(role="user", content="no lists " * 1000))).hints
    assert len(hint) <= MAX_HINT_CHARS
