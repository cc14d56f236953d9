"""What waits to be recorded is bounded, in items by those who tell it, in bytes by the one who records it."""

import threading
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from streams.record_queue import RecordQueue, rough_bytes

PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10_000}}


@dataclass(frozen=True)
class Told:
    bulk: tuple[object, ...]


def told(num_chars: int) -> Told:
    return Told(bulk=("x" * num_chars,))


@pytest.mark.parametrize(
    "value",
    [
        "x" * 10_000,
        b"x" * 10_000,
        {"role": "user", "content": [PICTURE]},
        SimpleNamespace(content="x" * 10_000),
        [SimpleNamespace(message=SimpleNamespace(content="x" * 10_000))],
    ],
)
def test_the_room_of_a_message_is_that_of_its_words_wherever_it_holds_them(value: object) -> None:
    assert 10_000 <= rough_bytes([value]) < 12_000


class Odd:
    def __getattribute__(self, name: str) -> Any:
        raise ValueError(name)


def test_weighing_ends_for_whatever_a_program_gives() -> None:
    circle: list[Any] = []
    circle += [circle, circle]
    assert rough_bytes([circle, Odd(), object(), type, None]) > 0


def test_items_beyond_the_limit_are_refused_and_bytes_beyond_it_dropped() -> None:
    queue = RecordQueue[Told](max_items=4, max_bytes=2_500)
    assert [queue.put(told(1_000)) for _ in range(5)] == [True] * 4 + [False]
    assert queue.weigh() == 2
    assert len(queue.take(10)) == 2
    assert queue.put(told(1_000))
    assert queue.weigh() == 0, "room is given back by what is taken"
    assert len(queue) == 1


def test_what_holds_nothing_is_never_dropped() -> None:
    queue = RecordQueue[Told](max_items=1, max_bytes=1_100)
    queue.put(told(1_000))
    marker = Told(bulk=())
    queue.insert(marker)
    assert queue.weigh() == 0
    assert queue.take(10)[1] is marker


def test_items_are_taken_in_their_order_while_several_threads_put() -> None:
    queue = RecordQueue[Told](max_items=100_000, max_bytes=10**9)
    threads = [
        threading.Thread(target=lambda name=name: [queue.put(Told((name, number))) for number in range(2_000)])
        for name in "abc"
    ]
    for thread in threads:
        thread.start()
    taken: list[Told] = []
    while any(thread.is_alive() for thread in threads) or len(queue):
        queue.weigh()
        taken += queue.take(100)
    for name in "abc":
        assert [one.bulk[1] for one in taken if one.bulk[0] == name] == [*range(2_000)]
