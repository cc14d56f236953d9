"""`run_processors`: the processors as one Faust worker. What is Faust's own is in faust_app.py.

    actions, next-states, feedback, verdicts, hints ──► TurnStage ──► transitions, samples, skips
    transitions ──► AssessStage ──► verdicts, hints, skips
    samples ──► PackStage ──► batches

Owns the Faust app: group membership, delivery, the tables (faust_app.py) and, by progress.py, the commits.
"""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processors.assess_stage import AssessStage
from processors.config import ProcessorsConfig
from processors.emit import Emitter
from processors.faust_app import INSTANCE, Table, commit, make_app
from processors.lifetime import live
from processors.open_turns import OpenTurns
from processors.pack_stage import PackStage
from processors.ports import HintExtractor, Judge, Renderer
from processors.pump import Pump
from processors.recall import log_of
from processors.turn_stage import READS, TurnStage
from schemas.errors import BrokerUnavailableError, RetryableError
from streams.asking import wait_for_listener
from streams.config import KafkaConfig
from streams.failpoints import failpoint
from streams.producer import EventProducer
from streams.recorded import Recorded, record_of
from streams.topics import SAMPLES, TRANSITIONS, Topic

MAX_SWEEP_S = 10.0
COMMIT_S = 1.0
BROKER_WITHIN_S = 60.0  # at a start: another start costs seconds of imports; a broker that was killed needs half of it
TURN_RECORDS = 100  # turns advanced at once: their emissions are awaited together
_LOGGER = logging.getLogger(__name__)


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

    async def run() -> None:
        await live(_Worker(config, kafka, _Models(judge, extractor, renderer), make_app(kafka, home)), heartbeat)

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
        open_turns = OpenTurns(Table(app, kafka, "open-actions"), Table(app, kafka, "open-turns"))
        self._turns = TurnStage(config, models.renderer, open_turns, emitter)
        assess = AssessStage(models.judge, models.extractor, emitter, log_of(kafka))
        pack = PackStage(config, emitter, log_of(kafka))
        self._pumps = [
            self._pump(Pump(self._turns, TURN_RECORDS), *READS),
            self._pump(Pump(assess, config.judge_batch), TRANSITIONS),
            self._pump(Pump(pack, config.batch_size), SAMPLES),
        ]
        app.on_partitions_revoked.connect(self._on_revoked, weak=False)
        app.on_rebalance_complete.connect(self._on_restored, weak=False)

    async def start(self) -> None:
        """Join the group and restore the tables. Faust gives up at once where no broker is, so one is waited for."""
        await wait_for_listener(str(self._kafka.bootstrap_servers), BROKER_WITHIN_S)
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
            if not offsets:
                continue
            failpoint("processors.before-commit")
            if await commit(self._app, self._kafka, offsets):
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
