"""`versions`: the versions of a policy grow one by one, each from a parent that exists, and only they act and serve.

Version 0 is the base model, which no checkpoint holds. A rollback is a new version, too, with the weights of an older
one. What the gate refused never serves.
"""

from collections import defaultdict
from collections.abc import Set

from infra.audit.check import Check, miss
from infra.audit.facts import Fact
from infra.audit.index import LogIndex
from infra.audit.report import Tally
from schemas.events import (
    ActionTaken,
    CheckpointPublished,
    PolicyLoaded,
    PolicyPromoted,
    PolicyRefused,
    PolicyRolledBack,
)
from streams.topics import CHECKPOINTS, CURRENT_POLICIES
from streams.version_line import VersionLine

_BASE = 0


def run(log: LogIndex, tally: Tally) -> None:
    """The line of versions of each policy, then who names one."""
    versions: defaultdict[str, set[int]] = defaultdict(lambda: {_BASE})
    for rollback in log.of(PolicyRolledBack).values():
        tally.num_checked += 1
        versions[rollback.event.policy].add(rollback.event.version)
    newest: dict[str, Fact[CheckpointPublished]] = {}
    published = sorted(log.of(CheckpointPublished, CHECKPOINTS).values(), key=lambda one: one.line[:3])
    for checkpoint in published:
        tally.num_checked += 1
        policy = checkpoint.event.policy
        _check_next(checkpoint, newest.get(policy), versions[policy], tally)
        versions[policy].add(checkpoint.event.version)
        newest[policy] = checkpoint
    for rollback in log.of(PolicyRolledBack).values():
        to_version = rollback.event.to_version
        if to_version not in versions[rollback.event.policy] or to_version >= rollback.event.version:
            miss(rollback.line, f"It goes back to version {to_version}, which is none of those before it.", log, tally)
    _check_current(log, newest, tally)
    _check_named(log, versions, tally)
    _check_loaded(log, tally)


def _check_next(
    checkpoint: Fact[CheckpointPublished], before: Fact[CheckpointPublished] | None, known: Set[int], tally: Tally
) -> None:
    event = checkpoint.event
    if before is not None and event.version <= before.event.version:
        tally.fail(checkpoint.line, f"Version {event.version} comes after {before.event.version}; versions only grow.")
    elif event.version - 1 not in known:
        tally.fail(checkpoint.line, f"Version {event.version} has none before it: {event.version - 1} is missing.")
    if event.parent_version not in known or event.parent_version >= event.version:
        tally.fail(checkpoint.line, f"Its parent, version {event.parent_version}, is none of the versions before it.")


def _check_current(log: LogIndex, newest: dict[str, Fact[CheckpointPublished]], tally: Tally) -> None:
    """`current-policies` repeats checkpoints, and holds at least the newest of each policy."""
    current = log.of(CheckpointPublished, CURRENT_POLICIES)
    for event_id, fact in current.items():
        tally.num_checked += 1
        published = log.of(CheckpointPublished, CHECKPOINTS).get(event_id)
        if published is None:
            miss(fact.line, f"Checkpoint {event_id} is not in `checkpoints`.", log, tally)
        elif published.content != fact.content:
            tally.fail(fact.line, f"Checkpoint {event_id} says something else in `checkpoints`.")
    for fact in newest.values():
        if fact.event.id not in current:
            miss(fact.line, f"The newest version of {fact.event.policy} is not in `current-policies`.", log, tally)


def _check_named(log: LogIndex, versions: defaultdict[str, set[int]], tally: Tally) -> None:
    for action in log.of(ActionTaken).values():
        for span in action.event.token_versions:
            tally.num_checked += 1
            if span.version not in versions[action.event.policy]:
                what = f"Version {span.version} drew tokens of it, but was never published."
                miss(action.line, what, log, tally)


def _check_loaded(log: LogIndex, tally: Tally) -> None:
    lines: defaultdict[str, VersionLine] = defaultdict(VersionLine)
    for kind in (CheckpointPublished, PolicyPromoted, PolicyRefused, PolicyRolledBack):
        for fact in log.of(kind).values():
            lines[fact.event.policy].note(fact.event)
    for loaded in log.of(PolicyLoaded).values():
        tally.num_checked += 1
        event, line = loaded.event, lines[loaded.event.policy]
        checkpoint = log.of(CheckpointPublished, CHECKPOINTS).get(event.checkpoint_id)
        if checkpoint is not None and checkpoint.event.version != line.origin(event.version):
            tally.fail(loaded.line, f"Its checkpoint is version {checkpoint.event.version}, not {event.version}.")
        if event.version in line.refusals:
            tally.fail(loaded.line, f"The gate had refused version {event.version}.")


CHECK = Check(
    name="versions",
    promise="Versions grow one by one, from parents that exist.",
    blind="The weights behind a version: reloaders check their digests before an engine gets them.",
    run=run,
)
