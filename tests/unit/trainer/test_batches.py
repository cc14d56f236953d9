"""Which samples of a batch train, and that reading them copies nothing."""

from typing import Any

import pyarrow as pa
import pytest
import torch

from schemas.events import SampleBuilt, VersionSpan
from schemas.identity import new_id, subject_digest
from streams.codec import decode_batch
from streams.erasures import Erasure, Erasures
from tests.unit.trainer.builders import recorded_batch, sample
from tests.unit.trainer.conftest import VOCAB_SIZE
from tests.version_lines import line_at
from trainer.batches import Admission, Intake, admit, read_turns
from trainer.objectives.hybrid import Hybrid


def table_of(*samples: SampleBuilt) -> pa.Table:
    return decode_batch(recorded_batch(samples).value)[1]


def admitted(*samples: SampleBuilt, **changes: Any) -> Intake:
    rules: dict[str, Any] = {
        "objective": Hybrid(),
        "line": line_at(5),
        "max_staleness": 2,
        "vocab_size": VOCAB_SIZE,
        "trained": frozenset(),
        "erasures": Erasures(),
        "sealed_ms": 0,
    }
    return admit(table_of(*samples), Admission(**{**rules, **changes}))


def reasons(intake: Intake) -> list[str]:
    return [skipped.reason for skipped in intake.skipped]


def test_a_turn_holds_exactly_what_the_sample_said() -> None:
    built = sample(version=4, episode_id="ep", group_id="g", step=2, source="tool")
    (turn,) = admitted(built).turns
    assert (turn.sample_id, turn.action_id) == (built.id, built.action_id)
    assert turn.response.prompt_ids_P.tolist() == list(built.prompt_ids)
    assert turn.response.response_ids_T.tolist() == list(built.response_ids)
    assert turn.engine_logprobs_T.tolist() == torch.tensor(built.response_logprobs).tolist()
    assert [hinted.prompt_ids_P.tolist() for hinted in turn.teachers] == [list(built.teacher_prompt_ids[0])]
    assert [hinted.response_ids_T.tolist() for hinted in turn.teachers] == [list(built.response_ids)]
    assert turn.response.temperature == pytest.approx(0.8)
    assert (turn.reward, turn.oldest_version, turn.newest_version) == (1.0, 4, 4)
    origin = turn.origin
    assert (origin.conversation_id, origin.subject, origin.source) == (built.conversation_id, "ada", "tool")
    assert (origin.episode_id, origin.group_id, origin.step) == ("ep", "g", 2)


def test_tokens_are_views_into_the_record_that_kafka_delivered() -> None:
    value = recorded_batch([sample(), sample()]).value
    start = pa.py_buffer(value).address
    for turn in read_turns(decode_batch(value)[1]):
        views = [turn.response.prompt_ids_P, turn.response.response_ids_T, turn.engine_logprobs_T]
        for view in [*views, *(hinted.prompt_ids_P for hinted in turn.teachers)]:
            assert start <= view.data_ptr() < start + len(value)


def test_what_the_objective_would_drop_whole_is_skipped_and_not_counted_as_trained() -> None:
    spans = (VersionSpan(version=3, start=0, end=1), VersionSpan(version=5, start=1, end=6))
    rules = Hybrid(stale="drop", stale_bound=1)
    intake = admitted(
        sample("a", version=3), sample("b", token_versions=spans), sample("c", version=4), objective=rules
    )
    assert [turn.action_id for turn in intake.turns] == ["b", "c"]
    assert [(one.turn.action_id, one.reason) for one in intake.skipped] == [("a", "too_stale")]
    assert "drops tokens as old" in intake.skipped[0].detail


def test_an_action_trains_once_in_a_batch_and_never_again() -> None:
    intake = admitted(*(sample(name, version=5) for name in "aba"), trained={"b"})
    assert [turn.action_id for turn in intake.turns] == ["a"]
    assert [(skipped.turn.action_id, skipped.reason) for skipped in intake.skipped] == [
        ("b", "already_trained"),
        ("a", "already_trained"),
    ]


def test_staleness_counts_from_the_oldest_version_that_drew_a_token() -> None:
    spans = (VersionSpan(version=2, start=0, end=1), VersionSpan(version=5, start=1, end=6))
    intake = admitted(sample(version=3), sample(version=2), sample(token_versions=spans))
    assert [turn.oldest_version for turn in intake.turns] == [3]
    assert reasons(intake) == ["too_stale", "too_stale"]
    assert "max_staleness is 2" in intake.skipped[0].detail


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"num_tokens": 0}, "empty_response"),
        ({"temperature": 0.0}, "sampler_not_invertible"),
        ({"reward": None, "hints": (), "teacher_prompt_ids": ()}, "no_objective_term"),
    ],
)
def test_a_turn_without_a_lesson_is_skipped_with_its_reason(changes: dict[str, Any], reason: str) -> None:
    assert reasons(admitted(sample(version=5, **changes))) == [reason]


@pytest.mark.parametrize(
    ("changes", "error", "word"),
    [
        ({"response_ids": (1, 2, 3, 4, 5, VOCAB_SIZE)}, "TokenMismatchError", "0 to 63"),
        ({"prompt_ids": (VOCAB_SIZE + 3,)}, "TokenMismatchError", "0 to 63"),
        ({"teacher_prompt_ids": ((1, VOCAB_SIZE),)}, "TokenMismatchError", "0 to 63"),
        ({"prompt_ids": ()}, "TokenMismatchError", "empty prompt"),
        ({"version": 6}, "RejectedError", "version 6"),
    ],
)
def test_a_sample_that_cannot_be_used_is_rejected_and_the_others_train(
    changes: dict[str, Any], error: str, word: str
) -> None:
    intake = admitted(sample("good", version=5), sample("bad", **{"version": 5, **changes}))
    assert [turn.action_id for turn in intake.turns] == ["good"]
    (rejected,) = intake.rejected
    assert rejected.turn.action_id == "bad"
    assert type(rejected.error).__name__ == error
    assert word in str(rejected.error)


def test_a_log_prob_that_is_no_number_is_rejected() -> None:
    table = table_of(sample(version=5))
    index = table.schema.get_field_index("response_logprobs")
    broken = table.set_column(
        index,
        table.schema.field(index),
        pa.array([[-1.0, float("nan"), -1, -1, -1, -1]], table.schema.field(index).type),
    )
    rules = Admission(
        objective=Hybrid(), line=line_at(5), max_staleness=0, vocab_size=VOCAB_SIZE, trained=frozenset(),
        erasures=Erasures(), sealed_ms=0,
    )  # fmt: skip
    assert ["not finite" in str(rejected.error) for rejected in admit(broken, rules).rejected] == [True]


UNTIL_MS = 1_700_000_000_000


@pytest.mark.parametrize(
    ("changes", "is_erased"),
    [
        ({"id": "listed", "action_id": new_id(UNTIL_MS + 1)}, True),
        ({"action_id": new_id(UNTIL_MS)}, True),  # built while the erasure was asked for
        ({"action_id": new_id(UNTIL_MS + 1)}, False),  # said after it
        ({"action_id": new_id(UNTIL_MS), "tenant": "other"}, False),
        ({"action_id": new_id(UNTIL_MS), "subject": "eve"}, False),
        ({"action_id": "made elsewhere"}, False),
    ],
)
def test_what_was_erased_does_not_train_any_more(changes: dict[str, Any], is_erased: bool) -> None:
    asked = Erasure(
        event_id="x",
        tenant="default",
        subject_digest=subject_digest("ada"),
        until_ms=UNTIL_MS,
        sample_ids=("listed",),
    )

    intake = admitted(sample(version=5, **changes), erasures=Erasures.of([asked]), sealed_ms=UNTIL_MS + 1)

    assert reasons(intake) == (["erased"] if is_erased else [])


def test_nothing_of_a_batch_that_was_sealed_before_an_erasure_trains() -> None:
    asked = Erasure(event_id="x", tenant="default", subject_digest=subject_digest("ada"), until_ms=UNTIL_MS)

    intake = admitted(sample(version=5, action_id="made elsewhere"), erasures=Erasures.of([asked]), sealed_ms=UNTIL_MS)

    assert reasons(intake) == ["erased"]
