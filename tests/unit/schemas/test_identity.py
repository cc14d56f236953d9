"""Ids sort by time, digests see boundaries, derived ids depend on exactly their inputs."""

import hashlib

from schemas.identity import DIGEST_CHARS, derived_id, digest_bytes, digest_text, new_id


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
