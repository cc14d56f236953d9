"""`bench_replaying`: how fast history is replayed, beside how fast the live processors let the same turns through.

    actions, next-states ──► Kafka ──► live processors (Faust) ──► transitions ... batches ──► Kafka
                               └────────────────── `nextstate replay` ◄───────────────────────────┘

Measured, in turns per second, in rounds of both. Live: from the first record handed to Kafka to the time stamp of the
last sample or skip; the processors are up and have joined their group by then, and judge and hint extractor answer at
once (free_processors.py). Replay: the whole job (infra/replay/job.py) with the recorded judgements over what the live
processors have just written: it reads the broker, derives everything again and compares it byte for byte. Every turn
has a next state. Not measured: judges, which usually take longer than all the rest.
"""

import math
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from infra.bench.live import Live
from infra.bench.log import free_processors
from infra.bench.log.history import Pattern, Written
from infra.components import ENVIRONMENT
from infra.handover import hand_over
from infra.home import Home
from infra.kafka.running import running_broker
from infra.process import Process
from infra.replay.job import replay_log
from infra.replay.slice import Selection
from infra.settings import Settings
from schemas.clock import now_ms
from schemas.events import ActionTaken, NextStateObserved, SampleBuilt, TurnSkipped
from streams.admin import create_topics
from streams.config import KafkaConfig
from streams.consumer import read_all
from streams.loading import Loader
from streams.recorded import Recorded
from streams.topics import ACTIONS, BY_NAME, SAMPLES, SKIPS

ROUNDS = 2
_PATIENCE_S = 600.0  # for all turns of a round
_POLL_S = 1.0  # each look reads what is there: seldom enough to take nothing from the processors
_PATIENT = {"next_state_timeout_s": 1e9, "max_open_age_s": 1e9}  # history is old: nothing of it has ended for that


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayingTable:
    """Both ways; seconds [rounds], rates of the median round. `ratio`: replay's rate over the live one."""

    num_turns: int
    num_samples: int
    live_seconds: tuple[float, ...]
    replay_seconds: tuple[float, ...]
    live_turns_per_s: float
    replay_turns_per_s: float
    ratio: float
    is_identical: bool  # what every replay derived is what the live processors had written, byte for byte


def bench_replaying(
    records: Iterable[Recorded],
    num_turns: int,
    settings: Settings,
    *,
    jars: tuple[Path, ...],
    folder: Path,
    report: Callable[[str], None],
) -> ReplayingTable:
    """Lets turns like the recorded ones through the live processors, then replays what they wrote.

    Args:    records: a log with answered turns, which are repeated as later history; num_turns: at least, as whole
             copies of the log are written; settings: `engine.model_path` names the policy's model; jars: Kafka's class
             path (infra/kafka/jars.py); folder: for broker and processors, empty; report: told about progress.
    Raises:  RejectedError: no turn of the log was answered; FatalError: the processors stopped, or do not get on.
    """
    written = _history(Pattern.of(_answered(records)), num_turns)
    with running_broker(jars, folder / "broker", folder / "kafka.log") as broker:
        rounds = []
        for number in range(ROUNDS):
            kafka = broker.model_copy(update={"topic_prefix": f"round-{number}."})
            rounds.append(_round(_settings(settings, kafka, folder / f"round-{number}"), written))
            took = f"live in {rounds[-1].live_s:.1f} s, replayed in {rounds[-1].replay_s:.1f} s"
            report(f"Round {number + 1} of {ROUNDS}: {took}")
    num_written = _num_turns(written)
    live_s, replay_s = [one.live_s for one in rounds], [one.replay_s for one in rounds]
    live_rate, replay_rate = (num_written / statistics.median(seconds) for seconds in (live_s, replay_s))
    return ReplayingTable(
        num_turns=num_written,
        num_samples=rounds[-1].num_samples,
        live_seconds=tuple(live_s),
        replay_seconds=tuple(replay_s),
        live_turns_per_s=live_rate,
        replay_turns_per_s=replay_rate,
        ratio=replay_rate / live_rate,
        is_identical=all(one.is_identical for one in rounds),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    live_s: float
    replay_s: float
    num_samples: int
    is_identical: bool


def _round(settings: Settings, written: Sequence[Written]) -> _Round:
    kafka = settings.kafka
    create_topics(kafka)
    with _processors(settings) as live:
        live_s, num_samples = _let_through(kafka, written, live)
    started_s = time.perf_counter()
    replayed = replay_log(
        partial(read_all, kafka), settings, Selection(), is_fresh=False, out=None, tell=lambda _: None
    )
    return _Round(
        live_s=live_s,
        replay_s=time.perf_counter() - started_s,
        num_samples=num_samples,
        is_identical=replayed.outcome.is_identical,
    )


def _num_turns(written: Iterable[Written]) -> int:
    return sum(one.topic == ACTIONS.name for one in written)


def _answered(records: Iterable[Recorded]) -> list[Recorded]:
    """Actions that something followed, and what did; whatever a turn builds on was answered by it."""
    said = [record for record in records if isinstance(record.event, ActionTaken | NextStateObserved)]
    answered = {record.event.action_id for record in said if isinstance(record.event, NextStateObserved)}
    return [one for one in said if not isinstance(one.event, ActionTaken) or one.event.id in answered]


def _history(pattern: Pattern, num_turns: int) -> list[Written]:
    num_copies = math.ceil(num_turns / pattern.mix()[ACTIONS.name])
    first_ms = now_ms() - num_copies * pattern.span_ms
    return [written for number in range(num_copies) for written in pattern.copy(number, first_ms)]


def _settings(settings: Settings, kafka: KafkaConfig, home: Path) -> Settings:
    patient = settings.processors.model_copy(update=_PATIENT)
    return settings.model_copy(update={"kafka": kafka, "home": home, "processors": patient})


@contextmanager
def _processors(settings: Settings) -> Iterator[Live]:
    """The processors, up and ready for the first record."""
    home = Home(settings.home)
    heartbeat, log_file = home.heartbeats / "processors", home.logs / "processors.log"
    heartbeat.parent.mkdir(parents=True)
    hand_over(settings, home.settings_file)
    command = [sys.executable, "-m", free_processors.__name__, str(home.settings_file), str(heartbeat)]
    process = Process.start("processors", command, log_file, ENVIRONMENT)
    live = Live(process, log_file)
    try:
        live.wait_for(heartbeat.exists, _PATIENCE_S, _POLL_S)
        yield live
    finally:
        process.stop()


class _Watch:
    """What has become of the turns; each look reads on where the last one ended."""

    def __init__(self, kafka: KafkaConfig) -> None:
        self._kafka = kafka
        self._after: dict[tuple[str, int], int] = {}
        self.samples: set[str] = set()  # action ids
        self.skipped: set[str] = set()
        self.newest_ms = 0

    def num_done(self) -> int:
        """How many turns are a sample or a skip by now."""
        for record in read_all(self._kafka, (SAMPLES, SKIPS), after=self._after):
            self._after[record.topic, record.partition] = record.offset + 1
            self.newest_ms = max(self.newest_ms, record.timestamp_ms)
            match record.event:
                case SampleBuilt(action_id=action_id):
                    self.samples.add(action_id)
                case TurnSkipped(action_id=action_id):
                    self.skipped.add(action_id)
        return len(self.samples | self.skipped)


def _let_through(kafka: KafkaConfig, written: Sequence[Written], live: Live) -> tuple[float, int]:
    """Seconds that the live processors took, and how many samples they made."""
    loader, watch, started_ms = Loader(kafka), _Watch(kafka), now_ms()
    for one in written:
        loader.load(BY_NAME[one.topic], one.encoded, now_ms())
    loader.finish()
    live.wait_for(lambda: watch.num_done() >= _num_turns(written), _PATIENCE_S, _POLL_S)
    return (watch.newest_ms - started_ms) / 1000, len(watch.samples)
