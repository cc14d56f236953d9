"""`BinaryRL`: the verdict on a turn, for each of its tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from trainer.objectives.advantages import Baseline
from trainer.objectives.policy_gradient import Clip, policy_term
from trainer.objectives.reference import ReferenceKL, reference_terms
from trainer.objectives.staleness import StaleTokens, kept
from trainer.objectives.terms import Term, summed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trainer.objectives.base import Pass, Signals, TokenTerms, TurnTensors


class BinaryRL(Baseline, Clip, StaleTokens, ReferenceKL):
    """`name = "binary_rl"`: policy gradient on verdicts of +1 and -1.

        L_t = -min(rho_t * A, clip(rho_t) * A) + kl_weight * KL_t,   A = reward - baseline, the same for all T tokens

    Trains turns with a reward. One number has to say what was wrong with a hundred tokens: with the verdict itself as
    A (`baseline = "none"`, the naive form) a -1 makes good tokens unlikelier, too, and once most answers please the
    policy only sharpens what it says anyway.

    Shapes:  [T] nats per token. Source: arXiv:2603.10165, section "Binary RL".
    """

    name: Literal["binary_rl"] = "binary_rl"

    def passes(self, signals: Signals) -> frozenset[Pass]:
        """The student's, of a turn with a reward."""
        return frozenset() if signals.reward is None else self.asked("student")

    def terms(self, turn: TurnTensors) -> TokenTerms:
        """The policy loss and the KL to the base."""
        return summed(turn, kept(turn, self), self._terms)

    def _terms(self, turn: TurnTensors) -> Iterator[Term]:
        if turn.advantage is not None:
            yield policy_term(turn, turn.advantage, self)
        yield from reference_terms(turn, self)
