"""A stage recalls what it has written, also when the broker is away for a moment."""

from processor_world import CONFIG, action, next_state

from processors import recall
from schemas.errors import BrokerUnavailableError
from streams.memory import MemoryLog
from streams.topics import ACTIONS, NEXT_STATES


def test_an_interrupted_reading_begins_again_and_leaves_out_what_is_no_event(monkeypatch):
    log = MemoryLog()
    log.append(action())
    log.append_raw(ACTIONS, b"c-1", b"nonsense")
    log.append(next_state())
    calls = []

    def read_all(config, topics, *, since_ms):
        calls.append((config, topics, since_ms))
        yield from log.records["actions"]
        if len(calls) == 1:
            raise BrokerUnavailableError("gone for a moment")
        yield from log.records["next-states"]

    monkeypatch.setattr(recall, "read_all", read_all)
    monkeypatch.setattr(recall, "RETRY_S", 0.0)
    events = list(recall.log_of(CONFIG)((ACTIONS, NEXT_STATES), 5))
    assert [event.id for event in events] == ["a-1", "a-1", "n-a-1"]
    assert calls == [(CONFIG, (ACTIONS, NEXT_STATES), 5)] * 2
