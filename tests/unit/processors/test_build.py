"""The truth table from verdict and hint to sample or skip; what a sample copies and what it refuses."""

from dataclasses import replace

import pytest
from processor_world import LetterRenderer, action, resolved, user

from processors.build import build, check_vocabulary, not_invertible
from processors.credit import reward_of, waits_for_outcome
from schemas.errors import RejectedError, TokenMismatchError
from schemas.events import HintExtracted, Sampling, VerdictReached
from schemas.origin import UNSCORED
from schemas.validate import validate

ACTION = action()
PROMPT = resolved(ACTION, (user("hello"),))


OF_TURN = {"time_ms": 3_000, "policy": "assistant", "transition_id": "t-1", "action_id": "a-1"}


def verdict(score, abstention=None):
    return VerdictReached(
        id="v-1", **OF_TURN, score=score, votes=(score,), abstention=abstention, judge="echo", judge_version="1"
    )


def hint(*hints, reason=""):
    return HintExtracted(id="h-1", **OF_TURN, hints=hints, reason=reason, extractor="echo-hints", extractor_version="1")


def built(score=1, hints=(), taken=ACTION, **changes):
    return build(taken, PROMPT, verdict(score, **changes), hint(*hints, reason="none found"), LetterRenderer())


@pytest.mark.parametrize(("score", "reward"), [(1, 1.0), (-1, -1.0), (0, None), (None, None)])
def test_a_hint_always_makes_a_sample_and_the_verdict_its_reward(score, reward):
    sample = built(score, ("answer in one sentence",))
    assert sample.reward == reward
    assert sample.hints == ("answer in one sentence",)
    assert "".join(map(chr, sample.teacher_prompt_ids[0])) == "user:hello (answer in one sentence)\n"


@pytest.mark.parametrize("score", [1, -1])
def test_without_a_hint_the_verdict_alone_makes_a_sample(score):
    sample = built(score)
    assert (sample.reward, sample.hints, sample.teacher_prompt_ids) == (score, (), ())


def test_neither_hint_nor_reward_is_a_skip_that_says_which():
    zero, abstained = built(0), built(None, abstention="could not read the reply")
    assert (zero.reason, zero.detail) == ("zero_without_hint", "none found")
    assert (abstained.reason, abstained.detail) == ("abstained_without_hint", "could not read the reply")


def test_a_sample_holds_the_recorded_tokens_as_they_are():
    sample = built()
    assert "".join(map(chr, sample.prompt_ids)) == "user:hello\n"
    assert "".join(map(chr, sample.response_ids)) == "hi"
    assert sample.response_logprobs == ACTION.response_logprobs
    assert (sample.temperature, sample.logprob_origin) == (0.7, "engine")
    assert sample.token_versions == ACTION.token_versions
    assert (sample.transition_id, sample.verdict_id, sample.hint_id) == ("t-1", "v-1", "h-1")
    assert sample.time_ms == 3_000


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=0.0),
        Sampling(top_p=0.9),
        Sampling(top_k=20),
        Sampling(min_p=0.1),
        Sampling(frequency_penalty=0.5),
        Sampling(presence_penalty=-0.5),
        Sampling(repetition_penalty=1.1),
        Sampling(logit_bias=True),
        Sampling(grammar=True),
    ],
)
def test_sampling_that_the_trainer_cannot_undo_is_a_skip_that_names_it(sampling):
    skip = built(1, ("a hint that would help",), replace(ACTION, sampling=sampling))
    assert skip.reason == "sampler_not_invertible"
    assert skip.detail.split("=")[0] in Sampling.__dataclass_fields__


def test_temperature_seed_stop_and_length_can_be_undone():
    assert not_invertible(Sampling(temperature=0.3, top_k=-1, seed=7, stop=("\n",), max_tokens=4)) == ""


def test_a_hint_is_never_rendered_by_another_template_than_the_prompt():
    other = replace(ACTION, template_digest="figures")
    with pytest.raises(RejectedError, match="figures"):
        built(1, ("a hint that would help",), other)
    assert built(1, (), other).reward == 1.0


def test_ids_beyond_the_vocabulary_are_refused():
    check_vocabulary(ACTION, vocab_size=ord("u") + 1)
    with pytest.raises(TokenMismatchError, match=f"token id {ord('u')}"):
        check_vocabulary(ACTION, vocab_size=ord("u"))


def test_only_turns_of_episodes_and_groups_wait_for_an_outcome():
    assert not waits_for_outcome(ACTION)
    assert waits_for_outcome(replace(ACTION, episode_id="e"))
    assert waits_for_outcome(replace(ACTION, group_id="g"))


def test_zero_and_abstention_reward_nothing():
    assert [reward_of(verdict(score)) for score in (1, 0, -1, None)] == [1.0, None, -1.0, None]


OBSERVED = replace(
    ACTION,
    logprob_origin=UNSCORED,
    template_digest="",
    prompt_ids=(),
    response_ids=(),
    response_logprobs=(),
    token_versions=(),
    sampling=Sampling(temperature=0.0, top_p=0.5),
)


class ShortRenderer(LetterRenderer):
    context_length = 20


class SmallRenderer(LetterRenderer):
    vocab_size = 10


def observed(renderer=None, hints=("be kind",)):
    return build(OBSERVED, resolved(OBSERVED, (user("hello"),)), verdict(1), hint(*hints), renderer or LetterRenderer())


def test_what_another_model_served_becomes_the_policys_tokens_without_a_log_prob():
    sample = observed()
    assert "".join(map(chr, sample.prompt_ids)) == "user:hello\n"
    assert "".join(map(chr, sample.response_ids)) == "assistant:hi\n"
    assert (sample.response_logprobs, sample.token_versions, sample.logprob_origin) == ((), (), UNSCORED)
    assert sample.temperature == 1.0, "the policy did not draw it at the other model's temperature"
    assert "".join(map(chr, sample.teacher_prompt_ids[0])) == "user:hello (be kind)\n"
    validate(sample)


def test_what_another_model_served_may_be_too_long_for_the_policy():
    skip = observed(ShortRenderer())
    assert (skip.reason, skip.stage) == ("too_long", "build")
    assert skip.detail == "prompt and reply have 24 tokens, the context holds 20"


def test_tokens_that_are_made_are_in_the_vocabulary():
    with pytest.raises(TokenMismatchError, match="vocabulary has 10 tokens"):
        observed(SmallRenderer())
