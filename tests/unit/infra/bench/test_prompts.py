"""Prompts such as agents send: long, and other words in every call."""

from infra.bench.prompts import AGENT_PROMPT_CHARS, agent_prompt, changing_prompt


def test_a_changing_prompt_is_long_and_differs_in_every_call() -> None:
    prompts = {changing_prompt(turn) for turn in range(100)}
    assert len(prompts) == 100
    assert 2_000 < len(changing_prompt(0)) < 8_000


def test_an_agents_prompt_is_as_long_as_openclaws_and_differs_in_every_call() -> None:
    prompts = {agent_prompt(turn) for turn in range(100)}
    assert len(prompts) == 100
    assert {len(prompt) for prompt in prompts} == {AGENT_PROMPT_CHARS}
