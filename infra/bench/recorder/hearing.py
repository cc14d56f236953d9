"""`bench_hearing`: how fast instrumented agents' spans become safe, and how fast others take the same bytes.

    sender ──┬──► gateway ──► a real Kafka              ours: answers once every turn is in the log
             ├──► OpenTelemetry Collector, debug        where one is named: prints, and keeps nothing
             └──► a bare receiver in Python             decodes, counts, prints a line

The sender posts batches of protobuf, as exporters do, several at a time; each batch is new to who gets it. The sides
take turns, each round in another order, after a batch that does not count. Timed: from the first byte sent to the last
answer read. Figures count only where each side has had every span: for the gateway, where the log holds every turn.
"""

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import aiohttp

from infra.bench.percentiles import Percentiles, ratio
from infra.bench.processor import process_s
from infra.bench.recorder.batches import Batch, batches, num_talks
from infra.bench.recorder.content import LONG, SHORT
from infra.bench.recorder.receivers import Receiver
from schemas.errors import FatalError

_MS_PER_S, _MIB = 1e-3, 2**20
_ANSWER_S = 300.0
_SETTLE_S = 0.3  # what is done behind an answer is its cost, too
_HEADERS = {"content-type": "application/x-protobuf"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is sent in a round: batches of one kind of talk. An exporter sends 512 spans, or what fits 20 MiB."""

    prompt: str
    spans_per_batch: int
    num_batches: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HearingPlan:
    """How much is sent, `num_senders` batches at a time. The collector takes up to 20 MiB at once."""

    rounds: int = 3
    num_senders: int = 4
    loads: tuple[Load, ...] = (
        Load(prompt=SHORT, spans_per_batch=512, num_batches=12),
        Load(prompt=LONG, spans_per_batch=256, num_batches=8),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What one receiver took of one load. `spans_per_s`: the median of the rounds; `speed`: ours over it."""

    receiver: str
    spans_per_s: float
    mib_per_s: float
    answer_ms: Percentiles
    cpu_s_per_1000: float
    kafka_cpu_s_per_1000: float
    speed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HearingCase:
    """One load."""

    prompt: str
    spans_per_batch: int
    mib_per_batch: float
    taken: tuple[Taken, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HearingTable:
    """All loads."""

    num_senders: int
    cases: tuple[HearingCase, ...]


@dataclass(slots=True)
class _Found:
    """One receiver, over the rounds."""

    seconds: list[float] = field(default_factory=list)
    answers_s: list[float] = field(default_factory=list)
    own_s: float = 0.0
    kafka_s: float = 0.0


def bench_hearing(receivers: Sequence[Receiver], plan: HearingPlan, report: Callable[[str], None]) -> HearingTable:
    """Measures every load on every receiver, ours first.

    Raises:  FatalError: one refused a batch, or has not had every span.
    """
    before = {receiver.name: receiver.num_taken() for receiver in receivers}
    cases, num_sent = asyncio.run(_measure(receivers, plan, report))
    for receiver in receivers:
        num_taken = receiver.num_taken() - before[receiver.name]
        if num_taken != num_sent:
            had = f"the {receiver.name} had {num_taken} spans of {num_sent}"
            raise FatalError(f"The benchmark's figures are not of real spans: {had}.")
    return HearingTable(num_senders=plan.num_senders, cases=cases)


async def _measure(
    receivers: Sequence[Receiver], plan: HearingPlan, report: Callable[[str], None]
) -> tuple[tuple[HearingCase, ...], int]:
    """The cases, and how many spans each receiver was sent."""
    cases, talk, num_sent = [], 0, 0
    timeout = aiohttp.ClientTimeout(total=_ANSWER_S)
    connector = aiohttp.TCPConnector(limit=0, force_close=True)  # servers close kept ones while others are asked
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        for load in plan.loads:
            found = {receiver.name: _Found() for receiver in receivers}
            for number in range(1 + plan.rounds):
                count = load.num_batches if number else 1  # a first batch warms up
                bodies = list(batches(load.prompt, count, load.spans_per_batch, talk))
                talk += num_talks(count, load.spans_per_batch)
                num_sent += count * load.spans_per_batch
                report(f"Spans, system prompt: {load.prompt}, round {number} of {plan.rounds}")
                for place in range(len(receivers)):
                    receiver = receivers[(number + place) % len(receivers)]
                    counted = found[receiver.name] if number else _Found()
                    await _round(session, receiver, bodies, plan.num_senders, counted)
            cases.append(_case(load, bodies[0], found, plan, receivers[0].name))
    return tuple(cases), num_sent


async def _round(
    session: aiohttp.ClientSession, receiver: Receiver, bodies: Sequence[Batch], num_senders: int, found: _Found
) -> None:
    waiting = list(reversed(bodies))

    async def send() -> None:
        while waiting:
            found.answers_s.append(await _post(session, receiver, waiting.pop()))

    own_s, kafka_s = sum(map(process_s, receiver.pids)), sum(map(process_s, receiver.kafka_pids))
    began_s = time.perf_counter()
    await asyncio.gather(*(send() for _ in range(num_senders)))
    found.seconds.append(time.perf_counter() - began_s)
    await asyncio.sleep(_SETTLE_S)
    found.own_s += sum(map(process_s, receiver.pids)) - own_s
    found.kafka_s += sum(map(process_s, receiver.kafka_pids)) - kafka_s


async def _post(session: aiohttp.ClientSession, receiver: Receiver, batch: Batch) -> float:
    """Sends a batch; seconds until the answer was read."""
    began_s = time.perf_counter()
    try:
        async with session.post(f"{receiver.url}/v1/traces", data=batch.body, headers=_HEADERS) as response:
            answer = await response.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        reason = str(error) or type(error).__name__
        raise FatalError(f"The {receiver.name} did not answer: {reason}.") from error
    if response.status != 200:
        raise FatalError(f"The {receiver.name} refused a batch ({response.status}): {answer[:300]!r}.")
    return time.perf_counter() - began_s


def _case(load: Load, batch: Batch, found: dict[str, _Found], plan: HearingPlan, ours: str) -> HearingCase:
    num_spans = load.num_batches * load.spans_per_batch
    speeds = {name: num_spans / statistics.median(one.seconds) for name, one in found.items()}
    num_all = plan.rounds * num_spans
    return HearingCase(
        prompt=load.prompt,
        spans_per_batch=load.spans_per_batch,
        mib_per_batch=len(batch.body) / _MIB,
        taken=tuple(
            Taken(
                receiver=name,
                spans_per_s=speeds[name],
                mib_per_s=speeds[name] * len(batch.body) / load.spans_per_batch / _MIB,
                answer_ms=Percentiles.of(one.answers_s, _MS_PER_S),
                cpu_s_per_1000=1000 * one.own_s / num_all,
                kafka_cpu_s_per_1000=1000 * one.kafka_s / num_all,
                speed=ratio(speeds[ours], speeds[name]),
            )
            for name, one in found.items()
        ),
    )
