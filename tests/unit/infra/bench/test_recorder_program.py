"""The program that is timed, run as the benchmark runs it."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from infra.bench.recorder.batches import batches
from infra.bench.recorder.content import SHORT, turns
from infra.bench.recorder.receivers import Receiver, bare_receiver
from infra.bench.recorder.telling import Telling
from infra.bench.recorder.ways import Found, Way, Ways, num_received
from schemas.errors import FatalError


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    with bare_receiver(tmp_path_factory.mktemp("bare")) as running:
        yield running


@pytest.fixture
def nowhere() -> Iterator[str]:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def way(side: str, address: str = "") -> Way:
    return Way(name=side, side=side, python=sys.executable, address=address)  # type: ignore[arg-type]


class Findings(Ways):
    """Programs that have found this."""

    def __init__(self, counts: dict[str, int]) -> None:
        super().__init__(Path())
        self.found = {"num_calls": 4, "counts": counts}

    def run(self, *_: object, **__: object) -> Found:
        return self.found


def telling(receiver: str, counts: dict[str, int]) -> Telling:
    sides = {"nothing": way("nothing"), "recorder": way("recorder"), "away": way("recorder", "nowhere")}
    return Telling(ways=Findings(counts), **sides, spans=way("opentelemetry"), receiver=receiver, report=print)


def test_each_call_is_timed_by_its_kind_after_the_first_ones(tmp_path: Path) -> None:
    talks = {"short": turns(SHORT, 5), "long": turns(SHORT, 5)}
    found = Ways(tmp_path).run(way("nothing"), "paced", talks, pace_s=0.0, num_warm_up=2)
    assert {kind: len(times) for kind, times in found["took_ns"].items()} == dict.fromkeys(
        ["short", "long", "next state", "feedback"], 3
    )
    assert found["num_calls"] == 5 * 4


def test_without_kafka_every_turn_gets_out_into_the_spool(tmp_path: Path, nowhere: str) -> None:
    ways = Ways(tmp_path)
    found = ways.run(way("recorder", nowhere), "steady", {"turn": turns(SHORT, 8)})
    assert found["counts"] == {"spool": 8 + 6}
    assert found["num_timed"] == 7
    assert ways.told == {"recorder": 8}
    (spool,) = (tmp_path / "0-recorder-steady" / "spool").glob("*/recorder-0")
    assert spool.stat().st_size > 0


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("recorder", {"kafka": 3, "failed": 1}),
        ("recorder", {"kafka": 3, "dropped": 1}),
        ("recorder", {"spool": 4}),
        ("away", {"kafka": 4}),
        ("spans", {}),  # of which the receiver has heard nothing
    ],
)
def test_figures_of_turns_that_are_not_where_they_should_be_do_not_count(
    bare: Receiver, name: str, counts: dict[str, int]
) -> None:
    measured = telling(bare.url, counts)
    with pytest.raises(FatalError, match=r"not of real turns: .*: of 4 calls became"):
        measured._run(getattr(measured, name), "steady", {})


def test_only_what_is_told_at_once_may_be_dropped(bare: Receiver) -> None:
    measured = telling(bare.url, {"kafka": 3, "dropped": 1})
    assert measured._run(measured.recorder, "burst", {}, may_drop=True)["num_calls"] == 4
    assert measured._run(measured.spans, "burst", {}, may_drop=True)["num_calls"] == 4


def test_a_program_that_fails_is_a_sentence_with_its_logs_last_line(tmp_path: Path) -> None:
    with pytest.raises(FatalError, match=r"program \(opentelemetry\) failed; .* ends: .*No module named"):
        Ways(tmp_path).run(way("opentelemetry"), "steady", {"turn": turns(SHORT, 1)})


def test_the_bare_receiver_counts_spans_and_prints_a_line_for_each_batch(bare: Receiver) -> None:
    before = num_received(bare.url)
    for batch in batches(SHORT, 2, 8, first_talk=0):
        answer = httpx.post(
            f"{bare.url}/v1/traces",
            content=batch.body,
            headers={"content-type": "application/x-protobuf"},
            trust_env=False,
        )
        assert (answer.status_code, answer.content) == (200, b"")
    assert bare.num_taken() == before + 16
