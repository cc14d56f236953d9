"""What may be committed never passes a record that is not done."""

import logging

from hypothesis import given
from hypothesis import strategies as st
from processor_world import CONFIG

from processors.progress import Progress
from streams.recorded import record_of


def record(offset, topic="actions", partition=0):
    return record_of(
        CONFIG, topic=topic, partition=partition, offset=offset, timestamp_ms=0, headers=None, key=b"", value=b""
    )


def progress(delivered, done):
    kept = Progress()
    for offset in delivered:
        kept.deliver(record(offset))
    for offset in done:
        kept.finish(record(offset))
    return kept


def test_done_in_any_order_is_committed_up_to_the_first_that_is_not():
    assert progress([5, 6, 7, 8], [8, 6]).committable() == {}
    assert progress([5, 6, 7, 8], [8, 6, 5]).committable() == {("actions", 0): 7}
    assert progress([5, 6, 7, 8], [8, 6, 5, 7]).committable() == {("actions", 0): 9}


def test_a_hole_in_what_is_delivered_holds_the_commit_back_and_is_told(caplog):
    with caplog.at_level(logging.WARNING):
        kept = progress([5, 6, 9], [5, 6, 9])
    assert kept.committable() == {("actions", 0): 7}
    assert "actions/0: offsets 7 to 8 were not delivered" in caplog.text


def test_a_record_that_is_delivered_again_is_done_already():
    assert progress([5, 6, 5, 6], [5, 6, 5, 6]).committable() == {("actions", 0): 7}


def test_delivery_that_goes_back_behind_its_beginning_is_followed():
    kept = progress([5, 6], [5, 6])
    kept.deliver(record(3))
    assert kept.committable() == {}
    kept.finish(record(3))
    kept.deliver(record(4))
    kept.finish(record(4))
    assert kept.committable() == {("actions", 0): 7}


def test_what_is_committed_is_not_committed_again():
    kept = progress([0, 1], [0])
    kept.committed(kept.committable())
    assert kept.committable() == {}
    kept.finish(record(1))
    assert kept.committable() == {("actions", 0): 2}


def test_partitions_do_not_mix():
    kept = progress([0], [0])
    kept.deliver(record(0, partition=1))
    kept.deliver(record(0, topic="hints"))
    kept.finish(record(0, topic="hints"))
    assert kept.committable() == {("actions", 0): 1, ("hints", 0): 1}
    kept.clear()
    assert kept.committable() == {}


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 12)), max_size=60))
def test_no_delivered_record_that_is_not_done_is_ever_passed(steps):
    kept, delivered, done = Progress(), set(), set()
    for is_done, offset in steps:
        if not is_done:
            kept.deliver(record(offset))
            delivered.add(offset)
        elif offset in delivered:
            kept.finish(record(offset))
            done.add(offset)
        for resume in kept.committable().values():
            assert set(range(min(delivered), resume)) <= done
