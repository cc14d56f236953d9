"""What a log must show after a fault: each thing that is missing from it is told, and nothing else."""

from collections.abc import Callable

import pytest

from infra.faults.ledger import Ledger
from infra.faults.reckoning import due, lost, offsets_left, unserved
from schemas import events as e
from tests.made_log import POLICY, MadeLog
from tests.version_lines import loaded
from trainer.publish import skip_id

TOLD = Ledger(acknowledged={"a", "b"}, reacted_to={"a"}, rated={"a"})


def whole() -> MadeLog:
    """Turn a, which somebody reacted to and which trained; turn b, of which nothing came."""
    log = MadeLog()
    log.ready("a", 1, question="Why?", answer="So.", reply="Thanks!")
    log.feedback("a", "up")
    log.action("b")
    log.next_state("b", kind="ended")
    log.skip("b", "no_next_state")
    log.batch("one", "a")
    log.checkpoint(1, {"one": ("a",)})
    log.put("reloads", loaded(1))
    return log


def without(log: MadeLog, *topics: str, event_id: str | None = None) -> MadeLog:
    def stays(event: e.Event | None, topic: str) -> bool:
        return topic not in topics or (event_id is not None and event is not None and event.id != event_id)

    log.records = [one for one in log.records if stays(one.event, one.topic)]
    return log


def test_a_log_that_has_all_is_whole() -> None:
    assert lost(whole().records, TOLD) == set()
    assert offsets_left(whole().records, {0: 1}) == []


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        (("actions", "a"), {"action a"}),
        (("next-states", "next-a"), {"the next state of a"}),
        (("feedback", "feedback-a"), {"the thumb on a"}),
        (("samples", "sample-a"), {"sample or skip of a"}),
        (("skips", "skip-b-no_next_state"), {"sample or skip of b"}),
        (("batches", "one"), {"the batch of a"}),
        (("trained", "trained-a-1"), {"training on a"}),
        (("reloads", "lpengine1"), {"the load of version 1"}),
    ],
)
def test_what_is_missing_is_told(missing: tuple[str, str], told: set[str]) -> None:
    topic, event_id = missing
    assert lost(without(whole(), topic, event_id=event_id).records, TOLD) == told


def test_that_nothing_will_follow_is_no_reaction() -> None:
    log = without(whole(), "next-states", event_id="next-a")
    log.next_state("a", kind="ended")
    assert lost(log.records, TOLD) == {"the next state of a"}


def test_a_skip_of_a_next_state_is_none_of_its_turn() -> None:
    log = without(whole(), "skips")
    log.skip("b", "branch", stage="join")
    assert due(log.records, TOLD) == {"sample or skip of b"}


@pytest.mark.parametrize(
    ("reasons", "told"),
    [
        (["no_next_state"], {"the sample of a, which has a reaction"}),
        (["base_missing"], {"the sample of a, which has a reaction"}),
        (["zero_without_hint"], set()),
        (["abstained_without_hint"], set()),
        (["no_next_state", "zero_without_hint"], set()),  # the reaction was late
    ],
)
def test_a_turn_that_somebody_reacted_to_is_skipped_for_what_the_reaction_says_alone(
    reasons: list[e.SkipReason], told: set[str]
) -> None:
    log = without(whole(), "samples", "batches", "trained", "checkpoints", "reloads")
    for reason in reasons:
        log.skip("a", reason)
    assert due(log.records, TOLD) == told


def test_a_trainer_that_skips_what_it_should_train_has_not_trained_it() -> None:
    log = without(whole(), "trained")
    log.skip("a", "too_stale", stage="trainer")
    assert due(log.records, TOLD) == {"training on a"}


def newer(log: MadeLog) -> None:
    log.checkpoint(2, {})


def refused(log: MadeLog) -> None:
    log.checkpoint(2, {})
    log.refused(2, "worse")


def rejected(log: MadeLog) -> None:
    log.checkpoint(2, {})
    place = {"topic": "checkpoints", "partition": 0, "offset": log.offsets["checkpoints"] - 1}
    log.put(
        "rejections",
        e.EventRejected(id="r", time_ms=1, policy=POLICY, stage="reload", error="E", reason="r", **place),
    )


def another_engine(log: MadeLog) -> None:
    log.put("reloads", loaded(0, "second"))


def another_engine_with_all(log: MadeLog) -> None:
    log.put("reloads", loaded(1, "second"))
    log.put("reloads", loaded(0, "second"))


@pytest.mark.parametrize(
    ("happens", "version"),
    [(newer, 2), (refused, None), (rejected, None), (another_engine, 1), (another_engine_with_all, None)],
)
def test_the_newest_good_version_must_be_on_the_engine_that_lives(
    happens: Callable[[MadeLog], None], version: int | None
) -> None:
    log = whole()
    happens(log)
    assert unserved(log.records) == (set() if version is None else {f"the load of version {version}"})


def test_a_version_without_its_offset_is_told() -> None:
    assert offsets_left(whole().records, {}) == ["Version 1 was published without its offset."]
    assert offsets_left(whole().records, {0: 0, 1: 5}) == ["Version 1 was published without its offset."]


def test_a_batch_that_was_taken_again_had_no_offset_unless_it_was_sent_again() -> None:
    log = whole()
    skip = e.TurnSkipped(
        id=skip_id("one", "sample-a", "already_trained"),
        time_ms=1,
        policy=POLICY,
        action_id="a",
        reason="already_trained",
        stage="trainer",
    )
    log.put("skips", skip)
    assert offsets_left(log.records, {0: 1}) == ["Version 1 was published without its offset."]
    log.batch("one", "a")
    assert offsets_left(log.records, {0: 2}) == []
