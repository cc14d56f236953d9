"""`references`: every event that another one names is in the log.

Offsets are no references, only hints: a restored topic has others. Next states, feedback and what the join says of them
may come before their action, so a missing action is waited for as long as a turn may stay open, and is no failure where
the next state or feedback that names it was rejected.
"""

from collections.abc import Iterator

from infra.audit.check import Check, miss
from infra.audit.facts import Fact
from infra.audit.index import LogIndex
from infra.audit.report import Tally
from schemas import events as e
from streams.topics import TOPIC_OF

Reference = tuple[type[e.Event], str]

_DELETED = "referred-to events that retention or an erasure may have deleted"
_REJECTED = "unknown actions of rejected next states and feedback"
_AWAITED = "actions that a next state or feedback names and that may still come"


def run(log: LogIndex, tally: Tally) -> None:
    """Look up every id that an event names."""
    for fact in log.all_facts:
        for kind, event_id in named_by(fact.event):
            tally.num_checked += 1
            if event_id not in log.of(kind):
                _report(fact, kind, event_id, log, tally)


def named_by(event: e.Event) -> Iterator[Reference]:
    """The events that one names, by type and id."""
    match event:
        case e.ActionTaken():
            yield from ((e.ActionTaken, each) for each in (event.base_action_id, event.parent_action_id) if each)
        case e.NextStateObserved() | e.FeedbackGiven() | e.TurnSkipped():
            yield e.ActionTaken, event.action_id
        case e.TransitionJoined():
            yield from ((e.ActionTaken, event.action_id), (e.NextStateObserved, event.next_state_id))
        case e.VerdictReached() | e.HintExtracted():
            yield from ((e.ActionTaken, event.action_id), (e.TransitionJoined, event.transition_id))
        case e.SampleBuilt():
            yield from ((e.ActionTaken, event.action_id), (e.TransitionJoined, event.transition_id))
            if event.verdict_id:  # nobody judged a turn that nothing followed but a thumb
                yield from ((e.VerdictReached, event.verdict_id), (e.HintExtracted, event.hint_id))
            if event.feedback_id is not None:
                yield e.FeedbackGiven, event.feedback_id
        case e.ActionTrained():
            yield from ((e.ActionTaken, event.action_id), (e.SampleBuilt, event.sample_id))
        case e.BatchSealed() | e.CheckpointPublished():
            yield from ((e.ActionTaken, each) for each in event.action_ids)
            yield from ((e.SampleBuilt, each) for each in event.sample_ids)
            if isinstance(event, e.CheckpointPublished):
                yield from ((e.BatchSealed, each) for each in event.batch_ids)
        case e.PolicyLoaded(checkpoint_id=""):  # the base model, which no checkpoint holds
            pass
        case e.PolicyLoaded() | e.PolicyPromoted() | e.PolicyRefused():
            yield e.CheckpointPublished, event.checkpoint_id


def _report(fact: Fact[e.Event], kind: type[e.Event], event_id: str, log: LogIndex, tally: Tally) -> None:
    event, line, topic = fact.event, fact.line, TOPIC_OF[kind]
    key = topic.key(event) or None  # both are about one conversation and policy; a batch is about no conversation
    if log.horizon.may_have_lost(topic, line.timestamp_ms - log.max_open_age_ms, key):
        tally.hidden[_DELETED] += 1
    elif kind is e.ActionTaken and _may_come(fact, event_id, log):
        tally.hidden[_AWAITED] += 1
    elif kind is e.ActionTaken and _is_said_to_be_unknown(event_id, log):
        tally.counted[_REJECTED] += 1
    else:
        miss(line, f"{type(event).__name__} names {kind.__name__} {event_id}, which is nowhere in the log.", log, tally)


def _is_said_to_be_unknown(action_id: str, log: LogIndex) -> bool:
    said = (*log.about(e.NextStateObserved, action_id), *log.about(e.FeedbackGiven, action_id))
    return any(log.is_rejected(one.line) for one in said)


def _may_come(fact: Fact[e.Event], action_id: str, log: LogIndex) -> bool:
    """Whether this was said without having the action, which nobody has had either."""
    match fact.event:
        case e.NextStateObserved() | e.FeedbackGiven() | e.TurnSkipped(stage="join", reason="branch" | "ambiguous"):
            return log.is_open(fact.line) and not log.about(e.TransitionJoined, action_id)
        case _:
            return False


CHECK = Check(
    name="references",
    promise="Whatever an event names is in the log.",
    blind="Events that nothing names. Places named by rejections and batches: they are only hints.",
    run=run,
)
