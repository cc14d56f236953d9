"""Made-up histories of a policy's versions."""

from schemas.events import CheckpointPublished, Event, PolicyLoaded, PolicyPromoted, PolicyRefused, PolicyRolledBack
from streams.version_line import VersionLine


def published(version: int, parent: int | None = None) -> CheckpointPublished:
    return CheckpointPublished(
        id=f"c{version}",
        time_ms=version,
        policy="p",
        version=version,
        parent_version=version - 1 if parent is None else parent,
        url=f"file:///{version}",
        manifest_digest="m",
        base_model="b",
        objective="o",
        batch_ids=(),
        sample_ids=(),
        action_ids=(),
        metrics={},
    )


def promoted(version: int) -> PolicyPromoted:
    return PolicyPromoted(id=f"y{version}", time_ms=1, policy="p", version=version, checkpoint_id=f"c{version}")


def refused(version: int) -> PolicyRefused:
    return PolicyRefused(
        id=f"n{version}", time_ms=1, policy="p", version=version, checkpoint_id=f"c{version}", reason="worse"
    )


def rolled_back(version: int, to_version: int, policy: str = "p") -> PolicyRolledBack:
    return PolicyRolledBack(
        id=f"b{version}", time_ms=1, policy=policy, version=version, to_version=to_version, reason="asked for"
    )


def loaded(version: int, engine: str = "engine", policy: str = "p") -> PolicyLoaded:
    return PolicyLoaded(
        id=f"l{policy}{engine}{version}",
        time_ms=1,
        policy=policy,
        version=version,
        checkpoint_id=f"c{version}",
        engine=engine,
        adapter=f"{policy}@{version}",
        load_ms=1,
    )


def line_of(*events: Event) -> VersionLine:
    line = VersionLine()
    for event in events:
        line.note(event)
    return line


def line_at(version: int) -> VersionLine:
    """So many versions, each from the one before."""
    return line_of(*(published(number) for number in range(1, version + 1)))
