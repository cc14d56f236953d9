"""`turns_view`: the view `turns`, from rows that were written ahead and those that are others by now.

`turns` joins eleven topics; in a long log that takes seconds, and nearly all was joined the same way before. So an
archive holds its rows up to some positions (the manifest's `summary`, which summary.py writes). What came later names
the actions whose rows may have changed: those are joined afresh, once, when the views are made, which show one state of
the log anyway; all others are read. Consumes a manifest, produces SQL; runs none.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from schemas.identity import DIGEST_CHARS
from streams.archive.manifest import Manifest, Position, Summary
from streams.archive.sql import parquet, ready_made
from streams.columns import view_name
from streams.topics import TOPICS

_Positions = Mapping[tuple[str, int], Position]

# The actions that records say something of, by view. An outcome does of its episode's.
_ACTIONS = {
    "actions": "SELECT event_id AS action_id FROM {records}",
    "next_states": "SELECT action_id FROM {records}",
    "feedback": "SELECT action_id FROM {records}",
    "transitions": "SELECT action_id FROM {records}",
    "verdicts": "SELECT action_id FROM {records}",
    "hints": "SELECT action_id FROM {records}",
    "samples": "SELECT action_id FROM {records}",
    "skips": "SELECT action_id FROM {records}",
    "trained": "SELECT action_id FROM {records}",
    "batches": "SELECT unnest(action_ids) FROM {records}",
    "checkpoints": "SELECT unnest(action_ids) FROM {records}",
    "outcomes": "SELECT event_id FROM actions WHERE episode_id IN "
    "(SELECT coalesce(episode_id, conversation_id) FROM {records})",
}
_TOUCHED = "SET VARIABLE touched = (SELECT coalesce(list(DISTINCT action_id), []) FROM ({said}) WHERE action_id != '');"
_WITHOUT_SUMMARY = "CREATE OR REPLACE VIEW turns AS FROM turns_of(NULL);"
_WITH_SUMMARY = """\
CREATE OR REPLACE TABLE log.turns_since AS FROM turns_of(getvariable('touched'));
CREATE OR REPLACE VIEW turns AS
FROM {summary} WHERE action_id NOT IN (SELECT action_id FROM log.turns_since)
UNION ALL
FROM log.turns_since;"""


def turns_view(folder: Path | None, manifest: Manifest, tails: Collection[str] = ()) -> Iterator[str]:
    """The view; after those of topics, and after the macro `turns_of`.

    Args:    folder: of the archive, absolute; None: there is none. tails: the views of topics of which
             `log.<view>_tail` has records that are not archived.
    """
    summary = summary_of(manifest)
    if folder is None or summary is None or not summary.files:
        yield _WITHOUT_SUMMARY
        return
    said = ["SELECT NULL::VARCHAR AS action_id", *_said_since(folder, manifest, summary)]
    said += [_ACTIONS[view].format(records=f"log.{view}_tail") for view in tails if view in _ACTIONS]
    yield _TOUCHED.format(said=" UNION ALL ".join(said))
    yield _WITH_SUMMARY.format(summary=parquet(folder, (file.path for file in summary.files)))


def summary_of(manifest: Manifest) -> Summary | None:
    """What was written ahead, where it is this release's `turns`."""
    return manifest.summary if manifest.summary is not None and manifest.summary.made_by == made_by() else None


def made_by() -> str:
    """Tells the rows of this release's `turns` from another's."""
    return hashlib.sha256(ready_made("turns").encode()).hexdigest()[:DIGEST_CHARS]


def num_since(manifest: Manifest) -> int:
    """How many offsets the archive is ahead of its summary."""
    known = _known(summary_of(manifest))
    return sum(at.offset - _offset_before(at, known) for at in manifest.positions)


def _said_since(folder: Path, manifest: Manifest, summary: Summary) -> Iterator[str]:
    known = _known(summary)
    for topic in TOPICS:
        now = {at.partition: at for at in manifest.positions if at.topic == topic.name}
        paths = [
            file.path
            for file in manifest.of_topic(topic.name)
            if any(span.last >= _offset_before(now[span.partition], known) for span in file.spans)
        ]
        if paths and view_name(topic) in _ACTIONS:
            past = [at for (name, _), at in known.items() if name == topic.name]
            records = f"(SELECT * FROM {parquet(folder, paths)} WHERE {_is_after(past)})"
            yield _ACTIONS[view_name(topic)].format(records=records)


def _known(summary: Summary | None) -> _Positions:
    return {} if summary is None else {(at.topic, at.partition): at for at in summary.positions}


def _offset_before(at: Position, known: _Positions) -> int:
    """From which offset on the summary has not read a partition; all of it where its offsets began anew since."""
    past = known.get((at.topic, at.partition))
    return 0 if past is None or past.epoch != at.epoch else past.offset


def _is_after(past: Collection[Position]) -> str:
    known = ", ".join(str(at.partition) for at in past) or "-1"
    later = (
        f'("partition" = {at.partition} AND (epoch > {at.epoch} OR (epoch = {at.epoch} AND "offset" >= {at.offset})))'
        for at in past
    )
    return " OR ".join([f'"partition" NOT IN ({known})', *later])
