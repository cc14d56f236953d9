"""`rewards`: a sample is rewarded by the thumb that it names, and only without one by its verdict.

A thumb outweighs the judge, whose verdict is in the log all the same. A thumb counts only where it is one, is about
that very action, and is of the tenant that got the answer.
"""

from infra.audit.check import Check
from infra.audit.facts import Fact
from infra.audit.index import LogIndex
from infra.audit.report import Tally
from schemas.events import FeedbackGiven, SampleBuilt, VerdictReached
from schemas.feedback import thumb_of

_NO_THUMB = "samples whose feedback is not in the log"
_NO_VERDICT = "samples whose verdict is not in the log"


def run(log: LogIndex, tally: Tally) -> None:
    """Each sample beside what it names."""
    for sample in log.of(SampleBuilt).values():
        tally.num_checked += 1
        if sample.event.feedback_id is not None:
            _check_thumb(sample, log.of(FeedbackGiven).get(sample.event.feedback_id), tally)
        else:
            _check_verdict(sample, log.of(VerdictReached).get(sample.event.verdict_id), tally)


def _check_thumb(sample: Fact[SampleBuilt], feedback: Fact[FeedbackGiven] | None, tally: Tally) -> None:
    if feedback is None:
        tally.hidden[_NO_THUMB] += 1
        return
    event, given = sample.event, feedback.event
    if (given.action_id, given.tenant) != (event.action_id, event.tenant):
        tally.fail(sample.line, f"Feedback {given.id} is of another action or tenant, and rewards it all the same.")
    elif event.reward != thumb_of(given):
        tally.fail(sample.line, f"Its reward is {event.reward}, but the thumb of feedback {given.id} another one.")


def _check_verdict(sample: Fact[SampleBuilt], verdict: Fact[VerdictReached] | None, tally: Tally) -> None:
    if verdict is None:
        tally.hidden[_NO_VERDICT] += 1
    elif sample.event.reward != (verdict.event.score or None):
        tally.fail(sample.line, f"Its reward is {sample.event.reward}, but verdict {verdict.event.id} says otherwise.")


CHECK = Check(
    name="rewards",
    promise="A sample's reward is its thumb's, or else its verdict's.",
    blind="Which thumb came in time: the sample that names it is the record of that.",
    run=run,
)
