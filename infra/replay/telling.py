"""`in_time`: at which moment of a replay each feedback is told, for a thumb counts only until its turn is a sample.

When a thumb arrived beside the judge's answer, no replay could know; but the recorded sample names the thumb that it
was built from, and so is the record of that, too. A thumb that it names is told right behind the next state that it
follows; unless a skip shows that the turn was built without it first. That one, and every thumb that no sample names,
comes after everything else, where it finds the turn as it found it then. Judged afresh, the whole history is there
before the judge answers: each thumb is told behind the next state that counts.

Consumes a slice's inputs and what was recorded of its samples; produces the inputs in two parts.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from schemas.events import FeedbackGiven, NextStateObserved
from streams.recorded import Recorded

Behind = Mapping[str, str | None]  # feedback id -> id of the next state that it is told behind; None: told at the end


def in_time(inputs: Sequence[Recorded], behind: Behind) -> tuple[list[Recorded], list[Recorded]]:
    """The inputs with each feedback in its place, and the feedback that is told after all of them.

    Args:    inputs: in order; behind: of feedback that made a sample; of what is told at the end, it comes first.
    """
    told: defaultdict[str, list[Recorded]] = defaultdict(list)  # by next state
    last: list[Recorded] = []
    others: list[Recorded] = []
    for record in inputs:
        if not isinstance(record.event, FeedbackGiven):
            others.append(record)
        elif (next_state_id := behind.get(record.event.id)) is not None:
            told[next_state_id].append(record)
        else:
            last.append(record)
    placed: list[Recorded] = []
    for record in others:
        placed.append(record)
        if isinstance(record.event, NextStateObserved):
            placed += told.pop(record.event.id, ())
    last += (record for records in told.values() for record in records)  # the next state has left the log
    return placed, sorted(last, key=lambda record: record.event is None or record.event.id not in behind)


def behind_what_counts(inputs: Iterable[Recorded]) -> Behind:
    """Of every feedback, the next state of its action that counts: the first real one, else the end."""
    counts: dict[str, NextStateObserved] = {}
    feedback: list[FeedbackGiven] = []
    for record in inputs:
        event = record.event
        if isinstance(event, FeedbackGiven):
            feedback.append(event)
        elif isinstance(event, NextStateObserved):
            known = counts.setdefault(event.action_id, event)
            if known.kind == "ended" and event.kind != "ended":
                counts[event.action_id] = event
    return {each.id: counts[each.action_id].id for each in feedback if each.action_id in counts}
