"""Ids sort by time, digests see boundaries, derived ids depend on exactly their inputs."""

import hashlib

import pytest

from schemas.identity import (
    DEFAULT_TENANT,
    DIGEST_CHARS,
    derived_id,
    digest_bytes,
    digest_text,
    named_id,
    new_id,
    tenants_id,
)


def test_new_ids_sort_by_time() -> None:
    ids = [new_id(now_ms) for now_ms in (1, 2, 1_771_000_000_000, 1_771_000_000_001)]
    assert ids == sorted(ids)


def test_new_ids_of_one_millisecond_differ() -> None:
    assert len({new_id(1_771_000_000_000) for _ in range(1_000)}) == 1_000


def test_a_digest_is_the_beginning_of_sha256() -> None:
    assert digest_bytes(b"egg") == hashlib.sha256(b"egg").hexdigest()[:DIGEST_CHARS]


def test_the_boundaries_between_texts_count() -> None:
    assert len({digest_text("ab", "c"), digest_text("a", "bc"), digest_text("abc"), digest_text("abc", "")}) == 4


def test_a_derived_id_is_the_same_for_the_same_inputs_only() -> None:
    first = derived_id("join", "1", ["a", "n"])
    assert first == derived_id("join", "1", ("a", "n"))
    others = {
        derived_id("join", "2", ["a", "n"]),
        derived_id("build", "1", ["a", "n"]),
        derived_id("join", "1", ["n", "a"]),
    }
    assert len(others | {first}) == 4


def test_a_tenant_goes_on_naming_an_event_as_it_did_or_as_the_log_does() -> None:
    given = tenants_id("acme", "turn-1")
    assert named_id("acme", "turn-1") == named_id("acme", given) == given
    assert len({given, tenants_id("bolt", "turn-1"), tenants_id("acme", "turn-2")}) == 3


@pytest.mark.parametrize("other", ["bolt", DEFAULT_TENANT])
def test_nobody_can_work_out_how_to_name_what_another_tenant_will_say(other: str) -> None:
    theirs = tenants_id("acme", "turn-1")
    assert theirs not in {tenants_id(other, theirs), named_id(other, theirs)}


def test_what_nobody_guesses_is_named_alike_by_all() -> None:
    uuid = "0197a5f0-1c2b-7d3e-8f40-5a6b7c8d9e0f"
    assert {tenants_id("acme", uuid), named_id("bolt", uuid), tenants_id(DEFAULT_TENANT, uuid)} == {uuid}
    assert tenants_id(DEFAULT_TENANT, "turn-1") == "turn-1"
