"""What an outage may cost the people who talk: one deadline, once. And an account that says what is wrong."""

from infra.faults.account import Account, failures
from infra.faults.kafka_away import Course, Delays
from infra.faults.ledger import Asked, Ledger
from infra.faults.reckoning import Reckoning

DEADLINE_S, ALLOWED_S = 2.0, 0.1
COURSE = Course(begun_s=0.0, struck_s=100.0, spooling_s=110.0, returned_s=200.0, emptied_s=210.0, ended_s=300.0)


def ledger(*, noticing_s: float, spooling_s: float, error: str | None = None) -> Ledger:
    took = [(float(at_s), 0.1) for at_s in range(100)]
    took += [(105.0, noticing_s), *((float(at_s), spooling_s) for at_s in range(110, 200))]
    return Ledger(requests=[Asked(at_s=at_s, first_s=0.0, whole_s=whole_s, error=error) for at_s, whole_s in took])


def wrong(told: Ledger) -> list[str]:
    return Delays.of(told, COURSE).wrong(DEADLINE_S, ALLOWED_S)


def test_one_deadline_is_what_an_outage_may_cost() -> None:
    assert wrong(ledger(noticing_s=2.15, spooling_s=0.15)) == []


def test_a_second_deadline_is_too_much() -> None:
    assert wrong(ledger(noticing_s=4.1, spooling_s=0.1)) == ["One request waited 4.0 s longer."]


def test_a_spool_that_is_slow_is_too_much() -> None:
    assert wrong(ledger(noticing_s=2.0, spooling_s=0.5)) == ["With the spool, p99 was 0.40 s longer."]


def test_a_machine_that_was_busy_before_is_no_excuse_for_the_spool() -> None:
    told = ledger(noticing_s=2.0, spooling_s=0.5)
    told.requests += [Asked(at_s=50.0 + place / 10, first_s=0.0, whole_s=1.4, error=None) for place in range(20)]
    told.requests += [Asked(at_s=220.0, first_s=0.0, whole_s=0.1, error=None)] * 40
    assert wrong(told) == ["With the spool, p99 was 0.40 s longer."]


def test_what_was_under_way_when_kafka_went_is_no_usual_delay() -> None:
    told = ledger(noticing_s=0.1, spooling_s=0.1)
    told.requests.append(Asked(at_s=99.5, first_s=0.0, whole_s=4.0, error=None))
    assert wrong(told) == ["One request waited 3.9 s longer."]


def test_one_of_a_hundred_that_waits_a_deadline_again_is_told() -> None:
    told = ledger(noticing_s=0.1, spooling_s=0.1)
    told.requests += [Asked(at_s=111.0, first_s=0.0, whole_s=0.1, error=None)] * 300
    told.requests.append(Asked(at_s=150.0, first_s=0.0, whole_s=2.05, error=None))
    assert wrong(told) == ["1 requests waited a whole deadline though events went to the spool."]


def test_kafka_coming_back_may_not_cost_more_than_its_going() -> None:
    told = ledger(noticing_s=0.1, spooling_s=0.1)
    told.requests.append(Asked(at_s=205.0, first_s=0.0, whole_s=3.0, error=None))
    assert wrong(told) == ["When Kafka was back, one waited 2.9 s longer."]


def test_a_few_requests_prove_nothing() -> None:
    assert wrong(Ledger()) == ["Only 0 and 0 requests tell of delays."]


def test_requests_that_failed_are_counted_and_the_first_is_told() -> None:
    told = ledger(noticing_s=0.1, spooling_s=0.1, error="503")
    assert failures(told) == [f"{told.num_failed} requests failed, the first with: 503"]
    assert failures(ledger(noticing_s=0.1, spooling_s=0.1)) == []


def test_what_is_lost_or_never_done_or_in_the_wrong_order_is_told() -> None:
    told = Ledger(acknowledged={"a"})
    found = Reckoning(lost=("action a",), twice=(), wrong=(), num_trained=0, num_versions=0)
    account = Account(told, found, is_settled=False, within_s=600.0, num_early=2)
    outcome = account.outcome(tried=1, recovery_s=(), wrong=[], note="")
    assert (outcome.holds, outcome.lost) == (False, 1)
    assert outcome.wrong == (
        "What was due was not done within 600 s.",
        "2 actions lie before the one that they answer.",
        "Lost: action a.",
    )
