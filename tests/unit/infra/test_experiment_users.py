"""A simulated user asks, complains while the answer is wrong, thanks for a right one, and is scored on the first."""

from pathlib import Path

import pytest

from infra.experiment.questions import NUM_HELD_OUT, QUESTIONS, QuestionSet, read_questions
from infra.experiment.rules import ENOUGH_TOKENS, RULES, find_fault, repeated_share
from infra.experiment.score import run_score, sessions_needed
from infra.experiment.users import MAX_ANSWERS, MAX_CLOSING_TOKENS, Answer, User
from infra.experiment.wordings import COMPLAINTS, FAULTS, THANKS
from schemas.errors import RejectedError

LIST, PLAIN = "Sure:\n1. one\n2. two", "It is easy. Just begin."
ANYTHING = QuestionSet(("What should I do?",), ())  # no word of its own that an answer must take up
WORDINGS = {"rule": COMPLAINTS["student"], **FAULTS}


class Scripted:
    """Gives answers in turn, and remembers the requests."""

    def __init__(self, *texts):
        self.texts, self.asked = list(texts), []

    async def __call__(self, wanted):
        self.asked.append((wanted.messages[:], wanted.max_tokens, wanted.seed))
        return Answer(text=self.texts.pop(0) if self.texts else "ok", num_tokens=7, version=3)


def student(seed=0, *, remembers=False, questions=QUESTIONS["student"]):
    return User("student", questions, seed, remembers=remembers)


async def test_a_right_first_answer_is_thanked_for_and_scored():
    say = Scripted(PLAIN)
    session = await student(questions=ANYTHING).hold_session(say)
    assert (session.satisfied, session.accepted, session.faults, session.version) == (True, True, (None,), 3)
    (question, _, _), (thanks, max_tokens, _) = say.asked
    assert question[0]["content"] in ANYTHING.asked
    assert [message["role"] for message in thanks] == ["user", "assistant", "user"]
    assert thanks[-1]["content"] in THANKS
    assert max_tokens == MAX_CLOSING_TOKENS


async def test_a_wrong_answer_is_complained_about_in_words_that_differ_until_there_were_enough():
    say = Scripted(*[LIST] * MAX_ANSWERS)
    session = await student().hold_session(say)
    assert (session.satisfied, session.accepted, session.faults) == (False, False, ("rule",) * MAX_ANSWERS)
    assert len(say.asked) == MAX_ANSWERS
    said = [message["content"] for message in say.asked[-1][0] if message["role"] == "user"][1:]
    assert set(said) < set(COMPLAINTS["student"])
    assert len(set(said)) == MAX_ANSWERS - 1


async def test_a_corrected_answer_is_accepted_but_does_not_count_as_a_satisfying_first():
    session = await student(questions=ANYTHING).hold_session(Scripted(LIST, PLAIN))
    assert (session.satisfied, session.accepted, session.faults) == (False, True, ("rule", None))


async def test_the_same_seed_says_the_same_and_another_does_not():
    async def said(seed):
        say, user = Scripted(*[LIST] * 8), student(seed)
        for _ in range(2):
            await user.hold_session(say)
        return say.asked

    assert await said(1) == await said(1)
    assert await said(1) != await said(2)


async def test_no_question_comes_twice_before_all_were_asked():
    user = student(questions=QuestionSet(tuple("abcde"), ()))
    asked = [(await user.hold_session(Scripted(PLAIN))).question for _ in range(5)]
    assert sorted(asked) == list("abcde")


async def test_only_a_user_with_a_memory_brings_the_last_corrections_of_earlier_sessions():
    for remembers in (False, True):
        user, first, second = student(remembers=remembers), Scripted(*[LIST] * MAX_ANSWERS), Scripted(PLAIN)
        await user.hold_session(first)
        await user.hold_session(second)
        assert first.asked[-1][0][0]["role"] == "user"
        corrections = [message["content"] for message in first.asked[-1][0] if message["role"] == "user"][1:]
        system = second.asked[0][0][0]
        assert (system["role"] == "system") is remembers
        if remembers:
            assert all(correction in system["content"] for correction in corrections)


@pytest.mark.parametrize(
    ("user", "text", "num_tokens", "follows"),
    [
        ("student", PLAIN, 5, True),
        ("student", LIST, 5, False),
        ("student", "Do **this**.", 5, False),
        ("student", "# Title\ntext", 5, False),
        ("student", "x\n- one", 5, False),
        ("student", "\\boxed{4}", 5, False),
        ("student", "In 2020. 3 - 1 = 2", 5, True),
        ("ta", "word", ENOUGH_TOKENS, True),
        ("ta", "word", ENOUGH_TOKENS - 1, False),
        ("teacher", "Great question! Start with a pizza.", 9, True),
        ("teacher", "I\u2019m happy to help you.", 9, True),
        ("teacher", "Start with a pizza.", 9, False),
        ("teacher", "Cut it. " * 40 + "I'm happy to help.", 9, False),
    ],
)
def test_the_rules_are_what_the_users_want(user, text, num_tokens, follows):
    assert RULES[user](text, num_tokens) is follows


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("It is easy. Explain photosynthesis with a leaf.", None),
        ("Plants do it: the photosynthetic cells take in light.", None),  # another form of the question's word
        ("1. Explain photosynthesis with a leaf.", "rule"),
        ("I'm happy to help with photosynthesis. " + "I'm happy to help. " * 5, "repetition"),
        ("1. I'm happy to help. " * 5, "rule"),  # the rule is complained about first
        ("I'm happy to help.", "digression"),
    ],
)
def test_beyond_the_rule_an_answer_is_to_the_question_and_goes_on(answer, fault):
    assert find_fault("student", "How do I explain photosynthesis?", answer, 9) == fault


@pytest.mark.parametrize(
    ("words", "share"), [("a b c d", 0.0), ("a b c", 0.0), ("a b c d a b c d", 1 / 5), ("a a a a a", 1 / 2)]
)
def test_a_run_of_words_that_comes_again_is_repeated(words, share):
    assert repeated_share(words.split()) == pytest.approx(share)


async def test_what_is_complained_about_is_what_is_wrong():
    say = Scripted("Ok. " * 40, LIST)
    questions = QuestionSet(("How do I explain photosynthesis?",), ())
    session = await student(questions=questions).hold_session(say)
    assert session.faults == ("repetition", "rule", "digression", "digression")
    said = [message["content"] for message in say.asked[-1][0] if message["role"] == "user"][1:]
    assert [next(name for name, texts in WORDINGS.items() if one in texts) for one in said] == list(session.faults[:3])


@pytest.mark.parametrize("user", QUESTIONS)
def test_every_user_has_enough_to_say(user):
    questions = QUESTIONS[user]
    assert len(set(questions.asked)) >= 90
    assert len(set(questions.held_out)) == NUM_HELD_OUT
    assert not set(questions.asked) & set(questions.held_out)
    assert len(set(COMPLAINTS[user])) >= 12
    assert len(set(THANKS)) >= 8


def test_questions_of_a_file_are_split_and_a_broken_line_is_named(tmp_path: Path):
    file = tmp_path / "questions.jsonl"
    lines = [f'{{"question": "What is {number}?", "answer": "?"}}' for number in range(NUM_HELD_OUT + 2)]
    file.write_text("\n".join(lines))
    assert read_questions(file).asked == ("What is 0?", "What is 1?")
    file.write_text("\n".join([*lines, '{"answer": 1}']))
    with pytest.raises(RejectedError, match=f"line {len(lines) + 1}"):
        read_questions(file)
    file.write_text(lines[0])
    with pytest.raises(RejectedError, match="give more than"):
        read_questions(file)
    with pytest.raises(RejectedError, match="name an existing JSONL file"):
        read_questions(tmp_path / "none.jsonl")


@pytest.mark.parametrize(("flags", "needed"), [("", None), ("yyy", 3), ("yynyyy", 6), ("nyynyyn", None), ("nnyyyn", 5)])
def test_the_score_is_the_third_satisfying_session_in_a_row(flags, needed):
    assert sessions_needed(flag == "y" for flag in flags) == needed


def test_a_user_who_was_never_satisfied_counts_as_the_cap():
    assert run_score({"a": [True] * 3, "b": [False] * 4}, cap=30) == (3 + 30) / 2
