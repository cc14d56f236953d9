"""What the audit says of logs that were killed, cut, compacted, deleted from, delivered late, or forged."""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest
from audited_world import POLICY, STEP_MS, AuditedWorld, Producer, good_world, records_of
from processor_world import action, next_state
from sabotage import again, report_on, without

from infra.audit import audit
from infra.audit.report import Finding, Report
from infra.commands.audit import as_facts, draw
from schemas import events as e
from schemas.identity import derived_id, subject_digest
from streams.codec import encode, encode_batch
from streams.erasures import Erasure, Erasures
from streams.memory import MemoryLog
from streams.recorded import Recorded
from streams.stamp import read_stamp
from streams.topics import ACTIONS, BATCHES, BY_NAME, CURRENT_POLICIES, ERASURES, FOR_EVER_MS, TRAINED

DAY_MS = 86_400_000
TOO_FAR = e.KeptTail(start=0, end=9_999, num_before=0)


@pytest.fixture(scope="module")
def world() -> AuditedWorld:
    return asyncio.run(good_world())


@pytest.fixture(scope="module")
def log(world: AuditedWorld) -> list[Recorded]:
    return records_of(world)


def failures(report: Report) -> list[Finding]:
    return [finding for tally in report.tallies for finding in tally.failures]


def hidden(report: Report, check: str) -> int:
    return next(tally.hidden.total() for tally in report.tallies if tally.check == check)


def counted(report: Report, check: str) -> dict[str, int]:
    return next(tally.counted for tally in report.tallies if tally.check == check)


def first(log: Sequence[Recorded], topic: str, is_wanted: Callable[[Any], bool] = lambda _: True) -> Recorded:
    return next(record for record in log if record.topic == topic and record.event and is_wanted(record.event))


def forged(record: Recorded, **changes: Any) -> Recorded:
    """The record with other fields, by somebody who writes no stamps."""
    assert record.event is not None
    encoded = encode(BY_NAME[record.topic], replace(record.event, **changes), "forger")
    return again(record, value=encoded.value, headers=encoded.headers)


def replaced(log: Sequence[Recorded], old: Recorded, new: Recorded) -> list[Recorded]:
    return [new if one is old else one for one in log]


def is_inside_a_transaction(record: Recorded, following: Recorded) -> bool:
    return record.topic != CURRENT_POLICIES.name and all(
        (stamp := read_stamp(one.headers)) is not None and stamp.instance.startswith("trainer")
        for one in (record, following)
    )


@pytest.mark.parametrize("after_ms", [0, DAY_MS], ids=["while it is written", "after everything was killed"])
def test_a_log_is_clean_at_every_moment_of_its_life(after_ms: int, log: list[Recorded]) -> None:
    readable = [record for record in log if record.event is not None]
    by_time = sorted(readable, key=lambda record: record.timestamp_ms)
    for number, (last, following) in enumerate(itertools.pairwise(by_time), 1):
        if not is_inside_a_transaction(last, following):
            report = report_on(by_time[:number], last.timestamp_ms, after_ms)
            assert failures(report) == [], f"after {number} records"


def test_topics_may_come_in_any_order(log: list[Recorded], world: AuditedWorld) -> None:
    backwards = sorted(log, key=lambda record: (record.topic, record.partition), reverse=True)
    by_time = sorted(log, key=lambda record: record.timestamp_ms)
    assert report_on(backwards, world.now_ms).tallies == report_on(by_time, world.now_ms).tallies


def test_what_retention_has_deleted_is_invisible_and_not_missing(log: list[Recorded], world: AuditedWorld) -> None:
    times = sorted(record.timestamp_ms for record in log)
    kept_from_ms = times[len(times) // 4]
    left = [
        record
        for record in log
        if BY_NAME[record.topic].compacted
        or BY_NAME[record.topic].retention_ms == FOR_EVER_MS
        or record.timestamp_ms >= kept_from_ms
    ]
    old = report_on(left, world.now_ms, after_ms=7 * DAY_MS)
    assert failures(old) == []
    assert hidden(old, "references") > 10
    assert hidden(old, "numbers") > 10
    young = report_on(left, world.now_ms, after_ms=DAY_MS)
    assert {"numbers", "references"} <= {finding.check for finding in failures(young)}, "nothing was old enough to go"


def test_compaction_of_the_newest_versions_is_invisible(log: list[Recorded], world: AuditedWorld) -> None:
    superseded = [record for record in log if record.topic == CURRENT_POLICIES.name][:-1]
    report = report_on(without(log, *superseded), world.now_ms)
    assert failures(report) == []
    assert hidden(report, "numbers") == len(superseded) - 1  # one ended a life: nothing follows it


def test_a_record_that_was_on_its_way_at_a_kill_is_invisible_and_a_second_later_one_is_not() -> None:
    log = MemoryLog(clock=iter([0, 1_000, 2_000, 32_000, 33_000]).__next__)
    producer = Producer(log, "gateway")
    for number in range(5):
        producer.send(ACTIONS, action(f"a-{number}"))
    records = log.records[ACTIONS.name]
    killed = report_on(without(records[:4], records[1]), 2_000)
    assert (failures(killed), hidden(killed, "numbers")) == ([], 1)
    lived_on = report_on(without(records, records[1]), 2_000)
    assert [finding.check for finding in failures(lived_on)] == ["numbers"]
    assert failures(lived_on)[0].event_id == "a-2"


def test_a_spool_may_deliver_twice_and_late_but_a_record_that_was_moved_says_when_it_was_sent() -> None:
    log = MemoryLog(clock=iter([0, 1_000, 2_000, 3_000]).__next__)
    producer = Producer(log, "gateway")
    late, second, third = (producer.send(ACTIONS, action(f"a-{number}")) for number in range(3))
    at_end = {"offset": 3, "timestamp_ms": 60_000}
    spooled = report_on([second, third, replace(late, **at_end)], 60_000)
    assert failures(spooled) == []
    assert counted(spooled, "order") == {"delivered late, from a spool": 1}
    twice = report_on([late, second, third, replace(late, **at_end)], 60_000)
    assert failures(twice) == []
    assert counted(twice, "ids")["repeats"] == 1
    moved = report_on([second, third, replace(late, offset=3)], 60_000)
    assert [(finding.check, finding.event_id) for finding in failures(moved)] == [("order", "a-0")]


def test_two_events_of_one_number_are_named() -> None:
    log = MemoryLog()
    producer = Producer(log, "gateway")
    producer.send(ACTIONS, action("a-0"))
    producer._stamper.rewind(0)
    producer.send(ACTIONS, action("a-1"))
    report = report_on(log.records[ACTIONS.name], 0)
    assert [(finding.check, finding.event_id) for finding in failures(report)] == [("numbers", "a-1")]
    assert "a-0" in failures(report)[0].what


def test_a_repeat_by_a_newer_release_with_one_more_empty_field_says_the_same(
    log: list[Recorded], world: AuditedWorld
) -> None:
    verdict = first(log, "verdicts")
    value = orjson.dumps({**orjson.loads(verdict.value), "new_field": None})
    headers = [(name, raw) for name, raw in verdict.headers if not name.startswith("ns_")]
    newer = replace(again(verdict, value=value, headers=headers), offset=1_000)
    report = report_on([*log, newer], world.now_ms)
    assert failures(report) == []
    assert counted(report, "ids")["repeats"] == counted(report_on(log, world.now_ms), "ids")["repeats"] + 1


def test_an_action_may_come_after_its_next_state_but_not_for_ever(log: list[Recorded], world: AuditedWorld) -> None:
    early = MemoryLog(clock=lambda: world.now_ms).append(next_state("a-unknown"))
    early = replace(early, offset=1_000)
    soon = report_on([*log, early], world.now_ms)
    assert (failures(soon), hidden(soon, "references")) == ([], 1)
    late = report_on([*log, early], world.now_ms, after_ms=4 * DAY_MS)
    assert [(finding.check, finding.event_id) for finding in failures(late)] == [("references", early.event.id)]  # type: ignore[union-attr]


def test_a_turn_that_was_not_even_forgotten_is_named(log: list[Recorded], world: AuditedWorld) -> None:
    report = audit(log, now_ms=world.now_ms + 60 * STEP_MS, max_open_age_s=600)
    assert [(finding.check, finding.event_id) for finding in failures(report)] == [("turns", "a-episode")]
    assert "an outcome" in failures(report)[0].what


@pytest.mark.parametrize(
    ("action_id", "lost", "what"),
    [
        ("a-second-2", {"transitions", "verdicts", "hints", "skips"}, "a transition"),
        ("a-second-2", {"verdicts", "hints", "skips"}, "a verdict"),
        ("a-second-2", {"hints", "skips"}, "a hint"),
        ("a-second-2", {"skips"}, "a sample"),
        ("a-silent-0", {"skips"}, "the skip of a conversation that ended"),
    ],
)
def test_a_turn_that_its_stage_has_passed_over_is_named(
    action_id: str, lost: set[str], what: str, log: list[Recorded], world: AuditedWorld
) -> None:
    is_lost = [one for one in log if one.topic in lost and getattr(one.event, "action_id", "") == action_id]
    found = [one for one in failures(report_on(without(log, *is_lost), world.now_ms)) if one.check == "turns"]
    assert [one.event_id for one in found] == [action_id]
    assert f"waits for {what}, but later ones" in found[0].what


@pytest.mark.parametrize(
    ("topic", "is_wanted", "changes", "check", "what"),
    [
        ("samples", lambda _: True, {"logprob_origin": "somebody"}, "tokens", "come from 'somebody'"),
        ("samples", lambda s: len(s.response_ids) == 2, {"response_ids": (7, 8)}, "tokens", "other response tokens"),
        ("samples", lambda _: True, {"temperature": 0.1}, "tokens", "other log-probs, versions or temperature"),
        ("samples", lambda s: s.feedback_id, {"reward": -0.5}, "rewards", "Its reward is -0.5, but the thumb of"),
        ("samples", lambda s: s.feedback_id, {"feedback_id": "f-x"}, "references", "names FeedbackGiven f-x"),
        ("samples", lambda s: s.feedback_id, {"feedback_id": None}, "derivations", "is not the digest of inputs"),
        ("samples", lambda s: not s.feedback_id, {"reward": -0.5}, "rewards", "but verdict"),
        ("feedback", lambda f: f.thumb, {"action_id": "a-chat"}, "rewards", "of another action or tenant"),
        ("feedback", lambda f: f.thumb, {"time_ms": 2**42}, "derivations", "another time_ms"),
        ("actions", lambda a: a.base_action_id, {"kept_prompt_tokens": 9_999}, "prompts", "keeps more of action"),
        ("actions", lambda a: a.base_action_id, {"prompt_tail": TOO_FAR}, "prompts", "keeps more of action"),
        ("actions", lambda a: a.base_action_id, {"messages_tail": TOO_FAR}, "prompts", "keeps more of action"),
        ("actions", lambda a: a.base_action_id, {"base_action_id": "a-chat-2"}, "prompts", "its own base"),
        ("actions", lambda a: a.id == "a-waiting", {"policy": "another"}, "versions", "was never published"),
        ("verdicts", lambda _: True, {"time_ms": 1}, "derivations", "another time_ms"),
        ("transitions", lambda _: True, {"subject": "eve"}, "derivations", "another subject"),
        ("hints", lambda _: True, {"extractor_version": "2"}, "derivations", "is not the digest of inputs"),
        ("skips", lambda s: s.stage == "trainer", {"reason": "rejected"}, "derivations", "not the digest of inputs"),
        ("checkpoints", lambda c: c.version == 3, {"version": 9}, "versions", "8 is missing"),
        ("checkpoints", lambda c: c.version == 3, {"parent_version": 5}, "versions", "Its parent, version 5"),
        ("checkpoints", lambda c: c.version == 3, {"version": 2}, "versions", "versions only grow"),
        ("checkpoints", lambda c: c.version == 3, {"sample_ids": ()}, "training", "another number of samples"),
        ("trained", lambda t: t.version == 3, {"version": 4}, "training", "names no such action and sample"),
        ("trained", lambda t: t.version == 3, {"version": 99}, "training", "no checkpoint of version 99"),
        ("reloads", lambda r: r.version == 3, {"version": 4}, "versions", "Its checkpoint is version 3, not 4"),
        ("reloads", lambda r: r.version == 3, {"checkpoint_id": "x"}, "references", "CheckpointPublished x"),
    ],
)
def test_a_forged_record_contradicts_others(
    topic: str,
    is_wanted: Callable[[Any], bool],
    changes: dict[str, Any],
    check: str,
    what: str,
    log: list[Recorded],
    world: AuditedWorld,
) -> None:
    record = first(log, topic, is_wanted)
    report = report_on(replaced(log, record, forged(record, **changes)), world.now_ms)
    assert any(finding.check == check and what in finding.what for finding in failures(report)), failures(report)


def test_an_action_that_trains_twice_is_named(log: list[Recorded], world: AuditedWorld) -> None:
    checkpoints = [record.event for record in log if record.topic == "checkpoints"]
    early, late = checkpoints[0], checkpoints[3]
    assert isinstance(early, e.CheckpointPublished)
    assert isinstance(late, e.CheckpointPublished)
    action_id = early.action_ids[0]
    entry = e.ActionTrained(
        id="again", time_ms=1, policy=POLICY, action_id=action_id, sample_id=early.sample_ids[0], version=late.version
    )
    added = replace(MemoryLog().append(entry), offset=1_000)
    more = forged(
        first(log, "checkpoints", lambda event: event is late),
        action_ids=(*late.action_ids, action_id),
        sample_ids=(*late.sample_ids, early.sample_ids[0]),
    )
    records = replaced(log, first(log, "checkpoints", lambda event: event is late), more)
    found = {(finding.topic, finding.what) for finding in failures(report_on([*records, added], world.now_ms))}
    said = f"Action {action_id} trains version {late.version}, and has trained {early.version}."
    assert ("checkpoints", said) in found
    assert any(topic == TRAINED.name and "has trained assistant before" in what for topic, what in found)


def test_a_sample_in_two_batches_is_named(log: list[Recorded], world: AuditedWorld) -> None:
    samples = [record.event for record in log if record.topic == "samples"][1:3]
    ids = tuple(sample.id for sample in samples if isinstance(sample, e.SampleBuilt))
    batch = e.BatchSealed(
        id=derived_id("pack", "3", ids),
        time_ms=max(sample.time_ms for sample in samples if sample),
        policy=POLICY,
        samples_partition=first(log, "samples").partition,
        first_offset=1,
        last_offset=2,
        sample_ids=ids,
        action_ids=tuple(sample.action_id for sample in samples if isinstance(sample, e.SampleBuilt)),
    )
    encoded = encode_batch(batch, samples, "forger")  # type: ignore[arg-type]
    record = MemoryLog().append_raw(BATCHES, encoded.key, encoded.value, encoded.headers)
    report = report_on([*log, replace(record, offset=1_000)], world.now_ms)
    assert {finding.event_id for finding in failures(report) if finding.check == "batches"} == set(ids)


def test_the_text_shows_checks_failures_and_what_was_not_visible(
    log: list[Recorded], world: AuditedWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    victims = [record for record in log if record.topic == "actions"]
    report = report_on(without(log, *victims), world.now_ms)
    draw(report)
    out = capsys.readouterr().out
    num_failures = len(next(tally.failures for tally in report.tallies if tally.check == "references"))
    assert f"references: {num_failures} failures" in out
    assert f"... and {num_failures - 20} more" in out
    assert "cannot see:\n" in out
    assert "  references: 1 actions that a next state or feedback names" in out
    assert out.endswith(f"records: {len(failures(report))} failures.\n")


def test_json_has_every_failure(log: list[Recorded], world: AuditedWorld) -> None:
    report = report_on(without(log, *(record for record in log if record.topic == "verdicts")), world.now_ms)
    facts = orjson.loads(orjson.dumps(as_facts(report)))
    assert facts["clean"] is False
    assert sum(len(check["failures"]) for check in facts["checks"]) == len(failures(report))
    assert {"topic", "partition", "offset", "event_id", "what", "check"} == set(facts["checks"][5]["failures"][0])


def test_what_an_erasure_took_is_not_held_against_the_log(world: AuditedWorld, log: list[Recorded]) -> None:
    samples = tuple(one.event.id for one in log if one.topic == "samples" and one.event)
    digest = subject_digest("ada")
    erased = e.SubjectErased(
        id="erased", time_ms=world.now_ms, policy=POLICY, subject_digest=digest, sample_ids=samples
    )

    erasures = Erasures.of([Erasure.of(erased)])
    left = [kept for one in log if (kept := erasures.apply(one)) is not None]
    notice = MemoryLog(lambda: world.now_ms)
    Producer(notice, "erase").send(ERASURES, erased)

    assert len(left) < len(log) / 2
    assert failures(report_on(left, world.now_ms))
    report = report_on([*left, *notice.records[ERASURES.name]], world.now_ms)
    assert failures(report) == []
    assert hidden(report, "digests") > 0
