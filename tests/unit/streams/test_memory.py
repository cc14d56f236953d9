"""The log in memory is a log: what goes through it went over the wire."""

import pytest
from processor_world import action, next_state

from schemas.errors import RejectedError
from schemas.events import CheckpointPublished
from streams.memory import MemoryLog, MemoryTable
from streams.topics import ACTIONS, CHECKPOINTS, CURRENT_POLICIES, NEXT_STATES

CHECKPOINT = CheckpointPublished(
    id="c-1",
    time_ms=1,
    policy="assistant",
    version=1,
    parent_version=0,
    url="file:///x",
    manifest_digest="d",
    base_model="b",
    objective="hybrid",
    batch_ids=(),
    sample_ids=(),
    action_ids=(),
    metrics={},
)


async def test_a_recorded_event_is_read_back_as_it_was_and_lies_where_its_key_says():
    log = MemoryLog(clock=iter([5, 6, 7]).__next__)
    taken = action()
    assert await log.record(ACTIONS, taken) == "kafka"
    log.append(next_state())
    other = log.append(action("a-2"))
    assert log.events(ACTIONS) == [taken, other.event]
    first, second = log.records["actions"]
    assert (first.key, first.offset, first.timestamp_ms) == (b"c-1", 0, 5)
    assert (second.partition, second.offset) == (first.partition, 1)
    assert list(log.read((ACTIONS, NEXT_STATES), since_ms=6)) == [other.event, next_state()]


def test_what_does_not_survive_the_wire_is_refused_here_too():
    with pytest.raises(RejectedError, match=r"finite|NaN|nan"):
        MemoryLog().append(action(response_logprobs=(float("nan"), 0.0)))


def test_bytes_that_are_no_event_lie_there_with_their_reason():
    record = MemoryLog().append_raw(ACTIONS, b"c-1", b"nonsense")
    assert record.event is None
    assert isinstance(record.error, RejectedError)


def test_a_checkpoint_goes_to_the_history():
    log = MemoryLog()
    log.append(CHECKPOINT)
    assert log.events(CHECKPOINTS) == [CHECKPOINT]
    assert log.events(CURRENT_POLICIES) == []


async def test_a_row_stays_in_its_partition_and_goes_when_it_is_deleted():
    table = MemoryTable()
    await table.put(1, "key", b"value")
    assert (table.get("key"), table.items()) == (b"value", [("key", b"value")])
    with pytest.raises(ValueError, match="lies in partition 1, not in 2"):
        await table.put(2, "key", b"other")
    await table.put(1, "key", None)
    assert table.get("key") is None
