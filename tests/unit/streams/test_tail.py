"""How long a tail reads: a limit for all of it, and a stop, however fast records keep coming."""

import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError

from schemas.errors import BrokerUnavailableError
from streams.config import KafkaConfig
from streams.tail import LogTail
from streams.topics import ACTIONS


class Endless:
    """A client to which records never stop coming."""

    def __init__(self) -> None:
        self.num_polled = 0

    def get_watermark_offsets(self, place: Any, timeout: float) -> tuple[int, int]:
        return (0, 10**9)

    def assign(self, places: Any) -> None:
        pass

    def unassign(self) -> None:
        pass

    def poll(self, timeout_s: float) -> Any:
        time.sleep(0.01)
        self.num_polled += 1
        return SimpleNamespace(error=lambda: None, partition=lambda: 0, offset=lambda: self.num_polled)

    def consume(self, most: int, timeout_s: float) -> list[Any]:
        return []


class Played(Endless):
    """A client that gives these, and then nothing."""

    def __init__(self, *messages: Any) -> None:
        super().__init__()
        self.messages = list(messages)

    def poll(self, timeout_s: float) -> Any:
        return self.messages.pop(0) if self.messages else None


def told(code: int | None, offset: int = 0) -> Any:
    error = None if code is None else KafkaError(code)
    return SimpleNamespace(error=lambda: error, topic=lambda: "actions", partition=lambda: 0, offset=lambda: offset)


def test_an_error_that_passes_is_not_the_end() -> None:
    tail = LogTail(KafkaConfig(), ACTIONS, max_records=3, timeout_s=5, stop=threading.Event())
    moves, end = told(KafkaError.LEADER_NOT_AVAILABLE), told(KafkaError._PARTITION_EOF)
    tail._consumer = Played(moves, told(None, offset=7), moves, end)
    assert [message.offset() for message in tail.new_records([0])] == [7]
    tail._consumer = Played(moves, moves, end)
    assert list(tail.new_records([0])) == []


@pytest.mark.parametrize(("timeout_s", "stop_after", "why"), [(0.2, 10**9, "within 0.2 s"), (60, 5, "was stopped")])
def test_records_that_keep_coming_are_read_up_to_the_limit_or_the_stop(
    timeout_s: float, stop_after: int, why: str
) -> None:
    stop, num_read = threading.Event(), 0
    tail = LogTail(KafkaConfig(), ACTIONS, max_records=3, timeout_s=timeout_s, stop=stop)
    tail._consumer = Endless()

    def read() -> None:
        nonlocal num_read
        begin = time.monotonic()
        for _ in tail.new_records([0]):
            num_read += 1
            if num_read == stop_after:
                stop.set()
            assert time.monotonic() - begin < 5

    with pytest.raises(BrokerUnavailableError, match=why):
        read()
    assert 0 < num_read <= stop_after
