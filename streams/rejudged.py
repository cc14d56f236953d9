"""`branch_source`: the branch of a run as tables, with `rejudged`, which puts its verdicts beside those of the log.

Consumes both logs; produces what `streams.query.LogQuery` takes. Transitions have the same ids in both, for they are
derived from the same events.
"""

from collections.abc import Sequence

import pyarrow as pa

from streams.branches import branch_of
from streams.columns import view_name
from streams.config import KafkaConfig
from streams.consumer import read_all
from streams.query import Source
from streams.tables import Order, split_later, tables
from streams.topics import VERDICTS, Topic

REJUDGED = "rejudged"
_WHOSE = ("transition_id", "action_id", "conversation_id", "time")
_SAID = {"event_id": "verdict_id", "score": "score", "judge": "judge", "judge_version": "judge_version"}
_FIRST: Order = [("partition", "ascending"), ("offset", "ascending")]


def branch_source(log: KafkaConfig, run: str, topics: Sequence[Topic]) -> Source:
    """Some topics of a branch, and `rejudged`.

    Args:    log: the log that the run was derived from; topics: those whose views the question is about.
    """

    def read() -> dict[str, pa.Table]:
        found = tables(read_all(branch_of(log, run), tuple({*topics, VERDICTS})))
        recorded = tables(read_all(log, (VERDICTS,)))
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
    first, _ = split_later(verdicts, "transition_id", _FIRST)
    return first


def _prefixed(prefix: str) -> list[str]:
    return [f"{prefix}_{name}" for name in _SAID.values()]
