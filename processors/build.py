"""`build`: one trainable turn from recorded events only, or the skip that says why there is none.

    hint?  verdict +1/-1?  result
    yes    yes             sample with teacher prompts and reward
    yes    no              sample with teacher prompts (reward None)
    no     yes             sample with reward
    no     no              skip: abstained_without_hint or zero_without_hint

Consumes the recorded action with its whole prompt, its verdict and its hints; produces SampleBuilt or TurnSkipped.
Rendering is the only thing done here that is not copying, and it is a pure function of model folder and messages: of
hints, and of turns that another model served, which are told in words (`schemas.origin.lacks_tokens`). Those become
the policy's own tokens for these words; they are unscored, and will be scored at temperature 1, since however the other
model drew them, the policy did not. Such a turn may be longer than the policy can read: then it is skipped.
"""

from typing import NamedTuple

from processors.credit import reward_of
from processors.derive import context_of
from processors.join import skip
from processors.ports import Renderer
from schemas.errors import RejectedError, TokenMismatchError
from schemas.events import ActionTaken, HintExtracted, SampleBuilt, Sampling, SkipReason, TurnSkipped, VerdictReached
from schemas.identity import derived_id
from schemas.origin import UNSCORED, lacks_tokens
from schemas.prompt import Resolved

STAGE = "build"
VERSION = "5"
_SCORING_TEMPERATURE = 1.0  # the policy itself


class _Drawn(NamedTuple):
    """A turn in the policy's tokens, and the temperature of its log-probs."""

    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    temperature: float


def build(
    action: ActionTaken, prompt: Resolved, verdict: VerdictReached, hint: HintExtracted, renderer: Renderer
) -> SampleBuilt | TurnSkipped:
    """The sample of one judged turn, or its skip.

    Raises:  RejectedError: a hint cannot be rendered as the action's prompt was; or what another model served cannot be
             said in the policy's tokens.
    """
    transform = "" if action.logprob_origin == UNSCORED else not_invertible(action.sampling)
    reward = reward_of(verdict)
    if transform:
        return _skip("sampler_not_invertible", transform, action, verdict, hint)
    if reward is None and not hint.hints:
        if verdict.score is None:
            return _skip("abstained_without_hint", verdict.abstention or hint.reason, action, verdict, hint)
        return _skip("zero_without_hint", hint.reason, action, verdict, hint)
    drawn = _drawn(action, prompt, renderer)
    num_tokens = len(drawn.prompt_ids) + len(drawn.response_ids)
    if lacks_tokens(action) and num_tokens > renderer.context_length:
        detail = f"prompt and reply have {num_tokens} tokens, the context holds {renderer.context_length}"
        return _skip("too_long", detail, action, verdict, hint)
    return SampleBuilt(
        id=derived_id(STAGE, VERSION, (action.id, verdict.transition_id, verdict.id, hint.id)),
        action_id=action.id,
        transition_id=verdict.transition_id,
        verdict_id=verdict.id,
        hint_id=hint.id,
        turn=action.turn,
        prompt_ids=drawn.prompt_ids,
        response_ids=drawn.response_ids,
        response_logprobs=action.response_logprobs,
        logprob_origin=action.logprob_origin,
        token_versions=action.token_versions,
        temperature=drawn.temperature,
        reward=reward,
        hints=hint.hints,
        teacher_prompt_ids=tuple(_teacher_prompt(action, prompt, text, renderer) for text in hint.hints),
        **context_of(action, verdict, hint),
    )


def not_invertible(sampling: Sampling) -> str:
    """What the trainer could not undo on the recorded log-probs, as "name=value, ..."; empty where it can."""
    transforms = {
        "temperature": sampling.temperature <= 0,  # greedy: the response was not drawn from any distribution
        "top_p": sampling.top_p < 1,
        "top_k": sampling.top_k > 0,
        "min_p": sampling.min_p > 0,
        "frequency_penalty": sampling.frequency_penalty != 0,
        "presence_penalty": sampling.presence_penalty != 0,
        "repetition_penalty": sampling.repetition_penalty != 1,
        "logit_bias": sampling.logit_bias,
        "grammar": sampling.grammar,
    }
    return ", ".join(f"{name}={getattr(sampling, name)}" for name, is_used in transforms.items() if is_used)


def check_vocabulary(action: ActionTaken, vocab_size: int) -> None:
    """Raises TokenMismatchError where the action holds an id that the policy has no token for."""
    _refuse_unknown(action, (*action.prompt_ids, *action.response_ids), vocab_size)


def _refuse_unknown(action: ActionTaken, ids: tuple[int, ...], vocab_size: int) -> None:
    largest = max(ids, default=0)
    if largest >= vocab_size:
        message = f"Action {action.id} holds token id {largest}, but the policy's vocabulary has {vocab_size} tokens."
        raise TokenMismatchError(message)


def _drawn(action: ActionTaken, prompt: Resolved, renderer: Renderer) -> _Drawn:
    """The recorded tokens; the policy's for these words where another model served them."""
    if not lacks_tokens(action):
        return _Drawn(prompt.prompt_ids, action.response_ids, action.sampling.temperature)
    ids = renderer.turn_ids(prompt.messages, action.reply, action.tools, action.template_arguments)
    _refuse_unknown(action, (*ids[0], *ids[1]), renderer.vocab_size)
    return _Drawn(*ids, _SCORING_TEMPERATURE)


def _skip(
    reason: SkipReason, detail: str, action: ActionTaken, verdict: VerdictReached, hint: HintExtracted
) -> TurnSkipped:
    return skip(action.id, reason, action, verdict, hint, detail=detail, stage=STAGE)


def _teacher_prompt(action: ActionTaken, prompt: Resolved, hint: str, renderer: Renderer) -> tuple[int, ...]:
    if not lacks_tokens(action) and action.template_digest != renderer.template_digest:
        message = (
            f"Action {action.id} was rendered by chat template {action.template_digest}, this process renders by "
            f"{renderer.template_digest}; start the processors on the model that served it."
        )
        raise RejectedError(message)
    return renderer.teacher_prompt_ids(prompt.messages, action.tools, action.template_arguments, hint)
