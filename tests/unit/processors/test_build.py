"""The truth table from verdict and hint to sample or skip; what a sample copies and what it refuses."""

from dataclasses import replace
from itertools import permutations

import pytest
from processor_world import LetterRenderer, action, ended, resolved, thumb, user

from processors.build import build, build_ended, check_vocabulary, not_invertible
from processors.credit import newest_thumb, reward_of, waits_for_outcome
from schemas.context import context_of
from schemas.errors import RejectedError, TokenMismatchError
from schemas.events import Event, HintExtracted, Sampling, VerdictReached
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


def built(score=1, hints=(), taken=ACTION, thumb=None, **changes):
    said = verdict(score, **changes), hint(*hints, reason="none found")
    return build(taken, PROMPT, *said, LetterRenderer(), thumb=thumb)


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


@pytest.mark.parametrize("score", [1, 0, -1, None])
@pytest.mark.parametrize("said", [1, -1])
def test_a_thumb_is_the_reward_whatever_the_judge_says(score, said):
    sample = built(score, thumb=thumb(said=said))
    assert (sample.reward, sample.feedback_id, sample.verdict_id) == (said, "f-a-1", "v-1")
    assert sample.time_ms == 3_000


def test_a_sample_with_a_thumb_is_another_sample_than_that_without_and_no_older_than_the_thumb():
    late = thumb(time_ms=9_000)
    assert built(1, thumb=late).id != built(1).id
    assert built(1, thumb=late).time_ms == 9_000
    assert built(1).feedback_id is None


@pytest.mark.parametrize(("score", "said", "num_hints"), [(-1, 1, 0), (-1, -1, 1), (0, 1, 1), (None, 1, 1), (1, -1, 1)])
def test_hints_of_a_reading_that_a_thumb_up_contradicts_are_set_aside(score, said, num_hints):
    sample = built(score, ("answer in one sentence",), thumb=thumb(said=said))
    assert len(sample.hints) == len(sample.teacher_prompt_ids) == num_hints


def test_a_thumb_does_not_undo_a_sampler():
    skip = built(1, (), replace(ACTION, sampling=Sampling(top_p=0.5)), thumb=thumb())
    assert skip.reason == "sampler_not_invertible"


def test_a_turn_that_nothing_followed_is_a_sample_by_its_thumb_alone():
    transition = Event(id="t-end", **context_of(ACTION, ended()))
    sample = build_ended(ACTION, PROMPT, transition, thumb(said=-1), LetterRenderer())
    assert (sample.transition_id, sample.verdict_id, sample.hint_id, sample.feedback_id) == ("t-end", "", "", "f-a-1")
    assert (sample.reward, sample.hints, sample.time_ms) == (-1.0, (), 3_000)
    greedy = replace(ACTION, sampling=Sampling(temperature=0.0))
    assert build_ended(greedy, PROMPT, transition, thumb(), LetterRenderer()) is None


def test_of_several_thumbs_the_newest_counts_and_the_later_id_where_that_is_equal():
    old, new = thumb(id="z", time_ms=1), thumb(id="a", time_ms=2, said=-1)
    twin = thumb(id="b", time_ms=2)
    comment = thumb(id="c", time_ms=9, thumb=None, comment="Too long.")
    for order in permutations((old, new, twin, comment)):
        assert newest_thumb(order) is twin
    assert newest_thumb((comment,)) is None
