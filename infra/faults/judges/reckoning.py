"""`Reckoning`: what judge and extractor recorded, held against what their server was told to do about it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from infra.faults.judges.manners import expected, has_hint
from schemas.events import Event, HintExtracted, VerdictReached

_MOST_SENTENCES = 5


@dataclass(slots=True)
class Reckoning:
    """Of some transitions; `cases`: what each was, by its id."""

    cases: Mapping[str, str]
    verdicts: dict[str, list[VerdictReached]] = field(default_factory=lambda: defaultdict(list))
    hints: dict[str, list[HintExtracted]] = field(default_factory=lambda: defaultdict(list))

    def read(self, events: Iterable[Event]) -> None:
        """Notes the verdicts and hints among some events."""
        for event in events:
            if isinstance(event, VerdictReached):
                self.verdicts[event.transition_id].append(event)
            elif isinstance(event, HintExtracted):
                self.hints[event.transition_id].append(event)

    @property
    def lost(self) -> int:
        """Transitions that nobody judged, and judged ones of which nobody said what a hint would be."""
        return sum((one not in self.verdicts) + (one not in self.hints) for one in self.cases)

    @property
    def twice(self) -> int:
        """Transitions with two judgements. The same record a second time, after a crash, is none."""
        found: list[Sequence[Event]] = [*self.verdicts.values(), *self.hints.values()]
        return sum(any(one != events[0] for one in events) for events in found)

    @property
    def num_abstentions(self) -> int:
        """Verdicts without a score."""
        return sum(events[0].score is None for events in self.verdicts.values())

    @property
    def wrong(self) -> tuple[str, ...]:
        """Verdicts and hints that are not what the server's answer makes of them; a few, and how many more."""
        sentences = [said for one, case in self.cases.items() if (said := self._wrong(one, case))]
        more = len(sentences) - _MOST_SENTENCES
        return (*sentences[:_MOST_SENTENCES], *([f"{more} more verdicts are wrong."] if more > 0 else ()))

    def _wrong(self, transition_id: str, case: str) -> str:
        if transition_id not in self.verdicts or transition_id not in self.hints:
            return ""  # it is lost, and counted there
        verdict, hint = self.verdicts[transition_id][0], self.hints[transition_id][0]
        score, reason = expected(case)
        if verdict.score != score or reason not in (verdict.abstention or ""):
            return f"A judge that answers with {case!r} made the verdict {verdict.score} ({verdict.abstention})."
        if bool(hint.hints) != has_hint(case):
            return f"An extractor that answers with {case!r} made the hints {hint.hints} ({hint.reason})."
        if not hint.hints and not hint.reason:
            return f"An extractor that answers with {case!r} made no hint, and does not say why."
        return ""
