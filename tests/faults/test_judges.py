"""The suite's part `judges` at its short size: the counts, and that its own ledger sees what it is there to see."""

from pathlib import Path

import pytest

from infra.faults.judges.attacks import BASES, conversation, read_attacks, targets
from infra.faults.judges.backlog import slow_judge
from infra.faults.judges.fences import fences_hold
from infra.faults.judges.flips import flip_rates
from infra.faults.judges.lies import lying_judge, stopped_judge
from infra.faults.judges.made import made_transition
from infra.faults.judges.manners import HONEST, LIES
from infra.faults.judges.reckoning import Reckoning
from infra.faults.outcome import Trial
from infra.home import Home
from infra.settings import Settings
from processors.assess import hint_of, verdict_of
from schemas.events import Score
from schemas.judgement import Hints, Judgement


@pytest.fixture
def trial(home: Home, tmp_path: Path) -> Trial:
    settings = Settings(home=tmp_path / "home", runtime_home=home.root)
    return Trial(settings=settings, seed=1, is_short=True, folder=tmp_path, report=print)


def test_a_judge_that_lies_makes_abstentions_and_harms_no_neighbour(trial: Trial) -> None:
    outcome = lying_judge(trial)
    assert outcome.holds, outcome
    assert outcome.tried == 2 * len(LIES) >= 100


def test_a_stop_while_votes_hang_ends_and_loses_nothing(trial: Trial) -> None:
    outcome = stopped_judge(trial)
    assert outcome.holds, outcome
    assert len(outcome.recovery_s) == outcome.tried == 5


def test_no_attack_leaves_its_fence(trial: Trial) -> None:
    outcome = fences_hold(trial)
    assert outcome.holds, outcome
    assert outcome.tried == len(read_attacks()) * 5


def test_the_embedded_judge_is_flipped_no_more_often_than_was_measured(trial: Trial) -> None:
    outcome = flip_rates(trial)
    assert outcome.holds, outcome
    assert outcome.tried >= 300


@pytest.mark.long
@pytest.mark.kafka
@pytest.mark.timeout(1800)
def test_a_slow_judge_holds_up_nobody_else(trial: Trial) -> None:
    outcome = slow_judge(trial)
    assert outcome.holds, outcome
    assert outcome.tried == 970


def test_there_are_attacks_of_many_kinds_and_each_has_a_place() -> None:
    attacks = read_attacks()
    assert len(attacks) == len({one.name for one in attacks}) >= 50
    assert len({one.kind for one in attacks}) >= 8
    for base in BASES:
        for place in targets(base):
            made = conversation(1, base, "ATTACK", place)
            said = {one.role: one.content for one in (*made.next_messages, made.reply)}
            assert [role for role, text in said.items() if "ATTACK" in text] == [place]
            assert base.said in said[base.place]


class Recorder:
    name, version = "test", "1"


def reckoned(case: str, *scores: Score | None, hint: str = "") -> Reckoning:
    """What is found where a judge made these verdicts of one transition."""
    made = made_transition(1, case)
    verdicts = [
        verdict_of(made, Judgement(score=score, votes=(score,), abstention=None if score else "HTTP 500"), Recorder())  # type: ignore[arg-type]
        for score in scores
    ]
    reckoning = Reckoning({made.id: case})
    reckoning.read(verdicts)
    if verdicts:
        hints = Hints(hints=(hint,) if hint else (), reason="" if hint else "none")
        reckoning.read([hint_of(made, verdicts[0], hints, Recorder())])  # type: ignore[arg-type]
    return reckoning


def test_the_ledger_sees_what_is_lost_doubled_or_wrong() -> None:
    assert reckoned("grade +1").lost == 2
    assert reckoned("grade +1", 1, 1).twice == 0  # the same record again
    assert reckoned("grade +1", 1, -1).twice == 1
    assert reckoned("grade +1", 1).wrong == ()
    assert reckoned("grade +1", -1).wrong
    assert reckoned("HTTP 500", None).wrong == ()
    assert reckoned("HTTP 503", None).wrong  # it abstained for another reason
    assert reckoned("HTTP 500", 1).wrong
    assert reckoned("HTTP 500", None, hint="made up").wrong
    assert reckoned("grade -1", -1).wrong  # its hint is gone
    assert {*HONEST}.isdisjoint(LIES)
