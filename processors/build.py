"""`build`: one trainable turn from recorded events only, or the skip that says why there is none.

    hint?  verdict +1/-1?  result
    yes    yes             sample with teacher prompts and reward
    yes    no              sample with teacher prompts (reward None)
    no     yes             sample with reward
    no     no              skip: abstained_without_hint or zero_without_hint

A thumb stands in the place of the verdict. One that comes after such a skip makes a sample after all; so does one on a
turn that nothing followed (`build_ended`). A thumb up against a verdict of -1 sets the hints aside, too: they say how
the answer should have been different, by the same reading of the next state.

Consumes the recorded action with its whole prompt, its verdict and its hints; produces SampleBuilt or TurnSkipped.
Rendering is the only thing done here that is not copying, and it is a pure function of model folder and messages: of
hints, and of turns that another model served, which are told in words (`schemas.origin.lacks_tokens`). Those become
the policy's own tokens for these words; they are unscored, and will be scored at temperature 1, since however the other
model drew them, the policy did not. Such a turn may be longer than the policy can read: then it is skipped.
"""

from typing import Any, NamedTuple

from processors.credit import reward_of
from processors.join import skip
from processors.ports import Renderer
from schemas.context import context_of
from schemas.errors import RejectedError, TokenMismatchError
from schemas.events import (
    ActionTaken,
    Event,
    FeedbackGiven,
    HintExtracted,
    SampleBuilt,
    Sampling,
    SkipReason,
    TurnSkipped,
    VerdictReached,
)
from schemas.identity import derived_id
from schemas.origin import UNSCORED, lacks_tokens
from schemas.prompt import Resolved

STAGE = "build"
VERSION = "5"
UNREWARDED: frozenset[SkipReason] = frozenset({"abstained_without_hint", "zero_without_hint"})  # until a thumb comes
_SCORING_TEMPERATURE = 1.0  # the policy itself


class _Drawn(NamedTuple):
    """A turn in the policy's tokens, and the temperature of its log-probs."""

    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    temperature: float


def build(
    action: ActionTaken,
    prompt: Resolved,
    verdict: VerdictReached,
    hint: HintExtracted,
    renderer: Renderer,
    *,
    thumb: FeedbackGiven | None = None,
) -> SampleBuilt | TurnSkipped:
    """The sample of one judged turn, or its skip.

    Args:    thumb: what counts instead of the verdict.
    Raises:  RejectedError: a hint cannot be rendered as the action's prompt was; or what another model served cannot be
             said in the policy's tokens.
    """
    transform = "" if action.logprob_origin == UNSCORED else not_invertible(action.sampling)
    reward = reward_of(verdict, thumb)
    hints = () if verdict.score == -1 and reward == 1 else hint.hints
    inputs = (verdict, hint) if thumb is None else (verdict, hint, thumb)
    if transform:
        return _skip("sampler_not_invertible", transform, action, verdict, hint)
    if reward is None and not hints:
        return _unrewarded(action, verdict, hint)
    drawn = _drawn(action, prompt, renderer)
    if too_long := _too_long(action, drawn, renderer):
        return _skip("too_long", too_long, action, verdict, hint)
    return SampleBuilt(
        id=derived_id(STAGE, VERSION, (action.id, verdict.transition_id, *(each.id for each in inputs if each.id))),
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
        hints=hints,
        teacher_prompt_ids=tuple(_teacher_prompt(action, prompt, text, renderer) for text in hints),
        feedback_id=None if thumb is None else thumb.id,
        **context_of(action, *inputs),
    )


def build_ended(
    action: ActionTaken, prompt: Resolved, transition: Event, thumb: FeedbackGiven, renderer: Renderer
) -> SampleBuilt | None:
    """The sample of a turn that nothing followed but a thumb; None where it cannot train, as its skip says already.

    Args:    transition: to the end; of it only what every event has.
    """
    of_turn: dict[str, Any] = {"transition_id": transition.id, "action_id": action.id, **context_of(transition)}
    nobody = VerdictReached(id="", score=None, votes=(), judge="", judge_version="", **of_turn)
    nothing = HintExtracted(id="", hints=(), extractor="", extractor_version="", **of_turn)
    built = build(action, prompt, nobody, nothing, renderer, thumb=thumb)
    return built if isinstance(built, SampleBuilt) else None


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


def _unrewarded(action: ActionTaken, verdict: VerdictReached, hint: HintExtracted) -> TurnSkipped:
    if verdict.score is None:
        return _skip("abstained_without_hint", verdict.abstention or hint.reason, action, verdict, hint)
    return _skip("zero_without_hint", hint.reason, action, verdict, hint)


def _too_long(action: ActionTaken, drawn: _Drawn, renderer: Renderer) -> str:
    """How much longer a turn of another model is than the policy can read; empty where it is not."""
    num_tokens = len(drawn.prompt_ids) + len(drawn.response_ids)
    if not lacks_tokens(action) or num_tokens <= renderer.context_length:
        return ""
    return f"prompt and reply have {num_tokens} tokens, the context holds {renderer.context_length}"


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
