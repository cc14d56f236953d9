"""`Archive`: an archive as a reader finds it, and its records in the order in which Kafka had them.

Consumes the manifest and the files that it names; a query may hold on to one state while the archive grows on.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import duckdb
import pyarrow as pa

from schemas.errors import RejectedError
from streams.archive.files import file_schema, has_todays_columns, records_of
from streams.archive.manifest import MANIFEST, Manifest, read_manifest
from streams.archive.sql import add_table, quoted
from streams.archive.views import archived_relations, ready_made_views
from streams.columns import view_name
from streams.erasures import without_erased
from streams.recorded import Recorded
from streams.topics import TOPICS, Topic

_BATCH_ROWS = 2_000
_IN_ORDER = 'ORDER BY "partition", epoch, "offset"'


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive as it was at one moment."""

    folder: Path
    manifest: Manifest

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The archive as it is now; an empty one where none is.

        Raises:  RejectedError: its manifest cannot be used.
        """
        return cls(folder.absolute(), read_manifest(folder))

    @classmethod
    def find(cls, folder: Path) -> Self | None:
        """The archive as it is now; None where none is. Raises: as `read`."""
        return cls.read(folder) if (folder / MANIFEST).exists() else None

    def add_to(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Adds the relations `log.<topic>_archived`.

        Raises:  RejectedError: a file is gone or damaged.
        """
        connection.execute("CREATE SCHEMA IF NOT EXISTS log")
        connection.execute("SET parquet_metadata_cache = true")  # each view reads it again else; no file ever changes
        try:
            older = [topic for topic in TOPICS if not has_todays_columns(self.folder, topic)]
            for topic in older:
                add_table(connection, f"log.{view_name(topic)}_columns", file_schema(topic).empty_table())
            for statement in archived_relations(self.folder, self.manifest, older):
                connection.execute(statement)
        except duckdb.Error as error:
            raise damaged(error) from error

    def ready_made_views(self, tails: Collection[str]) -> Iterator[str]:
        """Their statements, over what is archived and more. Args: as `turns_view`."""
        return ready_made_views(self.folder, self.manifest, tails)

    def rows(self, topics: Sequence[Topic] = TOPICS) -> Iterator[pa.RecordBatch]:
        """Rows in the form of files.py, topic by topic, each partition in the order of its records.

        Raises:  RejectedError: a file is gone or damaged.
        """
        connection = duckdb.connect(":memory:")
        # Words that do not fit into memory stay where the archive is.
        connection.execute(f"SET temp_directory = {quoted(str(self.folder / 'sorting'))}")
        self.add_to(connection)
        for topic in topics:
            try:
                found = connection.sql(f"FROM log.{view_name(topic)}_archived {_IN_ORDER}")
                yield from found.to_arrow_reader(_BATCH_ROWS)
            except duckdb.Error as error:
                raise damaged(error) from error

    def records(self, topics: Sequence[Topic] = TOPICS) -> Iterator[Recorded]:
        """The records, decoded by this release, in the order of `rows`; without what is still to be erased."""
        erasures = self.manifest.erasures()
        for batch in self.rows(topics):
            yield from without_erased(records_of(pa.Table.from_batches([batch])), erasures)


def damaged(error: duckdb.Error) -> RejectedError:
    """What to tell somebody whose archive DuckDB cannot read."""
    reason = " ".join(str(error).split("\n\nLINE ")[0].split())
    return RejectedError(
        f"A file of the archive cannot be read; ask again, or bring it back from a copy of the archive: {reason}"
    )
