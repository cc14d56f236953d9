"""The embedded judge: its figures on families that it has not seen, and what it does with tools and silence."""

from pathlib import Path

import numpy as np
import pytest
from example_transition import example_transition

from infra.home import Home
from schemas.events import Message, Score, TransitionJoined
from serving.config import JudgeConfig
from serving.judges.embedding import SentenceEmbedder, find_model
from serving.judges.evaluate import report
from serving.judges.factory import make_judge
from serving.judges.reaction import ReactionJudge
from serving.judges.replies import read_replies
from serving.judges.training import abstention_threshold, build_training_set, cross_validate

UNSEEN = Path(__file__).parents[2] / "data" / "unseen_replies.jsonl"  # written apart from the labelled set, to stay so


@pytest.fixture(scope="module")
def judge(home: Home) -> ReactionJudge:
    made = make_judge(JudgeConfig(), home.judge)
    assert isinstance(made, ReactionJudge)
    return made


def transition(
    *next_messages: Message,
    question: str = "How can I sleep better?",
    answer: str = "1. Go to bed early\n2. Avoid coffee",
    **fields: object,
) -> TransitionJoined:
    context, reply = (Message(role="user", content=question),), Message(role="assistant", content=answer)
    return example_transition(*next_messages, context=context, reply=reply, **fields)


def user(text: str) -> Message:
    return Message(role="user", content=text)


def tool(text: str) -> Message:
    return Message(role="tool", content=text, tool_call_id="1")


def test_the_labelled_set_is_large_and_varied() -> None:
    replies = read_replies()
    assert len(replies) >= 3_000
    assert len({reply.family for reply in replies}) >= 200
    assert len({reply.language for reply in replies}) >= 8
    assert {reply.label for reply in replies} == {-1, 0, 1}


@pytest.mark.timeout(600)
def test_it_reads_families_that_it_has_not_seen() -> None:
    replies = read_replies()
    training = build_training_set(replies, SentenceEmbedder(find_model()))
    probabilities = cross_validate(training)
    figures = report([reply.label for reply in replies], probabilities, abstention_threshold(probabilities))
    assert figures.coverage >= 0.9
    assert figures.accuracy >= 0.87  # these replies were gathered because they are hard; see README for other sets
    assert figures.recall[-1] >= 0.9  # complaints
    assert figures.flips <= 0.045
    assert figures.confidence == pytest.approx(figures.accuracy, abs=0.03)  # it knows how sure it may be


async def test_it_reads_replies_that_have_never_trained_it(judge: ReactionJudge) -> None:
    replies = read_replies(UNSEEN)
    judged = await judge.judge(
        [transition(user(one.reply), question=one.question, answer=one.answer) for one in replies]
    )
    scored = [(reply.label, one.score) for reply, one in zip(replies, judged, strict=True) if one.score is not None]
    complaints = [one.score for reply, one in zip(replies, judged, strict=True) if reply.label == -1]
    assert len(scored) / len(replies) >= 0.93
    assert sum(label == score for label, score in scored) / len(scored) >= 0.92
    assert complaints.count(-1) / len(complaints) >= 0.92  # an abstention counts as missed


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("Thanks, that's exactly what I needed.", 1),
        ("Perfect, thank you so much!", 1),
        ("No, that is wrong. Please write plain sentences, not a list.", -1),
        ("I asked for no bullet points!", -1),
    ],
)
async def test_it_tells_thanks_from_complaints(judge: ReactionJudge, text: str, score: Score) -> None:
    (judgement,) = await judge.judge([transition(user(text))])
    assert judgement.score == score
    assert judgement.confidence is not None
    assert judgement.votes == (score,)


async def test_a_mixed_batch_keeps_its_order(judge: ReactionJudge) -> None:
    judgements = await judge.judge(
        [
            transition(tool("Traceback (most recent call last):\n  boom")),
            transition(user("Perfect, thank you so much!")),
            transition(kind="ended"),
            transition(tool("42"), user("No, that is wrong, do it again.")),
        ]
    )
    assert [judgement.score for judgement in judgements] == [-1, 1, None, -1]
    assert judgements[2].abstention == "no next state"
    assert await judge.judge([]) == []


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("5 passed in 0.1s", 1),
        ("3 failed, 2 passed", -1),
        ("0 failed", 1),
        ("bash: foo: command not found", -1),
        ("ValueError: bad literal", -1),
        ('{"error": "no such city"}', -1),
        ('{"error": null, "city": "Paris"}', 1),
        ('{"exit_code": 2, "output": ""}', -1),
        ("HTTP 404", -1),
        ("There was no error.", 1),
    ],
)
async def test_a_tools_result_speaks_by_its_form(judge: ReactionJudge, text: str, score: Score) -> None:
    (judgement,) = await judge.judge([transition(tool(text))])
    assert judgement.score == score


async def test_an_exit_code_outweighs_the_text_and_silence_says_nothing(judge: ReactionJudge) -> None:
    failed, worked, silent = await judge.judge(
        [
            transition(tool("all fine"), exit_code=1),
            transition(tool("Error: ignored"), exit_code=0),
            transition(tool("")),
        ]
    )
    assert (failed.score, worked.score, silent.score) == (-1, 1, None)
    assert silent.abstention == "the tool returned nothing"


async def test_a_cached_classifier_is_the_same_judge(judge: ReactionJudge, home: Home, tmp_path: Path) -> None:
    again = make_judge(JudgeConfig(), home.judge)
    assert again.version == judge.version
    replies = [transition(user(text)) for text in ("hmm", "ok", "why?")]
    first, second = await judge.judge(replies), await again.judge(replies)
    assert np.allclose([one.confidence for one in first], [one.confidence for one in second])
