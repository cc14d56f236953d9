"""What the fault suite claims of a dying engine: each claim fails on the one request or record that breaks it."""

from dataclasses import replace
from typing import Any

import pytest

from infra.faults.engine import speaker_of
from infra.faults.engine_claims import (
    Deadlines,
    Evidence,
    broken_streams,
    mistold,
    num_stale,
    returned_older,
    spoken_by_another,
    trained_though_broken,
    tried_again,
    unfair,
)
from infra.faults.ledger import Asked
from tests.example_events import ACTION
from tests.version_lines import loaded

DEADLINES = Deadlines(retry_s=8.0, token_s=3.0)
REFUSED = "InternalServerError: Error code: 503 - The engine cannot be reached or broke off"
BROKEN = "APIError: The engine cannot be reached or broke off"


def asked(**facts: Any) -> Asked:
    return Asked(**{"at_s": 0.0, "first_s": 0.1, "whole_s": 1.0, "error": None, "action_id": "a", **facts})


def refused(**facts: Any) -> Asked:
    return asked(**{"first_s": None, "whole_s": 9.0, "error": REFUSED, "status": 503, "action_id": None, **facts})


def evidence(**facts: Any) -> Evidence:
    none: dict[str, Any] = {"actions": {}, "skipped": {}, "trained": frozenset(), "reloads": ()}
    return Evidence(**{**none, **facts})


def test_a_refusal_after_all_patience_and_an_error_event_in_a_stream_are_fair() -> None:
    assert unfair([refused(), asked(error=BROKEN, whole_s=3.5), asked()], DEADLINES) == []


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (refused(whole_s=2.0), "given up before its 8 s"),
        (refused(whole_s=90.0), "waited longer"),
        (refused(status=500), "failed with"),
        (refused(status=None, error="APITimeoutError: Request timed out."), "failed with APITimeoutError"),
        (asked(error="APIConnectionError: The stream ended without its finish."), "without the engine's error event"),
        (asked(error=BROKEN, whole_s=60.0), "silent stream"),
        (asked(first_s=90.0, whole_s=91.0), "to begin"),
    ],
)
def test_every_other_failure_is_told(one: Asked, why: str) -> None:
    (told,) = unfair([asked(), one], DEADLINES)
    assert why in told


def test_who_asked_before_a_death_and_was_answered_after_the_return_was_tried_again() -> None:
    spans = asked(at_s=1.0, first_s=6.0, whole_s=7.0)
    others = [
        asked(at_s=1.0, first_s=0.5, whole_s=7.0),  # heard something before
        asked(at_s=3.0, first_s=4.0, whole_s=5.0),  # asked while it was away
        refused(at_s=1.0),
    ]
    assert tried_again([*others, spans], [(2.0, 5.0)]) == [spans]


def test_a_broken_stream_must_be_recorded_and_skipped_as_that_and_never_train() -> None:
    broken = broken_streams([asked(), refused(), asked(error=BROKEN)])
    assert len(broken) == 1
    error = replace(ACTION, id="a", finish_reason="error")
    assert mistold(broken, evidence(actions={"a": error}, skipped={"a": "engine_error"})) == []
    assert mistold(broken, evidence()) == ["the broken stream a"]
    assert mistold(broken, evidence(actions={"a": error})) == ["the broken stream a"]
    assert mistold(broken, evidence(actions={"a": replace(error, finish_reason="stop")})) == ["the broken stream a"]
    assert trained_though_broken(evidence(actions={"a": error}, trained=frozenset("ab"))) == ["a"]


def test_an_answer_by_an_older_version_is_stale_unless_it_was_asked_for_before() -> None:
    newer = asked(version=2, at_s=0.0, whole_s=1.0)
    assert num_stale([newer, asked(version=1, at_s=0.5, whole_s=2.0), asked(version=2, at_s=3.0)]) == 0
    assert num_stale([newer, asked(version=1, at_s=1.5), asked(version=0, at_s=1.6)]) == 2


def test_an_engine_must_come_back_with_what_the_one_before_had() -> None:
    before = (loaded(1, "A"), loaded(2, "A"))
    assert returned_older((*before, loaded(2, "B"), loaded(1, "B"), loaded(3, "C"))) == []
    assert len(returned_older((*before, loaded(1, "B")))) == 1
    assert len(returned_older((*before, loaded(0, "B")))) == 1


def test_header_log_and_speaker_must_be_one() -> None:
    reply = replace(ACTION.reply, content="Answer 1-2 of assistant@3: begin.")
    action = replace(ACTION, id="a", policy="assistant", adapter="assistant@3", reply=reply)
    log = evidence(actions={"a": action})
    assert list(spoken_by_another([asked(version=3)], log)) == []
    assert len(list(spoken_by_another([asked(version=2)], log))) == 1
    by_base = replace(action, reply=replace(reply, content="Answer 1-2 of base: begin."))
    assert len(list(spoken_by_another([asked(version=3)], evidence(actions={"a": by_base})))) == 1


def test_an_answer_names_who_speaks() -> None:
    assert speaker_of("Answer 17-3 of assistant@12: begin") == "assistant@12"
    assert speaker_of("Answer 17-3 of base.\n") == "base"
    assert speaker_of("Something else") == ""
