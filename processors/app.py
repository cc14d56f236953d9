"""`run_processors`: the processors as one Faust worker. The only file that knows Faust.

    actions, next-states, feedback, verdicts, hints ──► TurnStage ──► transitions, samples, skips
    transitions ──► AssessStage ──► verdicts, hints, skips
    samples ──► PackStage ──► batches

Owns the Faust app: group membership, delivery, the two tables with their changelogs. Three things are not left to
Faust 0.15, which can lose records by them: it clears its queues when it resumes, also of what is delivered already
(`_FlowControl`); its commits may pass unfinished records (progress.py decides instead); and a change to a table is
visible before its changelog has it (`_Table.put` waits for the broker first; a start restores the copy in memory).
"""

import asyncio
import functools
import logging
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faust
from faust.types import TP
from mode.utils.queues import FlowControlEvent

from processors.assess_stage import AssessStage
from processors.config import ProcessorsConfig
from processors.emit import Emitter
from processors.lifetime import live
from processors.login import mechanism_of, tls_of
from processors.open_turns import OpenTurns
from processors.pack_stage import PackStage
from processors.ports import HintExtractor, Judge, Renderer
from processors.pump import Pump
from processors.recall import log_of
from processors.turn_stage import READS, TurnStage
from schemas.errors import BrokerUnavailableError, RetryableError, SettingsError
from streams.config import KafkaConfig
from streams.failpoints import failpoint
from streams.producer import EventProducer
from streams.recorded import Recorded, record_of
from streams.topics import CONVERSATION_PARTITIONS, MAX_RECORD_BYTES, SAMPLES, TRANSITIONS, Topic

INSTANCE = "processors"
MAX_SWEEP_S = 10.0
COMMIT_S = 1.0
MAX_ROW_BYTES = 2 * MAX_RECORD_BYTES  # a row of a table holds a record of the largest size and a little more
# A topic whose stage is behind stops being fetched when its buffer is four fifths full, each of its partitions at its
# next record. What is fetched by then must fit into the last fifth: one consumer reads all topics, and where it has to
# wait for one buffer, a slow judge holds up the join. So a fetch brings few records: (1 - 4/5) * 512 >= 4 * 25.
BUFFER_RECORDS = 512
POLL_RECORDS = 25
TURN_RECORDS = 100  # turns advanced at once: their emissions are awaited together
_LOGGER = logging.getLogger(__name__)

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


def run_processors(  # noqa: PLR0917 - one component, all its needs
    config: ProcessorsConfig,
    kafka: KafkaConfig,
    judge: Judge,
    extractor: HintExtractor,
    renderer: Renderer,
    home: Path,
    heartbeat: Path,
) -> None:
    """Run the worker in this process until SIGTERM or SIGINT; blocking.

    Args:    home: folder for Faust's files; heartbeat: touched every second while the worker runs.
    Raises:  RetryableError: the broker is away, or Faust has stopped; start again. FatalError: a setting or topic.
    """
    for name, level in _LOG_LEVELS.items():
        logging.getLogger(name).setLevel(level)

    async def run() -> None:
        await live(_Worker(config, kafka, _Models(judge, extractor, renderer), _app(kafka, home)), heartbeat)

    asyncio.run(run())


@dataclass(frozen=True, slots=True)
class _Models:
    judge: Judge
    extractor: HintExtractor
    renderer: Renderer


class _Worker:
    """The Faust app with its three pumps (a `lifetime.Service`); made inside the running loop."""

    def __init__(self, config: ProcessorsConfig, kafka: KafkaConfig, models: _Models, app: Any) -> None:
        self._config = config
        self._kafka = kafka
        self._app = app
        self._producer = EventProducer(kafka, INSTANCE)
        emitter = Emitter(self._producer, INSTANCE)
        open_turns = OpenTurns(_Table(app, kafka, "open-actions"), _Table(app, kafka, "open-turns"))
        self._turns = TurnStage(config, models.renderer, open_turns, emitter)
        assess = AssessStage(config, models.judge, models.extractor, emitter, log_of(kafka))
        pack = PackStage(config, emitter, log_of(kafka))
        self._pumps = [
            self._pump(Pump(self._turns, TURN_RECORDS), *READS),
            self._pump(Pump(assess, config.judge_batch), TRANSITIONS),
            self._pump(Pump(pack, config.batch_size), SAMPLES),
        ]
        app.on_partitions_revoked.connect(self._on_revoked, weak=False)
        app.on_rebalance_complete.connect(self._on_restored, weak=False)

    async def start(self) -> None:
        """Join the group and restore the tables."""
        try:
            await self._app.start()
        except Exception as error:
            message = (
                f"The processors could not start on Kafka ({error}); see [kafka]: is the broker up, may we log in?"
            )
            raise BrokerUnavailableError(message) from error

    def parts(self) -> Sequence[Coroutine[Any, Any, None]]:
        """Pumps, commits, sweeper, and the watch on Faust."""
        return [*(pump.run() for pump in self._pumps), self._commit_often(), self._sweep(), self._watch()]

    async def stop(self) -> None:
        """Commit what is done and leave the group."""
        try:
            await self._commit()
        except Exception as error:  # then those records are read again
            _LOGGER.warning("could not commit at the stop: %s: %s", type(error).__name__, error)
        await self._app.stop()
        await self._producer.close()

    async def _commit_often(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_S)
            await self._commit()

    async def _commit(self) -> None:
        for pump in self._pumps:
            offsets = pump.progress.committable()
            places = {TP(self._kafka.topic(topic), number): offset for (topic, number), offset in offsets.items()}
            if not places:
                continue
            failpoint("processors.before-commit")
            if await self._app.consumer._commit(places):  # noqa: SLF001 - Faust has no other way
                pump.progress.committed(offsets)

    async def _sweep(self) -> None:
        interval_s = min(MAX_SWEEP_S, self._config.next_state_timeout_s / 4)
        while True:
            await asyncio.sleep(interval_s)
            await self._turns.end_overdue()

    async def _watch(self) -> None:
        await self._app.wait_until_stopped()
        message = f"Faust has stopped by itself ({self._app.crash_reason!r}); the processors start again."
        raise RetryableError(message)

    def _pump(self, pump: Pump, *topics: Topic) -> Pump:
        names = [self._kafka.topic(topic.name) for topic in topics]
        channel = self._app.topic(*names, key_serializer="raw", value_serializer="raw", acks=False)

        async def deliver(stream: Any) -> None:
            async for event in stream.events():
                await pump.put(self._record(event.message))

        self._app.agent(channel, name=topics[0].name)(deliver)
        return pump

    def _record(self, message: Any) -> Recorded:
        return record_of(
            self._kafka,
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            timestamp_ms=round(message.timestamp * 1000),
            headers=message.headers,
            key=message.key,
            value=message.value,
        )

    async def _on_revoked(self, *_: Any, **__: Any) -> None:
        for pump in self._pumps:
            pump.partitions_moved()

    async def _on_restored(self, *_: Any, **__: Any) -> None:
        self._turns.reset()


class _FlowControl(FlowControlEvent):
    """Queues are cleared when the flow begins again, not when it is told to while it flows."""

    def resume(self) -> None:
        if not self.is_active():
            super().resume()


class _App(faust.App):  # type: ignore[misc]
    @functools.cached_property
    def flow_control(self) -> FlowControlEvent:
        return _FlowControl(loop=self.loop)


class _Table:
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
        value: bytes | None = self._table.data.get(key.encode())
        return value

    def items(self) -> Iterable[tuple[str, bytes]]:
        return [(key.decode(), value) for key, value in self._table.data.items()]

    async def put(self, partition: int, key: str, value: bytes | None) -> None:
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


def _app(kafka: KafkaConfig, home: Path) -> Any:
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
