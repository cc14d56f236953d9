"""`as_text` and `as_json`: the outcome of a replay for a person and for a program."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from infra.replay.comparison import BYTES, KINDS, Difference, Outcome
from infra.replay.slice import Slice

LISTED = 20  # differences that a person is shown; --json has all
VALUE_CHARS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A replay and what it was of."""

    taken: Slice
    is_fresh: bool  # judged afresh, not as recorded
    notes: tuple[str, ...]  # what else may make a difference
    outcome: Outcome


def as_json(report: Report) -> dict[str, Any]:
    """Everything, as `json` knows it."""
    outcome = report.outcome
    return {
        "judge": "fresh" if report.is_fresh else "recorded",
        "conversations": len(report.taken.conversations),
        "actions": len(report.taken.action_ids),
        "next_states": len(report.taken.next_state_ids),
        "feedback": len(report.taken.feedback_ids),
        "identical": outcome.is_identical,
        "topics": {
            topic: {"recorded": counts.recorded, "replayed": counts.replayed, "identical": counts.identical}
            | {kind.replace(" ", "_"): counts.kinds[kind] for kind in KINDS}
            for topic, counts in outcome.counts.items()
        },
        "not_compared": dict(outcome.not_compared),
        "notes": list(report.notes),
        "differences": [msgspec.to_builtins(asdict(difference)) for difference in outcome.differences],
    }


def as_text(report: Report) -> str:
    """What was replayed, a table of counts, what is not in it, and the first differences."""
    taken, outcome = report.taken, report.outcome
    said = "judged afresh" if report.is_fresh else "with the recorded judgements"
    rated = f", rated {len(taken.feedback_ids)} times," if taken.feedback_ids else ""
    size = f"{len(taken.action_ids)} actions and {len(taken.next_state_ids)} next states{rated}"
    return "\n".join(
        (
            f"{size} of {len(taken.conversations)} conversations, {said}:",
            "",
            *_table(outcome),
            "",
            *(f"Not compared: {count} records; {why}." for why, count in sorted(outcome.not_compared.items())),
            *(f"Note: {note}" for note in report.notes),
            _conclusion(outcome),
            *_listed(outcome.differences),
        )
    )


def _table(outcome: Outcome) -> Iterator[str]:
    columns = ("topic", "recorded", "replayed", "identical", *KINDS)
    rows = [
        (
            topic,
            *map(str, (counts.recorded, counts.replayed, counts.identical, *(counts.kinds[kind] for kind in KINDS))),
        )
        for topic, counts in outcome.counts.items()
    ]
    widths = [max(len(row[place]) for row in (columns, *rows)) for place in range(len(columns))]
    for row in (columns, *rows):
        first, *numbers = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join((first.strip().ljust(widths[0]), *numbers))


def _conclusion(outcome: Outcome) -> str:
    num_pending = sum(counts.kinds["pending"] for counts in outcome.counts.values())
    pending = f" ({num_pending} more are pending: not derived yet when the log ended.)" if num_pending else ""
    num_identical = sum(counts.identical for counts in outcome.counts.values())
    if outcome.is_identical and not num_identical:
        return f"Nothing that was recorded can be compared.{pending}"
    if outcome.is_identical:
        return f"Identical: all {num_identical} derived records, ids and values, byte for byte.{pending}"
    num_differences = len(outcome.differences) - num_pending
    return f"Different: {num_differences} derived records.{pending}"


def _listed(differences: Sequence[Difference]) -> Iterator[str]:
    for difference in differences[:LISTED]:
        named = difference.recorded_id or difference.replayed_id
        about = f" of action {difference.action_id}" if difference.action_id else ""
        yield f"  {difference.topic}: {difference.kind} {named}{about}{_change(difference)}"
    if len(differences) > LISTED:
        yield f"  ... and {len(differences) - LISTED} more (--json lists all)"


def _change(difference: Difference) -> str:
    if difference.field is None:
        return ""
    if difference.field == BYTES:
        return ": the same event in other bytes"
    return f": {difference.field} was {_short(difference.recorded)}, is {_short(difference.replayed)}"


def _short(value: object) -> str:
    text = repr(msgspec.to_builtins(value))
    return text if len(text) <= VALUE_CHARS else f"{text[:VALUE_CHARS]}..."
