"""An import waits for processors that work, and for nobody else."""

from infra.imports.pace import EVERY_TURNS, MAX_LAG_RECORDS, Pace


async def paced(lags: list[int], num_turns: int) -> tuple[list[int], list[str]]:
    """What is left of the lags, and what was told, after some turns; the last lag stays."""
    left, told = list(lags), []

    def lag() -> int:
        return left.pop(0) if len(left) > 1 else left[0]

    pace = Pace(lag, told.append, stalled_s=0.05, look_again_s=0.001)
    for _ in range(num_turns):
        await pace.turn()
    return left, told


async def test_it_waits_until_the_lag_is_small() -> None:
    far = MAX_LAG_RECORDS
    left, told = await paced([far + 2, far + 2, far + 1, far, 7], EVERY_TURNS)
    assert left == [7]
    assert [line.split()[-4] for line in told] == ["10,002", "10,001"]


async def test_it_looks_now_and_then_and_does_not_wait_for_who_keeps_up() -> None:
    assert await paced([5, 6, 7], EVERY_TURNS - 1) == ([5, 6, 7], [])
    assert await paced([5, 6, 7], 2 * EVERY_TURNS) == ([7], [])


async def test_it_does_not_wait_for_processors_that_are_down_and_asks_no_more() -> None:
    left, told = await paced([MAX_LAG_RECORDS + 1], 3 * EVERY_TURNS)
    assert left == [MAX_LAG_RECORDS + 1]
    assert told[-1] == "the processors do not read; they will once nextstate up runs"
    assert told.count(told[-1]) == 1
