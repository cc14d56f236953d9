"""`views_script`: an archive's views as SQL, for `nextstate query` and for plain `duckdb` alike.

Consumes a manifest, produces statements; runs none. The schema `log` holds every record of each topic, the views of
streams/VIEWS.md show what counts of them.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from streams.archive.files import RAW, empty_path
from streams.archive.manifest import COMPLETE, Manifest
from streams.archive.sql import parquet, quoted, ready_made
from streams.archive.turns import turns_view
from streams.columns import shared_columns, view_columns, view_name
from streams.topics import CURRENT_POLICIES, TOPICS, Topic

READY_MADE = ("turns", "learning", "untrained", "lineage")  # each may use those before it
_PLACE = ("topic", "partition", "offset")
_HEAD = """\
-- The views of streams/VIEWS.md over the archive in this folder, as it was when this file was written:
--     duckdb -init {folder}/views.sql
-- or `.read {folder}/views.sql` in an open session; read it again to see what has been archived since. Paths are whole:
-- in a copy of the archive, replace them first.
SET TimeZone = 'UTC';
SET parquet_metadata_cache = true; -- a file never changes under its name
CREATE SCHEMA IF NOT EXISTS log;
"""


def views_script(folder: Path, manifest: Manifest) -> str:
    """All views over an archive alone. Args: folder: absolute."""
    return "\n".join(
        (
            _HEAD.format(folder=folder),
            *archived_relations(folder, manifest),
            *topic_views({view_name(topic): [f"log.{view_name(topic)}_archived"] for topic in TOPICS}),
            raw_view(),
            *age_view(folder),
            *ready_made_views(folder, manifest),
        )
    )


def archived_relations(folder: Path, manifest: Manifest, older: Collection[Topic] = ()) -> Iterator[str]:
    """`log.<topic>_archived`: the rows of a topic's files.

    Args:    older: topics whose files lack columns of this release: `log.<topic>_columns` has them, and no rows.
    """
    for topic in TOPICS:
        name, paths = view_name(topic), [file.path for file in manifest.of_topic(topic.name)]
        if topic not in older:
            rows = f"FROM {parquet(folder, [empty_path(topic), *paths])}"
        else:
            files = [f"FROM {parquet(folder, paths)}"] if paths else []
            rows = " UNION ALL BY NAME ".join([f"FROM log.{name}_columns", *files])
        yield f"CREATE OR REPLACE VIEW log.{name}_archived AS {rows};"


def topic_views(parts: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The views of single topics, then those of records of any topic.

    Args:    parts: by view name, the relations that a topic's records are in; each has columns as streams/tables.py
             makes them, and `is_first`.
    """
    for topic in TOPICS:
        name = view_name(topic)
        names = [*_PLACE, "record_time", "producer", "error", "is_first", *view_columns(topic)]
        columns = ", ".join(f'"{column}"' for column in dict.fromkeys(names))
        union = " UNION ALL ".join(f"SELECT {columns} FROM {relation}" for relation in parts[name])
        yield f"CREATE OR REPLACE VIEW log.{name} AS {union};"
        shown = ", ".join(f'"{column}"' for column in view_columns(topic))
        # The broker compacts in its own time; here only the newest version shows at once.
        newest = (
            ""
            if topic is not CURRENT_POLICIES
            else (' QUALIFY row_number() OVER (PARTITION BY policy ORDER BY version DESC, "partition", "offset") = 1')
        )
        yield f"CREATE OR REPLACE VIEW {name} AS SELECT {shown} FROM log.{name} WHERE is_first{newest};"
    shared = ", ".join(f'"{column}"' for column in shared_columns())
    yield _of_all("duplicates", shared, "error IS NULL AND NOT is_first")
    yield _of_all(
        "undecodable", 'topic, "partition", "offset", record_time AS "time", error AS reason', "error IS NOT NULL"
    )


def raw_view() -> str:
    """`records`: what is archived, as Kafka had it."""
    columns = ", ".join(f'"{name}"' for name in ("epoch", *_PLACE, "record_time", *RAW.names, "error"))
    parts = (f"SELECT {columns} FROM log.{view_name(topic)}_archived" for topic in TOPICS)
    return f"CREATE OR REPLACE VIEW records AS {' UNION ALL '.join(parts)};"


def ready_made_views(folder: Path | None, manifest: Manifest, tails: Collection[str] = ()) -> Iterator[str]:
    """The ready-made views, after those of topics. Arguments as `turns_view`."""
    for name in READY_MADE:
        yield ready_made(name)
        if name == "turns":
            yield from turns_view(folder, manifest, tails)


def _of_all(name: str, columns: str, condition: str) -> str:
    parts = (f"SELECT {columns} FROM log.{view_name(topic)} WHERE {condition}" for topic in TOPICS)
    return f"CREATE OR REPLACE VIEW {name} AS {' UNION ALL '.join(parts)};"


def age_view(folder: Path) -> Iterator[str]:
    """`archive_age`: until when the archive holds all that was said, and how long ago that is; where that is known."""
    if not (folder / COMPLETE).exists():  # a copy of the files that the manifest names, say
        return
    path = quoted(str(folder / COMPLETE))
    yield (
        "CREATE OR REPLACE VIEW archive_age AS SELECT make_timestamptz(complete_ms * 1000) AS complete, "
        f"epoch(now()) - complete_ms / 1000 AS age_seconds FROM read_json({path}, "
        "columns = {complete_ms: 'BIGINT'});"
    )
