"""`tokens`: a sample has its action's token ids and log-probs, and says where they come from (design promise 5)."""

import re

from infra.audit.check import Check
from infra.audit.facts import Fact
from infra.audit.index import LogIndex
from infra.audit.report import Tally
from schemas.events import ActionTaken, SampleBuilt
from schemas.origin import UNSCORED

_ORIGIN = re.compile(r"engine|unscored|scored:.+@\d+")


def run(log: LogIndex, tally: Tally) -> None:
    """Log-probs that a version of a policy has scored anew differ from the action's, and are marked so.

    An action that is told in words has no tokens, and its sample those that the policy has for them.
    """
    actions = log.of(ActionTaken)
    for each in actions.values():
        _check_origin(each, tally)
    for sample in log.of(SampleBuilt).values():
        _check_origin(sample, tally)
        if (action := actions.get(sample.event.action_id)) is None:
            tally.hidden["samples whose action is not in the log"] += 1
        elif _tells_words_only(action):
            _check_made(sample, tally)
        elif sample.tokens != action.tokens:
            tally.fail(sample.line, f"It has other response tokens than action {action.event.id}.")
        elif sample.event.logprob_origin == action.event.logprob_origin and sample.logprobs != action.logprobs:
            tally.fail(sample.line, f"It has other log-probs, versions or temperature than action {action.event.id}.")


def _tells_words_only(action: Fact[ActionTaken]) -> bool:
    """`schemas.origin.lacks_tokens`, of what the audit remembers."""
    return action.event.logprob_origin == UNSCORED and action.size is not None and not action.size.num_response_ids


def _check_made(sample: Fact[SampleBuilt], tally: Tally) -> None:
    """Of tokens that were made of another model's words, nobody reported a log-prob."""
    if sample.event.logprob_origin != UNSCORED:
        what = f"Its action is {UNSCORED} and has no tokens, but its log-probs come from {sample.event.logprob_origin}."
        tally.fail(sample.line, what)


def _check_origin(fact: Fact[ActionTaken] | Fact[SampleBuilt], tally: Tally) -> None:
    tally.num_checked += 1
    if not _ORIGIN.fullmatch(fact.event.logprob_origin):
        tally.fail(fact.line, f"Its log-probs come from {fact.event.logprob_origin!r}, which names nobody.")


CHECK = Check(
    name="tokens",
    promise="A sample has its action's tokens and log-probs.",
    blind="Whether the engine reported these numbers: trainers compare them with their own on every batch. "
    "Whether tokens that were made of another model's words say these: `nextstate replay` makes them again.",
    run=run,
)
