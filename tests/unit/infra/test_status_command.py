"""What `status` reads from the log."""

from made_log import POLICY, MadeLog

from infra.commands.status import _serving_version
from schemas.events import PolicyLoaded


def loaded(engine: str, version: int) -> PolicyLoaded:
    return PolicyLoaded(
        id=f"{engine}-{version}",
        time_ms=1_800_000_000_000,
        policy=POLICY,
        version=version,
        checkpoint_id=f"c-{version}",
        engine=engine,
        adapter=f"{POLICY}@{version}",
        load_ms=1,
    )


def test_the_version_that_serves_is_the_newest_of_the_newest_engine() -> None:
    log = MadeLog()
    assert _serving_version(log.query(), POLICY) == 0
    for engine, version in (("first", 8), ("first", 9), ("second", 8), ("first", 9)):
        log.put("reloads", loaded(engine, version))
    assert _serving_version(log.query(), POLICY) == 8
