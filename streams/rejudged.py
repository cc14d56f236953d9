"""`branch_source`: what a run derived as tables, with `rejudged`, which puts its verdicts beside those of the log.

Consumes the records of both logs; produces what `streams.query.LogQuery` takes. Transitions have the same ids in both,
for they are derived from the same events.
"""

from collections.abc import Callable, Iterable, Sequence

import pyarrow as pa

from streams.columns import view_name
from streams.query import Source
from streams.recorded import Recorded
from streams.tables import FIRST_RECORD, mark_first, tables
from streams.topics import VERDICTS, Topic

REJUDGED = "rejudged"
_WHOSE = ("transition_id", "action_id", "conversation_id", "time")
_SAID = {"event_id": "verdict_id", "score": "score", "judge": "judge", "judge_version": "judge_version"}

Records = Callable[[Sequence[Topic]], Iterable[Recorded]]


def branch_source(log: Records, branch: Records, run: str, topics: Sequence[Topic]) -> Source:
    """Some topics of a branch, and `rejudged`.

    Args:    log: the log that the run was derived from; topics: those whose views the question is about.
    """

    def read() -> dict[str, pa.Table]:
        found, recorded = tables(branch(tuple({*topics, VERDICTS}))), tables(log((VERDICTS,)))
        name = view_name(VERDICTS)
        return {**found, REJUDGED: rejudged(run, old=recorded[name], new=found[name])}

    return read


def rejudged(run: str, *, old: pa.Table, new: pa.Table) -> pa.Table:
    """One row per verdict of the run, with the first recorded one on the same transition; NULL where there is none."""
    said = _of_transitions(new).select([*_WHOSE, *_SAID]).rename_columns([*_WHOSE, *_prefixed("new")])
    before = _of_transitions(old).select(["transition_id", *_SAID]).rename_columns(["transition_id", *_prefixed("old")])
    joined = said.join(before, "transition_id", join_type="left outer")
    names = pa.array([run] * joined.num_rows, pa.string())
    return joined.select([*_WHOSE, *_prefixed("old"), *_prefixed("new")]).add_column(0, "run", names)


def _of_transitions(verdicts: pa.Table) -> pa.Table:
    return verdicts.filter(mark_first(verdicts, "transition_id", FIRST_RECORD))


def _prefixed(prefix: str) -> list[str]:
    return [f"{prefix}_{name}" for name in _SAID.values()]
