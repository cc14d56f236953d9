"""`measure_drift`: how far a policy has moved from its start in ways that nobody asked for.

Consumes the held-out texts, which it only reads, and answers that the policy gave to held-out questions; both are
scored under the policy and under the frozen base. Legend: T response tokens, V vocabulary. All in nats per token.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor

from infra.experiment.held_out import GENERAL, SUMS
from schemas.events import ActionTaken, Message
from serving.rendering import ChatRenderer
from serving.repetition import repeated_share
from trainer.backends.base import Backend, Response
from trainer.objectives.terms import drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """What has changed. Those that end in `_base` are the frozen base's on the same tokens."""

    general_logprob: float  # of the held-out texts, mean per token
    general_logprob_base: float
    sums_logprob: float
    sums_logprob_base: float
    answer_tokens: float  # mean length of the policy's own answers
    entropy: float  # of the policy at its own answers' positions, at temperature 1
    kl: float  # KL(policy || base) there
    answer_logprob_base: float  # of those answers under the base
    repeated: float  # share of 4-grams of tokens that stood in the same answer before


@torch.no_grad()
def measure_drift(
    backend: Backend, renderer: ChatRenderer, stop_ids: frozenset[int], answers: Sequence[ActionTaken]
) -> Drift:
    """Drift of the backend's policy. Args: answers: recorded whole, without a base action."""
    own = [_response(answer.prompt_ids, answer.response_ids) for answer in answers]
    scored = [_compared(backend, response) for response in own]
    general, general_base = _read(backend, renderer, stop_ids, GENERAL)
    sums, sums_base = _read(backend, renderer, stop_ids, SUMS)
    return Drift(
        general_logprob=general,
        general_logprob_base=general_base,
        sums_logprob=sums,
        sums_logprob_base=sums_base,
        answer_tokens=fmean(len(answer.response_ids) for answer in answers),
        entropy=_mean(entropy_T for entropy_T, _, _ in scored),
        kl=_mean(kl_T for _, kl_T, _ in scored),
        answer_logprob_base=_mean(base_T for _, _, base_T in scored),
        repeated=fmean(repeated_share(answer.response_ids) for answer in answers),
    )


def read_text(renderer: ChatRenderer, stop_ids: frozenset[int], question: str, answer: str) -> Response:
    """A question and its answer as the policy would have said it, the end token included."""
    asked = Message(role="user", content=question)
    prompt = renderer.render((asked,), "[]", "{}")
    whole = renderer.render((asked, Message(role="assistant", content=answer)), "[]", "{}")
    if whole[: len(prompt)] != prompt:
        raise ValueError("The chat template does not continue its own prompt.")
    end = next(place for place in range(len(prompt), len(whole)) if whole[place] in stop_ids)
    return _response(prompt, whole[len(prompt) : end + 1])


def _read(
    backend: Backend, renderer: ChatRenderer, stop_ids: frozenset[int], texts: Sequence[tuple[str, str]]
) -> tuple[float, float]:
    """Mean log-prob per token of some texts: the policy's and the base's."""
    responses = [read_text(renderer, stop_ids, question, answer) for question, answer in texts]
    ids = [response.response_ids_T for response in responses]
    own, base = (map(drawn, scored(responses), ids) for scored in (backend.student, backend.base))
    return _mean(own), _mean(base)


def _compared(backend: Backend, response: Response) -> tuple[Tensor, Tensor, Tensor]:
    """[T] each: entropy of the policy, its KL to the base, log-prob of the tokens under the base."""
    (own_TV,), (base_TV,) = backend.student([response]), backend.base([response])
    share_TV = own_TV.exp()
    entropy_T, kl_T = -(share_TV * own_TV).sum(-1), (share_TV * (own_TV - base_TV)).sum(-1)
    return entropy_T, kl_T, drawn(base_TV, response.response_ids_T)


def _response(prompt_ids: Sequence[int], response_ids: Sequence[int]) -> Response:
    return Response(prompt_ids_P=torch.tensor(prompt_ids), response_ids_T=torch.tensor(response_ids), temperature=1.0)


def _mean(parts: Iterable[Tensor]) -> float:
    return float(torch.cat(list(parts)).mean())
