"""`derivations`: every derived event has the id and the context that its inputs give it (design promise 2).

A recipe says what an id is a digest of: the stage, the version of its code, the ids of the inputs; and whom the event
is about, with the newest of its inputs' times. Written down here once more, apart from the stages: if a stage's recipe
changed unnoticed, this check would say so. The version is whichever fits: a log outlives many.
"""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, NamedTuple

from infra.audit.check import Check, miss
from infra.audit.facts import Fact
from infra.audit.index import LogIndex
from infra.audit.report import Tally
from schemas import events as e
from schemas.context import Context, context_of
from schemas.identity import derived_id
from streams.topics import BATCHES, HINTS, NEXT_STATES, SAMPLES, TRANSITIONS, VERDICTS, Topic

MAX_VERSION = 99  # of a stage's code, so far below 10

_DELETED = "derived events whose inputs retention or an erasure may have deleted"
_UNKNOWN = "events of stages that this release does not know"


class Recipe(NamedTuple):
    """What an id may be a digest of, and what the event copies. `context` None: an input is not in the log."""

    stage: str
    inputs: tuple[str, ...]
    context: Context | None


def run(log: LogIndex, tally: Tally) -> None:
    """Find the recipe of every derived event."""
    for fact in log.all_facts:
        find = _RECIPES.get(type(fact.event))
        if find is None or not _is_derived(fact.event):
            continue
        if getattr(fact.event, "stage", "join") not in _STAGES:
            tally.hidden[_UNKNOWN] += 1
            continue
        tally.num_checked += 1
        recipe = next((each for each in find(fact.event, log) if _gives(each, fact.event.id)), None)
        if recipe is None:
            _report(fact, log, tally)
        elif recipe.context is not None and (wrong := _differing(fact.event, recipe.context)):
            tally.fail(fact.line, f"{type(fact.event).__name__} has another {wrong} than its inputs give it.")


def _is_derived(event: e.Event) -> bool:
    """Next states are recorded, but for the sweeper's."""
    return not isinstance(event, e.NextStateObserved) or event.ended_reason == "timeout"


def _gives(recipe: Recipe, event_id: str) -> bool:
    versions = map(str, range(1, MAX_VERSION + 1))
    return any(derived_id(recipe.stage, version, recipe.inputs) == event_id for version in versions)


def _differing(event: e.Event, expected: Context) -> str:
    own = context_of(event)
    return ", ".join(name for name, value in expected.items() if own.get(name) != value)


def _report(fact: Fact[e.Event], log: LogIndex, tally: Tally) -> None:
    event, since_ms = fact.event, fact.line.timestamp_ms - log.max_open_age_ms
    if any(log.horizon.may_have_lost(topic, since_ms) for topic in _SEARCHED.get(type(event), ())):
        tally.hidden[_DELETED] += 1
    else:
        what = f"{type(event).__name__} {event.id} is not the digest of inputs that are in the log."
        miss(fact.line, what, log, tally)


def _context(about: Fact[Any] | None, *others: Fact[Any] | None) -> Context | None:
    present = [fact.event for fact in (about, *others) if fact is not None]
    return context_of(*present) if len(present) == 1 + len(others) else None


def _ended(event: e.NextStateObserved, _: LogIndex) -> Iterator[Recipe]:
    yield Recipe("sweep", (event.action_id,), None)  # its time depends on a setting


def _transition(event: e.TransitionJoined, log: LogIndex) -> Iterator[Recipe]:
    inputs = log.of(e.ActionTaken).get(event.action_id), log.of(e.NextStateObserved).get(event.next_state_id)
    yield Recipe("join", (event.action_id, event.next_state_id), _context(*inputs))


def _verdict(event: e.VerdictReached, log: LogIndex) -> Iterator[Recipe]:
    transition = log.of(e.TransitionJoined).get(event.transition_id)
    yield Recipe("assess", (event.transition_id, event.judge, event.judge_version), _context(transition))


def _hint(event: e.HintExtracted, log: LogIndex) -> Iterator[Recipe]:
    context = _context(log.of(e.TransitionJoined).get(event.transition_id))
    for verdict in log.about(e.VerdictReached, event.action_id):
        inputs = (event.transition_id, verdict.event.id, event.extractor, event.extractor_version)
        yield Recipe("assess", inputs, context)


def _sample(event: e.SampleBuilt, log: LogIndex) -> Iterator[Recipe]:
    others: list[Fact[Any] | None] = [log.of(e.TransitionJoined).get(event.transition_id)]
    if event.verdict_id:  # nobody judged a turn that nothing followed but a thumb
        others += (log.of(e.VerdictReached).get(event.verdict_id), log.of(e.HintExtracted).get(event.hint_id))
    if event.feedback_id is not None:
        others.append(log.of(e.FeedbackGiven).get(event.feedback_id))
    named = (event.transition_id, event.verdict_id, event.hint_id, event.feedback_id)
    inputs = (event.action_id, *(each for each in named if each))
    yield Recipe("build", inputs, _context(log.of(e.ActionTaken).get(event.action_id), *others))


def _skip(event: e.TurnSkipped, log: LogIndex) -> Iterator[Recipe]:
    """The inputs are not named, so those are tried that the stage may have had."""
    about = event.action_id
    if event.stage == "trainer":
        for sample in log.about(e.SampleBuilt, about):
            for batch in log.batches_of(sample.event.id):
                inputs = ("skip", batch.event.id, sample.event.id, event.reason)
                yield Recipe("trainer", inputs, _trainers_context(sample, batch))
        return
    action = log.of(e.ActionTaken).get(about)
    tried: dict[str, list[tuple[Fact[Any], ...]]] = {
        "join": [*([(action,)] if action else []), *((one,) for one in log.about(e.NextStateObserved, about))],
        "assess": [(one,) for one in log.about(e.TransitionJoined, about)],
        "build": [
            (action, *pair)
            for pair in product(log.about(e.VerdictReached, about), log.about(e.HintExtracted, about))
            if action is not None
        ],
        "pack": [(one,) for one in log.about(e.SampleBuilt, about)],
    }
    for facts in tried.get(event.stage, []):
        yield Recipe(event.stage, ("skip", event.reason, about, *(one.event.id for one in facts)), _context(*facts))


def _batch(event: e.BatchSealed, log: LogIndex) -> Iterator[Recipe]:
    samples = [log.of(e.SampleBuilt).get(sample_id) for sample_id in event.sample_ids]
    newest_ms = max((one.event.time_ms for one in samples if one is not None), default=event.time_ms)
    is_whole = all(one is not None for one in samples)
    own = e.Event(id=event.id, policy=event.policy, time_ms=newest_ms)
    yield Recipe("pack", event.sample_ids, context_of(own) if is_whole else None)


def _checkpoint(event: e.CheckpointPublished, log: LogIndex) -> Iterator[Recipe]:
    for batch_id in event.batch_ids:
        batch = log.of(e.BatchSealed).get(batch_id)
        yield Recipe("trainer", ("checkpoint", batch_id, str(event.version)), _context(batch))


def _trained(event: e.ActionTrained, log: LogIndex) -> Iterator[Recipe]:
    checkpoint = log.checkpoints.get((event.policy, event.version))
    if checkpoint is not None:
        sample = log.of(e.SampleBuilt).get(event.sample_id)
        inputs = ("trained", checkpoint.event.id, event.action_id)
        yield Recipe("trainer", inputs, _trainers_context(sample, checkpoint))


def _trainers_context(sample: Fact[e.SampleBuilt] | None, source: Fact[Any]) -> Context | None:
    """The sample's, at the time and of the policy of what it was trained in."""
    context = _context(sample)
    if context is not None:
        context["time_ms"], context["policy"] = source.event.time_ms, source.event.policy
    return context


def _loaded(event: e.PolicyLoaded, _: LogIndex) -> Iterator[Recipe]:
    of_base = ("base", event.policy, event.engine)
    yield Recipe("reload", ("loaded", event.checkpoint_id, event.engine) if event.checkpoint_id else of_base, None)
    yield Recipe("reload", ("rolled back", event.policy, str(event.version), event.engine), None)


def _rejection(event: e.EventRejected, log: LogIndex) -> Iterator[Recipe]:
    place = (event.topic, str(event.partition), str(event.offset))
    yield Recipe("reject", (event.stage, *place), None)  # a processor's
    yield Recipe("reload", ("reject", *place, event.reason), None)
    yield Recipe("trainer", ("reject", *place), None)
    for batch in log.of(e.BatchSealed).values() if event.topic == BATCHES.name else ():
        if batch.line[:3] == (event.topic, event.partition, event.offset):
            yield from (Recipe("trainer", ("reject", batch.event.id, one), None) for one in batch.event.sample_ids)


_RECIPES: dict[type[e.Event], Callable[[Any, LogIndex], Iterator[Recipe]]] = {
    e.NextStateObserved: _ended,
    e.TransitionJoined: _transition,
    e.VerdictReached: _verdict,
    e.HintExtracted: _hint,
    e.SampleBuilt: _sample,
    e.TurnSkipped: _skip,
    e.BatchSealed: _batch,
    e.CheckpointPublished: _checkpoint,
    e.ActionTrained: _trained,
    e.PolicyLoaded: _loaded,
    e.EventRejected: _rejection,
}
_STAGES = frozenset({"join", "assess", "build", "pack", "emit", "trainer", "reload"})
_SEARCHED: dict[type[e.Event], tuple[Topic, ...]] = {  # where inputs lie that are not named
    e.HintExtracted: (VERDICTS,),
    e.TurnSkipped: (NEXT_STATES, TRANSITIONS, VERDICTS, HINTS, SAMPLES, BATCHES),
    e.EventRejected: (BATCHES,),
}

CHECK = Check(
    name="derivations",
    promise="Ids are digests of inputs; times, subjects are theirs.",
    blind="Whether its content follows from its inputs: `nextstate replay` shows that.",
    run=run,
)
