"""`slow_judge`: thousands of turns before a judge that takes ten seconds for each vote, on a real broker.

    suite ── actions, next-states ──► Kafka ◄──► processors (a process of their own) ──► suite's judge server

The turns are joined at once all the same; the process does not grow by waiting; a stop does not wait for the votes. To
the next process, which finds the backlog there, more turns come, and they are joined at once, too. When the judge is
quick again, every turn becomes a sample or a skip, and was judged once.
"""

import asyncio
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from infra.bench.live import Live
from infra.components import worker
from infra.faults.judges.made import made_turn
from infra.faults.judges.manners import ENDLESS, HONEST, LIES, MANNERS
from infra.faults.judges.reckoning import Reckoning
from infra.faults.judges.server import JudgeServer
from infra.faults.outcome import Outcome, Trial
from infra.handover import hand_over
from infra.home import Home
from infra.kafka.jars import fetch_jars
from infra.kafka.running import running_broker
from infra.prepare import model_folder, runtime_home
from infra.process import Process
from infra.settings import Settings
from processors.recall import log_of
from serving.rendering import ChatRenderer
from streams.config import KafkaConfig
from streams.producer import EventProducer
from streams.topics import ACTIONS, HINTS, NEXT_STATES, SAMPLES, SKIPS, TRANSITIONS, VERDICTS, Topic

VOTE_S = 10.0
_WARM = 50  # turns before the judge gets slow
_TURN_CHARS = 4_000  # of a turn's prompt
_LIE_SHARE = 0.2
_SLOW_LIES = {*ENDLESS, "huge", "flood", "long"}  # would make the end of the run as slow as its middle
_AT_ONCE = 32  # turns that are judged at once, and votes
_PATIENCE_S = 1_500.0
_JOIN_WITHIN_S = 120.0  # thousands of turns, on a machine that others use, too
_STOP_BEHIND_S = 8.0  # processors.lifetime.STOP_S: a stop that waited for votes would be later than another by more
_POLL_S = 1.0
# What waits for the judge is bounded by number (see `_app` and processors/pump.py), with each a record and its event;
# open turns are bounded in bytes by processors.max_open_bytes.
_MOST_GROWTH_MB = 300.0
_MOST_SLOPE_MB_PER_MINUTE = 1.0
_MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Size:
    num_turns: int  # more than can wait in the process
    num_later: int  # turns that come while the others wait
    watch_s: float  # how long the process is looked at while it waits
    num_votes: int


_SHORT = _Size(num_turns=900, num_later=20, watch_s=10.0, num_votes=1)
_FULL = _Size(num_turns=5_000, num_later=200, watch_s=300.0, num_votes=3)


@dataclass(slots=True)
class _Seen:
    """What was seen of the processes."""

    joined_s: float = 0.0  # all turns of the backlog
    grown_mb: float = 0.0  # from before the backlog to its end
    slope_mb_per_minute: float = 0.0  # while nothing but waiting happened
    stop_s: float = 0.0  # of a process whose votes hang
    joined_later_s: float = 0.0  # turns that came to the next process, before which the backlog stood already
    drained_s: float = 0.0
    idle_stop_s: float = 0.0  # of a process that waits for nothing

    def wrong(self) -> list[str]:
        """What does not hold of it, a sentence each."""
        checks = {
            f"A backlog before the judge held up the join for {self.joined_s:.0f} s.": self.joined_s > _JOIN_WITHIN_S,
            f"Later turns waited {self.joined_later_s:.0f} s for their join.": self.joined_later_s > _JOIN_WITHIN_S,
            f"The process grew by {self.grown_mb:.0f} MB; {_MOST_GROWTH_MB:g} is the most.": (
                self.grown_mb > _MOST_GROWTH_MB
            ),
            f"The waiting process grew by {self.slope_mb_per_minute:.1f} MB a minute.": (
                self.slope_mb_per_minute > _MOST_SLOPE_MB_PER_MINUTE
            ),
            f"A stop took {self.stop_s:.1f} s, an idle one {self.idle_stop_s:.1f} s.": (
                self.stop_s > 2 * self.idle_stop_s + _STOP_BEHIND_S
            ),
        }
        return [sentence for sentence, is_so in checks.items() if is_so]

    def __str__(self) -> str:
        return (
            f"backlog joined in {self.joined_s:.0f} s, later turns beside it in {self.joined_later_s:.0f} s; the "
            f"process grew by {self.grown_mb:.0f} MB, then by {self.slope_mb_per_minute:.2f} MB a minute; a stop took "
            f"{self.stop_s:.1f} s, an idle one {self.idle_stop_s:.1f} s; judged in {self.drained_s:.0f} s"
        )


def slow_judge(trial: Trial) -> Outcome:
    """The whole of it."""
    size = _SHORT if trial.is_short else _FULL
    cases = _cases(_WARM + size.num_turns + size.num_later, trial.seed)
    model = model_folder(trial.settings, trial.report)
    jars = fetch_jars(runtime_home(trial.settings).jars, trial.report)
    with (
        running_broker(jars, trial.folder / "broker", trial.folder / "kafka.log") as kafka,
        JudgeServer(MANNERS) as server,
    ):
        settings = _settings(trial, kafka, server, model, size)
        run = _Run(settings, server, cases, ChatRenderer(model).template_digest)
        run.wait_slowly(_WARM + size.num_turns, size.watch_s)
        run.drain()
        reckoning = run.reckoning()
        num_unaccounted = len(cases) - run.num_accounted()
    num_due = sum(case in LIES for case in cases)
    return Outcome(
        tried=len(cases),
        lost=reckoning.lost + num_unaccounted,
        twice=reckoning.twice,
        wrong=(
            *reckoning.wrong,
            *run.seen.wrong(),
            *([] if reckoning.num_abstentions == num_due else [f"Not all of {num_due} abstentions are recorded."]),
        ),
        note=f"{run.seen}; {reckoning.num_abstentions:,} abstentions, each recorded",
    )


class _Run:
    """The processors before their judge, and what became of the turns."""

    def __init__(self, settings: Settings, server: JudgeServer, cases: Sequence[str], template_digest: str) -> None:
        self.seen = _Seen()
        self._settings = settings
        self._kafka = settings.kafka
        self._server = server
        self._cases = cases
        self._template_digest = template_digest

    def wait_slowly(self, num_turns: int, watch_s: float) -> None:
        """Feeds the backlog, looks, and stops the process."""
        with _processors(self._settings) as live:
            self._feed(0, _WARM)
            live.wait_for(lambda: self.num_accounted() >= _WARM, _PATIENCE_S, _POLL_S)
            before_mb = _rss_mb(live)
            self._server.slow_s = VOTE_S
            self.seen.joined_s = self._joined(_WARM, num_turns)
            sizes = _watched(live, watch_s)
            self.seen.grown_mb = max(size for _, size in sizes) - before_mb
            self.seen.slope_mb_per_minute = _slope(sizes)
            self.seen.stop_s = _stopped_s(live)

    def drain(self) -> None:
        """More turns come to a process that finds the backlog there; then the judge is quick again."""
        with _processors(self._settings) as live:
            num_before = self._server.num_asked
            live.wait_for(lambda: self._server.num_asked > num_before, _PATIENCE_S, _POLL_S)
            self.seen.joined_later_s = self._joined(self.num_joined(), len(self._cases))
            self._server.slow_s = 0.0
            started_s = time.monotonic()
            live.wait_for(lambda: self.num_accounted() >= len(self._cases), _PATIENCE_S, _POLL_S)
            self.seen.drained_s = time.monotonic() - started_s
            self.seen.idle_stop_s = _stopped_s(live)

    def reckoning(self) -> Reckoning:
        """Every verdict and hint, by what the server was told to do."""
        transitions = {one.action_id: one.id for one in self._events(TRANSITIONS)}
        cases = {
            transitions.get(f"action-{number}", f"action-{number}"): case for number, case in enumerate(self._cases)
        }
        reckoning = Reckoning(cases)
        reckoning.read(self._events(VERDICTS, HINTS))
        return reckoning

    def num_accounted(self) -> int:
        """Turns that are a sample or a skip."""
        return len({one.action_id for one in self._events(SAMPLES, SKIPS)})

    def num_joined(self) -> int:
        """Turns that are a transition."""
        return len({one.action_id for one in self._events(TRANSITIONS)})

    def _joined(self, start: int, stop: int) -> float:
        """Feeds turns. Returns: seconds until they are joined, or until that has taken too long."""
        self._feed(start, stop)
        started_s = time.monotonic()
        while self.num_joined() < stop and time.monotonic() - started_s <= _JOIN_WITHIN_S:
            time.sleep(_POLL_S)
        return time.monotonic() - started_s

    def _events(self, *topics: Topic) -> Iterator[Any]:
        return log_of(self._kafka)(topics, None)  # waits for a broker that the load has made slow

    def _feed(self, start: int, stop: int) -> None:
        async def send() -> None:
            producer = EventProducer(self._kafka, "suite")
            try:
                for number in range(start, stop):
                    action, state = made_turn(number, self._cases[number], self._template_digest, _TURN_CHARS)
                    await asyncio.gather(producer.send(ACTIONS, action), producer.send(NEXT_STATES, state))
            finally:
                await producer.close()

        asyncio.run(send())


def _cases(num: int, seed: int) -> list[str]:
    chance = random.Random(seed)
    lies = [one for one in LIES if one not in _SLOW_LIES]
    return [chance.choice(lies) if chance.random() < _LIE_SHARE else chance.choice(HONEST) for _ in range(num)]


def _settings(trial: Trial, kafka: KafkaConfig, server: JudgeServer, model: Path, size: _Size) -> Settings:
    endpoint = {"kind": "llm", "url": server.url, "model": "m", "max_concurrent": _AT_ONCE}
    settings = trial.settings
    return settings.model_copy(
        update={
            "home": trial.folder / "home",
            "kafka": kafka,
            "engine": settings.engine.model_copy(update={"model_path": str(model)}),
            "judge": settings.judge.model_copy(update=endpoint | {"num_votes": size.num_votes}),
            "hints": settings.hints.model_copy(update=endpoint | {"num_candidates": size.num_votes}),
            "processors": settings.processors.model_copy(update={"judge_batch": _AT_ONCE}),
        }
    )


@contextmanager
def _processors(settings: Settings) -> Iterator[Live]:
    """The component as the supervisor starts it."""
    home = Home(settings.home)
    component = worker("processors", home, settings)
    assert component.heartbeat is not None
    component.heartbeat.parent.mkdir(parents=True, exist_ok=True)
    component.heartbeat.unlink(missing_ok=True)
    hand_over(settings, home.settings_file)
    process = Process.start("processors", component.command, component.log_file, component.environment)
    live = Live(process, component.log_file)
    try:
        live.wait_for(component.heartbeat.exists, _PATIENCE_S, _POLL_S)
        yield live
    finally:
        process.stop()


def _stopped_s(live: Live) -> float:
    started_s = time.monotonic()
    live.process.stop(_PATIENCE_S)
    return time.monotonic() - started_s


def _rss_mb(live: Live) -> float:
    return float(psutil.Process(live.process.pid).memory_info().rss) / _MB


def _watched(live: Live, watch_s: float) -> list[tuple[float, float]]:
    """(seconds, MB), once a second."""
    end_s = time.monotonic() + watch_s
    sizes = []
    while time.monotonic() < end_s:
        sizes.append((time.monotonic(), _rss_mb(live)))
        time.sleep(_POLL_S)
    return sizes


def _slope(sizes: Sequence[tuple[float, float]]) -> float:
    """MB a minute, as a straight line through the second half: what was read at first is still being sorted."""
    late = sizes[len(sizes) // 2 :]
    slope, _ = statistics.linear_regression([at_s for at_s, _ in late], [size for _, size in late])
    return slope * 60.0
