"""`choose`: which recorded actions, next states and feedback are replayed, closed over what they depend on.

A conversation is taken whole, because a turn depends on those before it; so is every conversation that holds a prompt
base of one that is taken.

Consumes `actions`, `next-states` and `feedback` twice, once to choose, once to take what was chosen; produces a
`Slice`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace

from schemas.errors import RejectedError
from schemas.events import ActionTaken, Event, FeedbackGiven, NextStateObserved
from streams.recorded import Recorded
from streams.topics import ACTIONS, FEEDBACK, NEXT_STATES, Topic

Read = Callable[[Sequence[Topic]], Iterator[Recorded]]  # committed records of some topics; in order within a partition

_RECORDED = (ACTIONS, NEXT_STATES, FEEDBACK)


class EmptySliceError(RejectedError):
    """A selection that nothing in the log fits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a user asked for. Empty: everything."""

    since_ms: int | None = None  # by the events' own time
    until_ms: int | None = None  # exclusive
    conversations: frozenset[str] = frozenset()
    tenant: str | None = None
    policy: str | None = None

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out."""
        return self == Selection()

    def holds(self, event: Event) -> bool:
        """Whether an action, next state or feedback was asked for."""
        return (
            (self.since_ms is None or event.time_ms >= self.since_ms)
            and (self.until_ms is None or event.time_ms < self.until_ms)
            and (not self.conversations or event.conversation_id in self.conversations)
            and self.tenant in {None, event.tenant}
            and self.policy in {None, event.policy}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """What is replayed, and which of it cannot be."""

    is_everything: bool
    conversations: frozenset[str]
    action_ids: frozenset[str]
    next_state_ids: frozenset[str]
    feedback_ids: frozenset[str]
    incomplete: frozenset[str]  # of these actions, those whose prompt builds on one that is not in the log
    inputs: tuple[Recorded, ...] = ()  # as stages get them: oldest first, a partition's in their order; see `take`

    def answered_after(self, age_ms: int) -> set[str]:
        """Actions with a next state or feedback that Kafka took so much later than themselves."""
        taken_ms: dict[str, int] = {}
        late = set()
        for record in self.inputs:
            if isinstance(record.event, ActionTaken):
                taken_ms.setdefault(record.event.id, record.timestamp_ms)
            elif isinstance(record.event, NextStateObserved | FeedbackGiven):
                since_ms = taken_ms.get(record.event.action_id, record.timestamp_ms)
                late |= {record.event.action_id} if record.timestamp_ms - since_ms > age_ms else set()
        return late

    def holds(self, record: Recorded) -> bool:
        """Whether a record belongs to it; one that cannot be read is nobody's, and belongs to the whole log only."""
        return self.is_everything if record.event is None else record.event.conversation_id in self.conversations


@dataclass(slots=True)
class _Chosen:
    """The first pass: where everything is, and what prompts build on."""

    homes: dict[str, str] = field(default_factory=dict)  # action id -> conversation
    followed: dict[str, str] = field(default_factory=dict)  # next state id -> conversation
    rated: dict[str, str] = field(default_factory=dict)  # feedback id -> conversation
    bases: dict[str, str] = field(default_factory=dict)  # action id -> base action id, where it has one
    conversations: set[str] = field(default_factory=set)

    def close(self) -> None:
        """Take in the conversations of prompt bases, until none is missing."""
        needs: defaultdict[str, set[str]] = defaultdict(set)
        for action_id, base_id in self.bases.items():
            if base_id in self.homes:
                needs[self.homes[action_id]].add(self.homes[base_id])
        open_ends = list(self.conversations)
        while open_ends:
            new = needs[open_ends.pop()] - self.conversations
            self.conversations |= new
            open_ends += new

    def as_slice(self, selection: Selection) -> Slice:
        """What was chosen."""
        action_ids = frozenset(key for key, home in self.homes.items() if home in self.conversations)
        return Slice(
            is_everything=selection.is_everything,
            conversations=frozenset(self.conversations),
            action_ids=action_ids,
            next_state_ids=frozenset(key for key, home in self.followed.items() if home in self.conversations),
            feedback_ids=frozenset(key for key, home in self.rated.items() if home in self.conversations),
            incomplete=frozenset(key for key in action_ids if self._end(key) not in self.homes),
        )

    def _end(self, action_id: str) -> str:
        seen = {action_id}
        while (base_id := self.bases.get(action_id)) is not None and base_id not in seen:
            seen.add(base_id)
            action_id = base_id
        return action_id


def choose(read: Read, selection: Selection) -> Slice:
    """The slice that a selection names, without its inputs.

    Raises:  EmptySliceError: nothing fits, or not of each conversation that was named.
    """
    chosen = _Chosen()
    for record in read(_RECORDED):
        event = record.event
        if isinstance(event, ActionTaken) and event.id not in chosen.homes:  # the first record of an id wins
            chosen.homes[event.id] = event.conversation_id
            if event.base_action_id is not None:
                chosen.bases[event.id] = event.base_action_id
        elif isinstance(event, NextStateObserved):
            chosen.followed[event.id] = event.conversation_id
        elif isinstance(event, FeedbackGiven):
            chosen.rated[event.id] = event.conversation_id
        if event is not None and selection.holds(event):
            chosen.conversations.add(event.conversation_id)
    if not chosen.conversations or selection.conversations - chosen.conversations:
        raise EmptySliceError(_nothing_fits(selection, chosen.conversations))
    chosen.close()
    return chosen.as_slice(selection)


def take(read: Read, chosen: Slice) -> Slice:
    """The slice with its inputs, in memory."""
    return replace(chosen, inputs=tuple(in_order([record for record in read(_RECORDED) if chosen.holds(record)])))


def in_order(records: Sequence[Recorded]) -> list[Recorded]:
    """By when Kafka took them; a partition keeps its own order whatever its clocks say, as it does for a consumer."""
    latest: defaultdict[tuple[str, int], int] = defaultdict(int)
    times: dict[tuple[str, int, int], int] = {}
    for record in sorted(records, key=lambda record: record.offset):
        place = (record.topic, record.partition)
        times[*place, record.offset] = latest[place] = max(latest[place], record.timestamp_ms)
    return sorted(records, key=lambda each: (times[each.topic, each.partition, each.offset], each.topic, each.offset))


def _nothing_fits(selection: Selection, found: Set[str]) -> str:
    if selection.is_everything:
        return "The log holds no action yet: talk to the policy first (nextstate chat, or any OpenAI client)."
    if missing := sorted(selection.conversations - found):
        named = ", ".join(missing)
        return f"Nothing of conversation {named} in the log fits; `nextstate query 'FROM turns'` lists those there are."
    return (
        "No action or next state in the log fits these options; `nextstate query 'FROM turns'` lists those there are."
    )
