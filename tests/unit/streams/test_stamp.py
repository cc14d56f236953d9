"""Stamps count without gaps, and their digest covers what a record says, not who wrote it."""

from dataclasses import replace

import pytest
from example_events import ACTION

from schemas.errors import MalformedEventError
from streams.codec import encode
from streams.stamp import Stamp, Stamper, content_digest, read_stamp
from streams.topics import ACTIONS

RECORD = encode(ACTIONS, ACTION, "gateway-0")


def stamps(stamper: Stamper, count: int) -> list[Stamp]:
    found = [read_stamp(stamper.stamp(RECORD).headers) for _ in range(count)]
    return [stamp for stamp in found if stamp is not None]


def test_numbers_have_no_gap() -> None:
    assert [stamp.seq for stamp in stamps(Stamper("gateway-0"), 5)] == [0, 1, 2, 3, 4]


def test_a_restarted_producer_is_another_instance() -> None:
    first, second = (stamps(Stamper("gateway-0"), 1)[0] for _ in range(2))
    assert first.instance != second.instance
    assert first.instance.startswith("gateway-0/")


def test_numbers_of_an_aborted_transaction_are_used_again() -> None:
    stamper = Stamper("trainer-0")
    stamps(stamper, 2)
    mark = stamper.next_seq
    stamps(stamper, 3)
    stamper.rewind(mark)
    assert stamps(stamper, 1)[0].seq == 2


def test_a_stamp_keeps_the_record_and_its_other_headers() -> None:
    stamped = Stamper("gateway-0").stamp(RECORD)
    assert (stamped.key, stamped.value) == (RECORD.key, RECORD.value)
    assert stamped.headers[: len(RECORD.headers)] == RECORD.headers


def test_the_digest_can_be_recomputed_from_the_record() -> None:
    stamped = Stamper("gateway-0").stamp(RECORD)
    stamp = read_stamp(stamped.headers)
    assert stamp is not None
    assert stamp.digest == content_digest(stamped.headers, stamped.key, stamped.value)


def test_the_digest_does_not_depend_on_the_producer() -> None:
    again = encode(ACTIONS, ACTION, "replay-7")
    assert content_digest(again.headers, again.key, again.value) == content_digest(
        RECORD.headers, RECORD.key, RECORD.value
    )


def test_any_change_of_what_is_said_changes_the_digest() -> None:
    known = content_digest(RECORD.headers, RECORD.key, RECORD.value)
    others = [
        replace(ACTION, id="a-3"),
        replace(ACTION, time_ms=1),
        replace(ACTION, conversation_id="c-2"),
        replace(ACTION, turn=2),
    ]
    digests = {known}
    for other in others:
        record = encode(ACTIONS, other, "gateway-0")
        digests.add(content_digest(record.headers, record.key, record.value))
    assert len(digests) == 1 + len(others)


def test_a_record_of_a_foreign_producer_has_no_stamp() -> None:
    assert read_stamp(RECORD.headers) is None
    assert read_stamp(None) is None


def test_a_stamp_that_is_no_number_is_a_rejection() -> None:
    with pytest.raises(MalformedEventError, match="ns_seq"):
        read_stamp([("ns_instance", b"x"), ("ns_seq", b"many"), ("ns_digest", b"d")])
