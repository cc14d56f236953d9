"""What a row of kills must have seen to be one: nearly all that were planned, at every place that was ordered."""

import asyncio
from collections import Counter
from typing import Any, cast

import pytest

from infra.faults import kills
from infra.faults.kills import ALONE, AT_ONCE, NUM_ORDERS, Kills, Plan, kill_often, untried, waits_again
from streams.failpoints import FAILPOINTS

PLACES = {name for name, owner in FAILPOINTS.items() if owner == "gateway"}
SPOOL = {name for name in PLACES if name.startswith("spool.")}
PLAN = Plan(quotas={"gateway": 20})


def seen(num: int, passed: set[str]) -> dict[str, Kills]:
    return {"gateway": Kills(recovery_s=[1.0] * num, passed=passed)}


def test_nearly_all_kills_at_all_places_are_a_row() -> None:
    assert list(untried(PLAN, seen(16, PLACES))) == []


def test_too_few_kills_are_told() -> None:
    assert list(untried(PLAN, seen(15, PLACES))) == ["Only 15 of 20 kills of the gateway struck."]


def test_a_place_at_which_nobody_died_is_told() -> None:
    assert list(untried(PLAN, seen(20, PLACES - {"gateway.emitted"}))) == ["The gateway never died at gateway.emitted."]


def test_a_place_that_was_not_ordered_is_not_missed() -> None:
    assert list(untried(Plan(quotas={"gateway": 2}), seen(2, {"gateway.before-emit"}))) == []


def test_where_all_die_at_once_half_of_it_is_much_and_the_spool_is_left_out() -> None:
    at_once = Plan(quotas={"gateway": 20}, at_once=True)
    assert list(untried(at_once, seen(10, PLACES - SPOOL))) == []
    assert list(untried(at_once, seen(9, PLACES - SPOOL))) == ["Only 9 of 20 kills of the gateway struck."]
    assert len(list(untried(PLAN, seen(20, PLACES - SPOOL)))) == len(SPOOL)


def test_every_failpoint_has_its_turn() -> None:
    for quotas in (ALONE, AT_ONCE):
        for component in set(FAILPOINTS.values()):
            assert (quotas[component] + 1) // 2 >= sum(owner == component for owner in FAILPOINTS.values())


def test_a_place_that_nobody_passed_in_time_has_more_turns_where_all_die_at_once_until_it_has_struck() -> None:
    at_once, new, struck = Plan(quotas={"gateway": 20}, at_once=True), Kills(), Kills(passed={"gateway.emitted"})
    assert waits_again("gateway.emitted", 1, at_once, new)
    assert not waits_again("gateway.emitted", NUM_ORDERS, at_once, new)
    assert not waits_again("gateway.emitted", 1, at_once, struck)
    assert waits_again("gateway.emitted", 1, PLAN, struck)
    assert not waits_again(None, 1, PLAN, new)


def test_each_place_that_nobody_passes_is_ordered_a_few_times_and_then_left(monkeypatch: pytest.MonkeyPatch) -> None:
    orders: Counter[str | None] = Counter()

    async def not_struck(victim: Any, folder: Any, place: str | None, plan: Any, chance: Any) -> bool:
        orders[place] += 1
        return False

    monkeypatch.setattr(kills, "_struck", not_struck)
    stage, plan = cast("Any", type("Stage", (), {"orders": None})), Plan(quotas={"reloader": 6})
    asyncio.run(kill_often(stage, "reloader", plan, 1, Kills()))
    assert orders == {None: 3} | {name: NUM_ORDERS for name, owner in FAILPOINTS.items() if owner == "reloader"}
