"""`Telling`: what it costs a Python program to tell of its model's turns: with our recorder, and with spans.

    program ──┬──► AgentRecorder ──► Kafka                              ours
              ├──► AgentRecorder ──► spool on the disk                  ours, while Kafka is away
              ├──► OpenTelemetry's SDK ──► bare OTLP receiver           the named alternative
              └──► nothing                                              what timing itself costs; taken off the others

Three measurements, each in rounds in which the ways take turns, each run in a fresh process (program.py):

    paced   what each call adds to the program's own thread, and what the whole program uses more of the processor
    steady  how fast turns get out of it
    burst   what becomes of more than can get out

Figures count only where everything that was told is where it should be: in the log, or at the receiver.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from infra.bench.percentiles import ratio
from infra.bench.recorder.content import LONG, SHORT, Turn, turns
from infra.bench.recorder.figures import Burst, Outflow, Paced, WayCosts, way_costs
from infra.bench.recorder.ways import Found, Mode, Way, Ways, num_received
from schemas.errors import FatalError
from schemas.events import ActionTaken
from streams.config import KafkaConfig
from streams.consumer import read_all
from streams.topics import ACTIONS, FEEDBACK, NEXT_STATES

NOTHING, RECORDER, AWAY, SPANS = "nothing", "recorder", "recorder, Kafka away", "OpenTelemetry's SDK"
PACE_S = 0.005  # between two calls: many times what an agent makes, and less than any way gets out
NUM_WARM_UP = 150  # rounds of four calls: 3 s; the recorder waits 2 s for a Kafka that is not there


@dataclass(frozen=True, slots=True, kw_only=True)
class TellingPlan:
    """How much is told. `num_paced`: calls of each kind in a round; others: turns in a round, `num_burst` once."""

    rounds: int = 3
    num_paced: int = 500
    num_steady_short: int = 4_000
    num_steady_long: int = 1_000
    num_burst: int = 30_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TellingTable:
    """All three."""

    pace_s: float
    costs: tuple[WayCosts, ...]
    outflows: tuple[Outflow, ...]
    bursts: tuple[Burst, ...]


@dataclass(frozen=True, slots=True)
class Telling:
    """The ways, in the order in which they begin; `receiver`: where spans go."""

    ways: Ways
    nothing: Way
    away: Way
    recorder: Way
    spans: Way | None
    receiver: str
    report: Callable[[str], None]

    @property
    def told(self) -> list[Way]:
        """Those that tell something, ours first."""
        return [self.recorder, self.away, *([self.spans] if self.spans is not None else [])]

    def measure(self, plan: TellingPlan) -> TellingTable:
        """All three measurements."""
        return TellingTable(
            pace_s=PACE_S, costs=self.paced(plan), outflows=self.outflows(plan), bursts=self.bursts(plan)
        )

    def paced(self, plan: TellingPlan) -> tuple[WayCosts, ...]:
        """What calls cost."""
        found = {way.name: Paced({}, 0.0) for way in (self.nothing, *self.told)}
        for number in range(plan.rounds):
            talks = {
                f"turn, system prompt: {prompt}": turns(prompt, NUM_WARM_UP + plan.num_paced)
                for prompt in (SHORT, LONG)
            }
            for way in _rotated((self.nothing, *self.told), number):
                self.report(f"Calls, round {number + 1} of {plan.rounds}: {way.name}")
                run = self._run(way, "paced", talks, pace_s=PACE_S, num_warm_up=NUM_WARM_UP)
                found[way.name].add(run["took_ns"], run["used_s"])
        return way_costs(found, NOTHING, SPANS)

    def outflows(self, plan: TellingPlan) -> tuple[Outflow, ...]:
        """How fast turns get out."""
        outflows = []
        for prompt, num_turns in ((SHORT, plan.num_steady_short), (LONG, plan.num_steady_long)):
            told = turns(prompt, num_turns)
            runs: dict[str, list[Found]] = {way.name: [] for way in self.told}
            for number in range(plan.rounds):
                self.report(f"Outflow, system prompt: {prompt}, round {number + 1} of {plan.rounds}")
                for way in _rotated(self.told, number):
                    runs[way.name].append(self._run(way, "steady", {"turn": told}))
            outflows += _outflows(prompt, runs)
        return tuple(outflows)

    def bursts(self, plan: TellingPlan) -> tuple[Burst, ...]:
        """What becomes of too much. The queue is the same whether Kafka is there or not."""
        told = turns(SHORT, plan.num_burst)
        bursts = []
        for way in self.told:
            if way is self.away:
                continue
            self.report(f"Burst: {way.name}")
            before = num_received(self.receiver)
            run = self._run(way, "burst", {"turn": told}, may_drop=True)
            num_dropped = run["counts"].get("dropped", 0)
            num_out = num_received(self.receiver) - before if way is self.spans else len(told) - num_dropped
            bursts.append(
                Burst(
                    way=way.name,
                    num_turns=len(told),
                    num_out=num_out,
                    num_dropped=len(told) - num_out,
                    is_drop_counted=way is not self.spans,
                    told_per_s=len(told) / run["told_s"],
                    grown_bytes=run["grown_bytes"],
                )
            )
        return tuple(bursts)

    def _run(
        self, way: Way, mode: Mode, talks: dict[str, list[Turn]], *, may_drop: bool = False, **task: object
    ) -> Found:
        """One run, none of whose turns may get lost on the way."""
        before = num_received(self.receiver)
        found = self.ways.run(way, mode, talks, **task)
        counts, num_received_now = found["counts"], num_received(self.receiver) - before
        is_lost = {
            "nothing": False,
            "recorder": "failed" in counts or ("dropped" in counts and not may_drop),
            "opentelemetry": num_received_now != found["num_calls"] and not may_drop,
        }[way.side]
        is_elsewhere = ("spool" in counts and way is self.recorder) or ("kafka" in counts and way is self.away)
        if is_lost or is_elsewhere:
            become = counts or f"{num_received_now} spans received"
            message = f"{way.name}: of {found['num_calls']} calls became {become}"
            raise FatalError(f"The benchmark's figures are not of real turns: {message}.")
        return found


def prove(kafka: KafkaConfig, ways: Ways, way: Way) -> None:
    """Compares what the log holds with what the recorder was told, and says that it put there.

    Raises:  FatalError: they differ.
    """
    counts = ways.counts.get(way.name, {})
    events = [record.event for record in read_all(kafka, (ACTIONS, NEXT_STATES, FEEDBACK))]
    num_actions = sum(isinstance(event, ActionTaken) for event in events)
    expected = ways.told.get(way.name, 0) - counts.get("dropped", 0)
    if num_actions != expected or len(events) != counts.get("kafka", 0):
        found = f"{num_actions} actions of {expected}, {len(events)} events of {counts.get('kafka', 0)}"
        raise FatalError(f"The benchmark's figures are not of real turns: the log holds {found}.")


def _outflows(prompt: str, runs: dict[str, list[Found]]) -> list[Outflow]:
    speeds = {
        name: statistics.median(run["num_timed"] / run["took_s"] for run in found) for name, found in runs.items()
    }
    return [
        Outflow(
            way=name,
            prompt=prompt,
            turns_per_s=speeds[name],
            ratio=ratio(speeds[name], speeds[SPANS]) if SPANS in speeds and name != SPANS else None,
            processor_us=statistics.median(1_000_000 * run["used_s"] / run["num_timed"] for run in found),
        )
        for name, found in runs.items()
    ]


def _rotated(ways: Sequence[Way], number: int) -> list[Way]:
    """In another order each round, so that a drift of the machine hits all alike."""
    start = number % len(ways)
    return [*ways[start:], *ways[:start]]
