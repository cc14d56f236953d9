"""`turns`: every action became a sample or a skip, or still waits for something that may come (design promise 7).

Waiting is no failure, unless the stage that is waited for has gone past it. Stages take each partition in order and
write to each partition in order, so: where a stage has answered a later input of a partition, its answer to an earlier
one is in the log, or lost. So is a turn that was not even forgotten after the longest time that turns may stay open.
"""

from collections.abc import Iterator
from typing import NamedTuple

from infra.audit.check import Check
from infra.audit.checks.prompts import chain_of
from infra.audit.facts import Fact, Line
from infra.audit.index import UNDER_WAY_MS, E, LogIndex
from infra.audit.report import Tally
from processors.credit import waits_for_outcome
from schemas import events as e
from streams.topics import SAMPLES, SKIPS

Action = Fact[e.ActionTaken]

_DELETED = "turns whose sample or skip retention or an erasure may have deleted"


class _Wait(NamedTuple):
    """What a turn waits for; `lost`: it will not come any more."""

    what: str
    lost: bool = False


class _Reached:
    """How far a stage is known to have come in each partition of its input: the last record that it has answered."""

    def __init__(self) -> None:
        self._offsets: dict[tuple[str, int], int] = {}

    def note(self, line: Line | None) -> None:
        """This record is answered. None: it is not in the log."""
        if line is not None:
            place = (line.topic, line.partition)
            self._offsets[place] = max(line.offset, self._offsets.get(place, -1))

    def has_passed(self, line: Line) -> bool:
        """Whether a later record of its partition is answered."""
        return line.offset < self._offsets.get((line.topic, line.partition), -1)


class _Progress:
    """Of each stage, by what it has answered. Young answers do not count: others may not be visible yet."""

    def __init__(self, log: LogIndex) -> None:
        self.joined, self.ended, self.judged, self.hinted, self.built = (_Reached() for _ in range(5))
        transitions = log.of(e.TransitionJoined)
        for transition in _settled(log, e.TransitionJoined):
            self.joined.note(_line(log.of(e.ActionTaken).get(transition.event.action_id)))
            self.joined.note(_line(log.of(e.NextStateObserved).get(transition.event.next_state_id)))
        for verdict in _settled(log, e.VerdictReached):
            self.judged.note(_line(transitions.get(verdict.event.transition_id)))
        for hint in _settled(log, e.HintExtracted):
            self.hinted.note(_line(transitions.get(hint.event.transition_id)))
        for sample in _settled(log, e.SampleBuilt):
            self.built.note(_line(log.of(e.VerdictReached).get(sample.event.verdict_id)))
            self.built.note(_line(log.of(e.HintExtracted).get(sample.event.hint_id)))
        for skip in _settled(log, e.TurnSkipped):
            if (skip.event.stage, skip.event.reason) == ("assess", "no_next_state"):
                for transition in log.about(e.TransitionJoined, skip.event.action_id):
                    self.ended.note(transition.line if transition.event.kind == "ended" else None)


def run(log: LogIndex, tally: Tally) -> None:
    """What became of every action."""
    accounted = _accounted(log)
    progress = _Progress(log)
    newest_ms = max((log.of(e.ActionTaken)[one].line.timestamp_ms for one in accounted), default=0)
    forgotten_ms = newest_ms - log.max_open_age_ms - UNDER_WAY_MS
    for action_id, action in log.of(e.ActionTaken).items():
        tally.num_checked += 1
        if action_id in accounted:
            continue
        wait = _wait_of(action, log, progress)
        if log.horizon.may_have_lost(SAMPLES, action.line.timestamp_ms, action.event.policy) or (
            log.horizon.may_have_lost(SKIPS, action.line.timestamp_ms, action.event.conversation_id or None)
        ):
            tally.hidden[_DELETED] += 1
        elif wait.lost:
            tally.fail(action.line, f"The turn waits for {wait.what}, but later ones of its partition have theirs.")
        elif action.line.timestamp_ms < forgotten_ms:
            tally.fail(action.line, f"The turn waits for {wait.what}, for longer than turns may stay open.")
        else:
            tally.counted[f"waiting for {wait.what}"] += 1


def _accounted(log: LogIndex) -> set[str]:
    """Actions that became a sample or a skip. `branch` is said of a next state, and leaves the turn open."""
    samples = {one.event.action_id for one in log.of(e.SampleBuilt).values()}
    skips = {one.event.action_id for one in log.of(e.TurnSkipped).values() if one.event.reason != "branch"}
    trained = {one.event.action_id for one in log.of(e.ActionTrained).values()}  # outlives its sample
    batched = {action_id for one in log.of(e.BatchSealed).values() for action_id in one.event.action_ids}
    return (samples | skips | trained | batched) & log.of(e.ActionTaken).keys()


def _wait_of(action: Action, log: LogIndex, progress: _Progress) -> _Wait:
    """The first thing on a turn's way that is not in the log."""
    transitions = log.about(e.TransitionJoined, action.event.id)
    real = [one for one in transitions if one.event.kind == "messages"]
    said = (action, *transitions, *_assessments(action, log))
    if any(log.is_rejected(one.line) for one in said):
        return _Wait("its end, as a record of it was rejected")
    if not transitions:
        return _unjoined(action, log, progress)
    if not real:
        passed = (reached.has_passed(one.line) for one in transitions for reached in (progress.ended, progress.judged))
        return _Wait("the skip of a conversation that ended", any(passed))
    return _unbuilt(action, real, log, progress)


def _assessments(action: Action, log: LogIndex) -> list[Fact[e.VerdictReached] | Fact[e.HintExtracted]]:
    return [*log.about(e.VerdictReached, action.event.id), *log.about(e.HintExtracted, action.event.id)]


def _unjoined(action: Action, log: LogIndex, progress: _Progress) -> _Wait:
    next_states = [one for one in log.about(e.NextStateObserved, action.event.id) if not log.is_rejected(one.line)]
    if not next_states:
        return _Wait("a next state")
    chain = list(chain_of(action, log.of(e.ActionTaken), {}))
    if chain[-1].event.base_action_id is not None:
        return _Wait("the action that its prompt builds on")
    is_read = all(progress.joined.has_passed(one.line) for one in chain)
    return _Wait("a transition", is_read and any(progress.joined.has_passed(one.line) for one in next_states))


def _unbuilt(action: Action, transitions: list[Fact[e.TransitionJoined]], log: LogIndex, progress: _Progress) -> _Wait:
    verdicts = log.about(e.VerdictReached, action.event.id)
    hints = log.about(e.HintExtracted, action.event.id)
    if not verdicts:
        return _Wait("a verdict", any(progress.judged.has_passed(one.line) for one in transitions))
    if not hints:
        return _Wait("a hint", any(progress.hinted.has_passed(one.line) for one in transitions))
    if waits_for_outcome(action.event):
        return _Wait("an outcome")
    is_read = [any(progress.built.has_passed(one.line) for one in said) for said in (verdicts, hints)]
    return _Wait("a sample", all(is_read))


def _settled(log: LogIndex, kind: type[E]) -> Iterator[Fact[E]]:
    return (fact for fact in log.of(kind).values() if not log.is_young(fact.line))


def _line(fact: Fact[e.Event] | None) -> Line | None:
    return fact.line if fact is not None else None


CHECK = Check(
    name="turns",
    promise="An action became a sample or a skip, or still waits.",
    blind="Whether what a turn waits for will come.",
    run=run,
)
