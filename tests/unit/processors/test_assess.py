"""What models say becomes events, whatever models do."""

from processor_world import (
    BAD,
    GOOD,
    HINTED,
    UNSURE,
    EchoExtractor,
    EchoJudge,
    action,
    ended,
    next_state,
    resolved,
    user,
)

from processors.assess import extract_all, judge_all, skip_ended
from processors.join import JoinState, join, observe
from processors.ports import Hints, Judgement


def transition(text=GOOD, observed=None):
    taken = action()
    state, _ = observe(JoinState(), observed or next_state(text=text), ambiguous_trains=False)
    return join(taken, resolved(taken, (user("hello"),)), state)[1][0]


class BrokenJudge(EchoJudge):
    async def judge(self, transitions):
        raise ConnectionError("no route to judge")


class SilentJudge(EchoJudge):
    async def judge(self, transitions):
        return []


class BrokenExtractor(EchoExtractor):
    async def extract(self, transition, judgement):
        raise ValueError("bad template")


class GenerousExtractor(EchoExtractor):
    async def extract(self, transition, judgement):
        return Hints(hints=tuple(f"hint number {n}" for n in range(5)))


class CuriousExtractor(EchoExtractor):
    async def extract(self, transition, judgement):
        self.judgement = judgement
        return Hints(hints=())


async def assessed(texts, judge, extractor):
    transitions = [transition(text) for text in texts]
    verdicts = await judge_all(transitions, judge)
    return verdicts, await extract_all(list(zip(transitions, verdicts, strict=True)), extractor)


async def test_each_transition_gets_a_verdict_and_a_hint_event_in_order():
    verdicts, hints = await assessed([GOOD, BAD, UNSURE, HINTED], EchoJudge(), EchoExtractor())
    assert [verdict.score for verdict in verdicts] == [1, -1, None, -1]
    assert [hint.hints for hint in hints] == [(), (), (), ("be kinder to people",)]
    assert [hint.reason for hint in hints] == ["no hint in it"] * 3 + [""]
    assert verdicts[2].abstention == "it said hm"


async def test_verdicts_name_judge_version_and_transition():
    (verdict,), (hint,) = await assessed([GOOD], EchoJudge(), EchoExtractor())
    assert (verdict.judge, verdict.judge_version) == ("echo", "1")
    assert (hint.extractor, hint.extractor_version) == ("echo-hints", "1")
    assert verdict.transition_id == hint.transition_id == transition().id
    assert verdict.time_ms == hint.time_ms == transition().time_ms


async def test_another_judge_makes_another_verdict_and_another_hint():
    class NewJudge(EchoJudge):
        version = "2"

    old, new = await assessed([GOOD], EchoJudge(), EchoExtractor()), await assessed([GOOD], NewJudge(), EchoExtractor())
    assert old[0][0].id != new[0][0].id
    assert old[1][0].id != new[1][0].id


async def test_a_judge_that_fails_abstains_with_its_reason():
    (verdict,), _ = await assessed([GOOD], BrokenJudge(), EchoExtractor())
    assert verdict.score is None
    assert "no route to judge" in verdict.abstention


class DelicateJudge(EchoJudge):
    async def judge(self, transitions):
        if any(transition.next_messages[0].content.startswith(BAD) for transition in transitions):
            raise ValueError("cannot read that")
        return await super().judge(transitions)


async def test_what_a_judge_fails_on_takes_no_other_transition_with_it():
    verdicts, _ = await assessed([GOOD, BAD, GOOD], DelicateJudge(), EchoExtractor())
    assert [verdict.score for verdict in verdicts] == [1, None, 1]
    assert "cannot read that" in verdicts[1].abstention


async def test_a_judge_that_answers_too_seldom_abstains_on_all():
    verdicts, _ = await assessed([GOOD, BAD], SilentJudge(), EchoExtractor())
    assert [verdict.score for verdict in verdicts] == [None, None]
    assert "0 times on 2" in verdicts[0].abstention


async def test_an_extractor_that_fails_gives_no_hint_and_says_why():
    _, (hint,) = await assessed([HINTED], EchoJudge(), BrokenExtractor())
    assert hint.hints == ()
    assert "bad template" in hint.reason


async def test_at_most_three_hints_are_kept():
    _, (hint,) = await assessed([HINTED], EchoJudge(), GenerousExtractor())
    assert hint.hints == ("hint number 0", "hint number 1", "hint number 2")


async def test_the_extractor_sees_the_verdict_as_it_was_recorded():
    extractor = CuriousExtractor()
    await assessed([UNSURE], EchoJudge(), extractor)
    assert extractor.judgement == Judgement(score=None, votes=(None,), abstention="it said hm")


def test_an_action_that_nothing_followed_is_skipped():
    skip = skip_ended(transition(observed=ended()))
    assert (skip.reason, skip.action_id, skip.stage) == ("no_next_state", "a-1", "assess")
