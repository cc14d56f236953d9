"""`make_app`: the Faust app of the processors, with what Faust 0.15 gets wrong put right. Nothing else knows Faust.

Consumes `[kafka]`; produces the app whose agents app.py starts, and its tables. Four things are not left to Faust, for
it can lose records by them: it clears its queues when it resumes, also of what is delivered already (`FlowControl`); a
partition without a committed offset goes on behind what was fetched and thrown away while partitions were assigned
(`Consumer`); a change to a table is visible before its changelog has it (`Table.put` waits for the broker first; a
start restores the copy in memory); and its commits may pass unfinished records (`commit`: progress.py decides).
"""

import asyncio
import functools
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import faust
from faust.transport.drivers import aiokafka
from faust.types import TP
from mode.utils.queues import FlowControlEvent

from processors.forgiving_records import forgive_header_names
from processors.login import mechanism_of, tls_of
from processors.progress import Partition
from schemas.errors import BrokerUnavailableError, SettingsError
from streams.config import KafkaConfig
from streams.failpoints import failpoint
from streams.topics import CONVERSATION_PARTITIONS, MAX_RECORD_BYTES

INSTANCE = "processors"
MAX_ROW_BYTES = 2 * MAX_RECORD_BYTES  # a row of a table holds a record of the largest size and a little more
# A topic whose stage is behind stops being fetched when its buffer is four fifths full, each of its partitions at its
# next record. What is fetched by then must fit into the last fifth: one consumer reads all topics, and where it has to
# wait for one buffer, a slow judge holds up the join. So a fetch brings few records: (1 - 4/5) * 512 >= 4 * 25.
BUFFER_RECORDS = 512
POLL_RECORDS = 25

_LOG_LEVELS = {
    "faust": logging.ERROR,  # below that, tables of partitions over many lines
    "mode": logging.ERROR,
    "aiokafka": logging.CRITICAL,  # ten errors a second while a broker restarts, which it then gets over
}
_CHANGELOG = {
    "max.message.bytes": str(MAX_ROW_BYTES),
    "segment.bytes": str(64 * 1024 * 1024),  # only closed segments are compacted, and a start reads all that is left
    "min.cleanable.dirty.ratio": "0.2",
}


def make_app(kafka: KafkaConfig, home: Path) -> Any:
    """The app, without agents.

    Args:    home: folder for Faust's files.
    Raises:  SettingsError: no broker is named, or its certificates cannot be read.
    """
    forgive_header_names()
    for name, level in _LOG_LEVELS.items():
        logging.getLogger(name).setLevel(level)
    if kafka.bootstrap_servers is None:
        raise SettingsError("Setting kafka.bootstrap_servers is empty; name a broker, or let `nextstate up` start one.")
    folder = home / "faust"
    folder.mkdir(parents=True, exist_ok=True)
    app = _App(
        kafka.topic(INSTANCE),
        broker=[f"kafka://{server.strip()}" for server in kafka.bootstrap_servers.split(",")],
        broker_credentials=_credentials(kafka.client),
        store="memory://",
        datadir=str(folder),
        processing_guarantee="at_least_once",  # Faust's exactly_once is not; ids make repeats harmless
        topic_partitions=CONVERSATION_PARTITIONS,
        topic_replication_factor=kafka.replication_factor,
        topic_disable_leader=True,
        broker_session_timeout=10.0,  # a killed worker's partitions stand still this long
        broker_heartbeat_interval=2.0,
        consumer_max_fetch_size=MAX_ROW_BYTES,
        producer_max_request_size=MAX_ROW_BYTES,
        producer_compression_type="zstd",
        stream_buffer_maxsize=BUFFER_RECORDS,
        broker_max_poll_records=POLL_RECORDS,
        stream_wait_empty=False,  # what a stage still holds is read again; waiting for it would never end
        stream_processing_timeout=86_400.0,  # only logs; a slow judge is no fault
        web_enabled=False,
    )
    app.in_worker = True
    app.finalize()
    return app


async def commit(app: Any, kafka: KafkaConfig, offsets: Mapping[Partition, int]) -> bool:
    """Tell Kafka where to resume; False: partitions have moved meanwhile.

    Args:    offsets: by topic without prefix, and partition.
    """
    places = {TP(kafka.topic(topic), number): offset for (topic, number), offset in offsets.items()}
    is_done: bool = await app.consumer._commit(places)  # noqa: SLF001 - Faust has no other way
    return is_done


class FlowControl(FlowControlEvent):
    """Queues are cleared when the flow begins again, not when it is told to while it flows."""

    def resume(self) -> None:
        """Nothing, while it flows."""
        if not self.is_active():
            super().resume()


class Consumer(aiokafka.Consumer):  # type: ignore[misc]
    """Resumes at the first record that is not committed, also where none is."""

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seeks every partition, and returns the committed offset of each."""
        committed: Mapping[TP, int] = await super().seek_to_committed()
        changelogs = self.app.tables.changelog_topics
        bare = [place for place, offset in committed.items() if not offset and place.topic not in changelogs]
        if bare:
            await self._thread.seek_to_beginning(*bare)
        return committed


class _App(faust.App):  # type: ignore[misc]
    @functools.cached_property
    def flow_control(self) -> FlowControlEvent:
        return FlowControl(loop=self.loop)

    def _new_transport(self) -> Any:
        transport = super()._new_transport()
        transport.Consumer = Consumer
        return transport


class Table:
    """A Faust table of raw bytes as an `open_turns.Table`."""

    def __init__(self, app: Any, kafka: KafkaConfig, name: str) -> None:
        self._table = app.Table(
            name,
            partitions=CONVERSATION_PARTITIONS,
            key_type=bytes,
            value_type=bytes,
            extra_topic_configs=_CHANGELOG | kafka.copying,
        )

    def get(self, key: str) -> bytes | None:
        """A row; None: there is none."""
        value: bytes | None = self._table.data.get(key.encode())
        return value

    def items(self) -> Iterable[tuple[str, bytes]]:
        """All rows."""
        return [(key.decode(), value) for key, value in self._table.data.items()]

    async def put(self, partition: int, key: str, value: bytes | None) -> None:
        """Change a row. Args: value: None: it goes. Raises: BrokerUnavailableError: the changelog did not take it."""
        raw = key.encode()
        sent = self._table.send_changelog(partition, raw, value, value_serializer="raw")
        try:
            await asyncio.shield(sent)  # at a stop Faust still waits for it: a cancelled one would never come
        except Exception as error:
            message = f"Kafka did not take a row of the processors' tables: {type(error).__name__}: {error}"
            raise BrokerUnavailableError(message) from error
        failpoint("processors.table-written")
        if value is None:
            self._table.data.pop(raw, None)
        else:
            self._table.data[raw] = value


def _credentials(client: dict[str, str]) -> Any:
    """Faust's form of librdkafka's security settings; None for a plain broker."""
    context, mechanism = tls_of(client), mechanism_of(client)
    if mechanism is not None:
        return faust.SASLCredentials(
            username=client.get("sasl.username"),
            password=client.get("sasl.password"),
            mechanism=mechanism,
            ssl_context=context,
        )
    return None if context is None else faust.SSLCredentials(context)
