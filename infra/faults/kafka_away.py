"""Kafka away: stopped, killed, frozen or with a full disk, while people talk. Serving goes on, and nothing is lost.

    people talk ──► Kafka goes ──► one deadline is missed ──► the spool takes all, at once ──► Kafka comes back
                ──► the spool empties itself, in order ──► ledger against log, log against its promises

How long replies take is measured by the clients, before and during the outage.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from statistics import median

from infra.bench.percentiles import Percentiles
from infra.faults.account import accounted, failures
from infra.faults.brokers import START_WITHIN_S, Node, brokers
from infra.faults.gateway_watch import GatewayWatch, watched
from infra.faults.ledger import Ledger
from infra.faults.load import people
from infra.faults.outcome import Fault, Outcome, Trial
from infra.faults.stage import staged, until
from infra.settings import archive_folder

SPOOL_MAX_BYTES = 64 * 1024 * 1024
NOTICED_WITHIN_S = 15.0  # a disk is full for Kafka from its next write on; deadlines of the gateway come on top
EMPTIED_WITHIN_S = 120.0 + START_WITHIN_S
MIN_REQUESTS = 40  # of which a percentile says something
ANSWERED_WITHIN_S = 120.0
_NEARLY = 0.9  # of a deadline: who waited for it took that and its usual time, which may be less than the median


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How long what takes, and what delay is none."""

    num_people: int
    pause_s: float
    before_s: float
    away_s: float
    after_s: float
    allowed_s: float  # of p99: what a loaded machine adds by itself


FULL = Size(num_people=8, pause_s=2.0, before_s=30.0, away_s=120.0, after_s=10.0, allowed_s=0.1)
SHORT = Size(num_people=4, pause_s=0.1, before_s=3.0, away_s=5.0, after_s=2.0, allowed_s=1.5)


@dataclass(frozen=True, slots=True)
class Outage:
    """How Kafka goes, and how it comes back. Both may block."""

    begin: Callable[[Node], None]
    end: Callable[[Node], None]


def _fill_disk(node: Node) -> None:
    """Returns when Kafka has met it: then it ends, since it has no other folder."""
    node.fill_disk()
    end_s = time.monotonic() + NOTICED_WITHIN_S
    while node.is_running and time.monotonic() < end_s:
        time.sleep(0.1)


def _start_with_room(node: Node) -> None:
    if node.is_running:  # it has written nothing meanwhile
        node.kill()
    node.start()


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """When what happened, by the monotonic clock."""

    begun_s: float
    struck_s: float  # Kafka begins to go
    spooling_s: float | None  # the gateway says that it spools; None: it never did
    returned_s: float  # Kafka is started, or goes on
    emptied_s: float | None
    ended_s: float


def _tried(outage: Outage, trial: Trial) -> Outcome:
    return asyncio.run(_outcome(outage, trial))


FAULTS = tuple(
    Fault(name=name, run=partial(_tried, outage))
    for name, outage in {
        "Kafka away: stopped": Outage(Node.stop, Node.start),
        "Kafka away: killed": Outage(Node.kill, Node.start),
        "Kafka away: frozen": Outage(Node.freeze, Node.thaw),
        "Kafka away: its disk full": Outage(_fill_disk, _start_with_room),
    }.items()
)


async def _outcome(outage: Outage, trial: Trial) -> Outcome:
    size, ledger = SHORT if trial.is_short else FULL, Ledger()
    async with brokers(trial) as own:
        [node] = own.nodes.values()
        tables = {"kafka": own.kafka.model_dump(), "gateway": {"spool_max_bytes": SPOOL_MAX_BYTES}}
        async with staged(trial, tables) as stage, watched(stage) as watch:
            url = stage.stack.gateway_url
            async with people(ledger, url, count=size.num_people, seed=trial.seed, pause_s=size.pause_s):
                course = await _lived_through(outage, node, watch, ledger, size)
            account = await accounted(stage.stack.kafka, ledger, archive_folder(stage.stack.settings))
    deadline_s = stage.stack.settings.gateway.record_deadline_s
    delays = Delays.of(ledger, course)
    wrong = [*failures(ledger), *_of_spool(watch, course), *delays.wrong(deadline_s, size.allowed_s)]
    return account.outcome(
        tried=0 if course.spooling_s is None else 1,
        recovery_s=() if course.emptied_s is None else (course.emptied_s - course.returned_s,),
        wrong=wrong,
        note=f"Away for {course.returned_s - course.struck_s:.0f} s; recovered when the spool, "
        f"{max(look.spooled_bytes for look in watch.looks) / 1e6:.1f} MB, was empty again. {delays.told()}",
    )


async def _talked(ledger: Ledger, num_requests: int, at_least_s: float) -> None:
    """Returns when so much time has passed, and so many requests have been asked and answered in it."""
    begun_s = time.monotonic()
    await asyncio.sleep(at_least_s)
    await until(lambda: len(ledger.between(begun_s, time.monotonic())) >= num_requests, ANSWERED_WITHIN_S)


async def _lived_through(outage: Outage, node: Node, watch: GatewayWatch, ledger: Ledger, size: Size) -> Course:
    await _talked(ledger, size.num_people, 0.0)  # the first requests of a gateway pay for what it loads
    begun_s = time.monotonic()
    await _talked(ledger, MIN_REQUESTS, size.before_s)
    struck_s = time.monotonic()
    await asyncio.to_thread(outage.begin, node)
    await until(lambda: watch.first(struck_s, "spool") is not None, NOTICED_WITHIN_S)
    await _talked(ledger, MIN_REQUESTS, size.away_s)
    returned_s = time.monotonic()
    outage.end(node)
    is_empty = await until(lambda: any(look.is_recovered for look in watch.since(returned_s)), EMPTIED_WITHIN_S)
    emptied_s = time.monotonic() if is_empty else None
    await asyncio.sleep(size.after_s)
    return Course(
        begun_s=begun_s,
        struck_s=struck_s,
        spooling_s=watch.first(struck_s, "spool"),
        returned_s=returned_s,
        emptied_s=emptied_s,
        ended_s=time.monotonic(),
    )


@dataclass(frozen=True, slots=True)
class Delays:
    """How long whole replies took, in seconds, by when they were asked for; what waited when Kafka went is of that."""

    before: list[float]
    noticing: list[float]  # Kafka is gone, and the gateway waits for it
    spooling: list[float]
    after: list[float]

    @classmethod
    def of(cls, ledger: Ledger, course: Course) -> "Delays":
        """Of the requests that were answered."""
        spooling_s = course.returned_s if course.spooling_s is None else course.spooling_s
        edges = (course.begun_s, course.struck_s, spooling_s, course.returned_s, course.ended_s)
        asked, noticing, spooling, after = (
            [one for one in ledger.between(*edge) if one.error is None] for edge in pairwise(edges)
        )
        before = [one for one in asked if one.end_s <= course.struck_s]
        waited = [one for one in asked if one.end_s > course.struck_s]
        took = ([one.whole_s for one in part] for part in (before, [*waited, *noticing], spooling, after))
        return cls(*took)

    def wrong(self, deadline_s: float, allowed_s: float) -> list[str]:
        """Where an outage costs more than one deadline, and after it anything."""
        if min(len(self.before), len(self.spooling)) < MIN_REQUESTS // 2:  # the windows are cut elsewhere, too
            return [f"Only {len(self.before)} and {len(self.spooling)} requests tell of delays."]
        # Whatever else keeps a machine busy before an outage must not excuse what the outage costs.
        usual_s = min(Percentiles.of(times).p99 for times in (self.before, self.after) if times)
        late_s = max(self.noticing, default=0.0) - usual_s
        added_s = Percentiles.of(self.spooling).p99 - usual_s
        late = median(self.before) + _NEARLY * deadline_s
        again = sum(took_s > late for took_s in self.spooling)  # p99 leaves one of a hundred out
        back_s = max(self.after, default=0.0) - usual_s
        return [
            *([f"One request waited {late_s:.1f} s longer."] if late_s > deadline_s + allowed_s else []),
            *([f"With the spool, p99 was {added_s:.2f} s longer."] if added_s > allowed_s else []),
            *([f"{again} requests waited a whole deadline though events went to the spool."] if again else []),
            *([f"When Kafka was back, one waited {back_s:.1f} s longer."] if back_s > deadline_s + allowed_s else []),
        ]

    def told(self) -> str:
        """The percentiles."""
        times = {"before": self.before, "noticing": self.noticing, "spooling": self.spooling, "after": self.after}
        tell = (f"{name} {1000 * Percentiles.of(took).p99:.0f}" for name, took in times.items() if took)
        return f"p99 of whole replies, ms: {', '.join(tell)}."


def _of_spool(watch: GatewayWatch, course: Course) -> list[str]:
    """What is wrong with it: it took nothing, too much, or has not let go."""
    largest = max(look.file_bytes for look in watch.looks)
    return [
        *([] if largest else ["The spool's file was never seen to hold anything."]),
        *([f"The spool's file grew to {largest} bytes."] if largest > SPOOL_MAX_BYTES else []),
        *([f"The spool was not empty after {EMPTIED_WITHIN_S:g} s."] if course.emptied_s is None else []),
        *([] if watch.looks[-1].file_bytes == 0 else ["The spool's file is not empty in the end."]),
    ]
