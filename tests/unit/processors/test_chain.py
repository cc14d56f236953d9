"""Prompts that were recorded as deltas come back whole, or name what is missing."""

from dataclasses import replace

import pytest
from processor_world import action, resolved, user

from processors.chain import MissingBase, whole_prompt
from schemas.errors import MalformedEventError, TokenMismatchError


def conversation(num_turns):
    """Actions a-0, a-1 ..., each a delta of the one before."""
    actions, prompts, base, messages = {}, [], None, ()
    for turn in range(num_turns):
        messages = (*messages, user(f"question {turn}"))
        taken = action(f"a-{turn}", messages=messages, reply=f"answer {turn}", base=base)
        base = resolved(taken, messages)
        actions[taken.id] = taken
        prompts.append(base)
        messages = (*messages, taken.reply)
    return actions, prompts


def test_a_chain_of_deltas_gives_the_whole_prompt():
    actions, prompts = conversation(4)
    assert actions["a-3"].base_action_id == "a-2"
    for prompt in prompts:
        assert whole_prompt(actions[prompt.action_id], actions.get) == prompt


def test_a_missing_base_is_named_however_far_back_it_is():
    actions, _ = conversation(4)
    del actions["a-1"]
    assert whole_prompt(actions["a-3"], actions.get) == MissingBase(action_id="a-1")


def test_a_chain_that_leads_back_to_itself_is_refused():
    a, b = action("a", base_action_id="b"), action("b", base_action_id="a")
    with pytest.raises(TokenMismatchError, match="its own base"):
        whole_prompt(a, {"a": a, "b": b}.get)


def test_a_base_that_is_shorter_than_what_was_kept_of_it_is_refused():
    actions, _ = conversation(2)
    actions["a-0"] = action("a-0", messages=(user("q"),), reply="a")
    with pytest.raises(TokenMismatchError, match="keeps more"):
        whole_prompt(actions["a-1"], actions.get)


def test_a_prompt_is_never_built_on_another_tenants_words():
    actions, _ = conversation(2)
    with pytest.raises(MalformedEventError, match="not its tenant's"):
        whole_prompt(replace(actions["a-1"], tenant="other"), actions.get)
