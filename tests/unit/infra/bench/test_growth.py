"""What a conversation adds to the log: by deltas, also behind a prompt that changes, and with prompts in full."""

from pathlib import Path

import pytest

from infra.bench.log.growth import Growth, GrowthTable, bench_growth
from serving.rendering import ChatRenderer

NUM_TURNS = 5


@pytest.fixture(scope="module")
def table(model_path: Path) -> GrowthTable:
    return bench_growth(ChatRenderer(model_path), lambda _: None, NUM_TURNS)


def test_every_turn_is_counted_and_the_first_is_whole_either_way(table: GrowthTable) -> None:
    assert table.num_turns == NUM_TURNS
    for growth in (table.short_prompt, table.changing_prompt):
        assert len(growth.log_bytes) == len(growth.whole_prompt_bytes) == NUM_TURNS
        assert growth.log_bytes[0] == growth.whole_prompt_bytes[0]
        assert growth.last_to_first == growth.log_bytes[-1] / growth.log_bytes[0]
        assert growth.is_within_goal == (growth.last_to_first <= 2)


def test_prompts_in_full_grow_with_each_turn(table: GrowthTable) -> None:
    for growth in (table.short_prompt, table.changing_prompt):
        assert all(later > earlier for earlier, later in _steps(growth))


def test_behind_a_fixed_prompt_a_turn_costs_what_it_adds(table: GrowthTable) -> None:
    per_turn = table.short_prompt.log_bytes
    assert max(per_turn) < 1.3 * min(per_turn)
    assert table.short_prompt.whole_prompt_bytes[-1] > 1.5 * per_turn[-1]


def test_behind_a_changing_prompt_a_turn_costs_what_it_adds_and_the_prompts_words(table: GrowthTable) -> None:
    first, *later = table.changing_prompt.log_bytes
    assert max(later) < 0.8 * first  # the prompt's words again, but few of its tokens
    assert max(later) < 1.05 * min(later)
    assert table.changing_prompt.is_within_goal


def _steps(growth: Growth) -> list[tuple[int, int]]:
    return list(zip(growth.whole_prompt_bytes, growth.whole_prompt_bytes[1:], strict=False))
