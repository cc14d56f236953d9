from made_log import POLICY, MadeLog

from schemas.events import PolicyRefused
from streams.learning import Learning, explain_learning


def taught() -> MadeLog:
    log = MadeLog()
    log.ready("a0", 1, question="q", answer="a", reply="Thanks!")
    log.batch("b1", "a0")
    log.checkpoint(1, {"b1": ("a0",)})
    return log


def test_a_policy_that_nobody_used_is_not_learning() -> None:
    assert explain_learning(taught().query(), "other") == Learning(
        policy="other",
        is_learning=False,
        because="nobody has talked to it yet",
        version=0,
        num_turns=0,
        num_trained_turns=0,
    )


def test_before_the_first_version_it_says_where_the_turns_are() -> None:
    log = MadeLog()
    log.action("a0")
    log.action("a1")
    log.action("a2")
    log.skip("a2", "side_turn")
    answer = explain_learning(log.query(), POLICY)

    assert not answer.is_learning
    assert answer.because == (
        "no version has been trained yet: of 3 turns 2 are waiting for a next state, 1 were skipped as side_turn"
    )


def test_a_trained_version_is_learning() -> None:
    answer = explain_learning(taught().query(), POLICY)

    assert (answer.is_learning, answer.version, answer.num_turns, answer.num_trained_turns) == (True, 1, 1, 1)
    assert answer.because == "version 1 was trained on 1 turns, and no turn waits"


def test_turns_on_their_way_are_learning_too() -> None:
    log = taught()
    log.action("a1", version=1)
    log.skip("a1", "no_next_state")
    log.action("a2", version=1)
    answer = explain_learning(log.query(), POLICY)

    assert answer.is_learning
    assert "1 are waiting for a next state" in answer.because


def test_as_many_skips_as_the_last_version_took_mean_that_it_has_stopped_learning() -> None:
    log = taught()
    log.action("a1", version=1)
    log.transition("a1")
    log.verdict("a1", None)
    log.hint("a1")
    log.skip("a1", "abstained_without_hint")
    answer = explain_learning(log.query(), POLICY)

    assert not answer.is_learning
    assert answer.because == (
        "none of the 1 turns since version 1 can train: "
        "1 were skipped as abstained_without_hint (judge abstained: no clear reaction)"
    )


def test_a_refused_version_is_told_with_the_gates_reason() -> None:
    log = taught()
    refused = PolicyRefused(id="p", time_ms=0, policy=POLICY, version=1, checkpoint_id="checkpoint-1", reason="worse")
    log.put("promotions", refused)
    answer = explain_learning(log.query(), POLICY)

    assert (answer.is_learning, answer.because) == (False, "the gate refused version 1: worse")


def test_a_version_of_imported_turns_does_not_count_what_was_skipped_before_it() -> None:
    log = taught()
    for number in range(2):
        log.action(f"a{number + 1}", version=0)
        log.skip(f"a{number + 1}", "no_next_state")
    log.ready("a3", 1, question="q", answer="a", reply="Thanks!")
    log.batch("b2", "a3")
    log.checkpoint(2, {"b2": ("a3",)})
    log.ready("old", 1, question="q", answer="a", reply="Thanks!", time_ms=1_000)
    log.batch("b3", "old")
    log.checkpoint(3, {"b3": ("old",)}, time_ms=1_000)
    log.action("older", time_ms=500, logprob_origin="unscored", response_logprobs=(), token_versions=())
    answer = explain_learning(log.query(), POLICY)

    assert answer.is_learning
    assert answer.because == (
        "version 3 was trained on 1 turns, and of 1 turns since then 1 are waiting for a next state"
    )
