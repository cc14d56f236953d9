"""`Turn` and `Draft`: what is known of each action, and changes to it that are not durable yet.

A turn is one action with what is known of it: the next state that counts, the verdict, the hint, the thumb, the actions
that wait for it as their base. advance.py adds records to a draft; turn_stage.py makes a draft durable; `forget` drops
a turn when open turns take too much room, and accounts for it.
"""

from dataclasses import dataclass, field, replace
from typing import Protocol

import msgspec

from processors.credit import newest_thumb
from processors.emit import Emission, reject
from processors.join import STAGE, JoinState, skip
from schemas.context import context_of
from schemas.errors import RejectedError
from schemas.events import (
    ActionTaken,
    Event,
    EventRejected,
    FeedbackGiven,
    HintExtracted,
    NextStateObserved,
    SkipReason,
    TurnSkipped,
    VerdictReached,
)
from streams.recorded import Recorded
from streams.topics import ACTIONS, FEEDBACK, MAX_RECORD_BYTES, NEXT_STATES

MAX_EARLY = 8  # two of the action's tenant, and some of tenants that name it by mistake


@dataclass(frozen=True, slots=True, kw_only=True)
class Early:
    """A next state that was read before the action that it follows, and where it lies."""

    next_state: NextStateObserved
    partition: int
    offset: int
    timestamp_ms: int

    def place(self, cause: Recorded) -> Recorded:
        """Its own record, as far as it is remembered; `cause` is the action's."""
        return replace(
            cause,
            topic=NEXT_STATES.name,
            partition=self.partition,
            offset=self.offset,
            timestamp_ms=self.timestamp_ms,
            event=self.next_state,
            value=b"",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What is known of one action, besides the action itself."""

    about: Event  # context of the first record that names the action
    topic: str  # where that record lies
    partition: int
    offset: int
    since_ms: int  # when its producer handed it to Kafka, which its age counts from after a restart
    action_offset: int | None = None  # None: the action is not there yet
    action_ms: int = 0  # when Kafka took the action
    early: tuple[Early, ...] = ()  # until the action is there, all that says to follow it
    join: JoinState = field(default_factory=JoinState)
    missing_base_id: str | None = None
    children: tuple[str, ...] = ()  # actions that wait, or waited, for this one as a base
    verdict: VerdictReached | None = None  # until settled
    hint: HintExtracted | None = None
    thumbs: tuple[FeedbackGiven, ...] = ()  # the newest of each tenant, without its words; see `thumb`
    decided: bool = False  # its sample is about to be written, from what is known here and nothing else
    unrewarded: bool = False  # a skip accounts for it, but a thumb would make it a sample
    settled: bool = False  # a sample, a skip or a rejection accounts for it for good

    @property
    def awaits_next_state(self) -> bool:
        """Whether it has its action and nothing has followed yet."""
        return self.action_offset is not None and not self.settled and self.join == JoinState()

    def early_join(self, tenant: str) -> JoinState:
        """What of a tenant's next states has been observed before the action."""
        own = [early.next_state for early in self.early if early.next_state.tenant == tenant]
        return JoinState(
            first_id=next((state.id for state in own if state.kind != "ended"), None),
            ended_id=next((state.id for state in own if state.kind == "ended"), None),
        )

    def with_early(self, next_state: NextStateObserved, record: Recorded) -> "Turn":
        """The turn with one more next state that waits for the action.

        Raises:  RejectedError: too much waits for it already: a row of the table has to hold it all.
        """
        early = Early(
            next_state=next_state,
            partition=record.partition,
            offset=record.offset,
            timestamp_ms=record.timestamp_ms,
        )
        every = (*self.early, early)
        if len(every) > MAX_EARLY or (self.early and len(msgspec.json.encode(every)) > MAX_RECORD_BYTES):
            message = f"NextStateObserved {next_state.id} came before its action {next_state.action_id}"
            raise RejectedError(f"{message}, for which too much waits already.")
        return replace(self, early=every)

    def with_feedback(self, feedback: FeedbackGiven) -> "Turn":
        """The turn with one more feedback; of a tenant that had given some, the newest thumb is kept."""
        others = tuple(each for each in self.thumbs if each.tenant != feedback.tenant)
        own = (each for each in self.thumbs if each.tenant == feedback.tenant)
        newest = newest_thumb((*own, replace(feedback, comment="")))
        return replace(self, thumbs=others if newest is None else (*others, newest))

    def thumb(self, action: ActionTaken) -> FeedbackGiven | None:
        """The thumb that counts: nobody has a say on the answers that another tenant got."""
        return next((each for each in self.thumbs if each.tenant == action.tenant), None)


class Known(Protocol):
    """What has been remembered of turns and actions."""

    def turn(self, action_id: str) -> Turn | None:
        """A turn by the id of its action."""

    def action(self, action_id: str) -> ActionTaken | None:
        """A recorded action."""


@dataclass(slots=True)
class Draft:
    """Changes on top of what is known; None is a turn or action that is forgotten."""

    known: Known
    turns: dict[str, Turn | None] = field(default_factory=dict)
    actions: dict[str, ActionTaken | None] = field(default_factory=dict)
    emissions: list[Emission] = field(default_factory=list)
    decided: dict[str, Turn] = field(default_factory=dict)  # see `decisions`

    def turn(self, action_id: str) -> Turn | None:
        """A turn, as changed by this draft."""
        return self.turns[action_id] if action_id in self.turns else self.known.turn(action_id)

    def action(self, action_id: str) -> ActionTaken | None:
        """A recorded action, as changed by this draft."""
        return self.actions[action_id] if action_id in self.actions else self.known.action(action_id)

    def turn_or_new(self, action_id: str, record: Recorded, about: Event) -> Turn:
        """A turn; one that begins with this record where there is none yet."""
        return self.turn(action_id) or Turn(
            about=Event(id=about.id, **context_of(about)),
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            since_ms=record.timestamp_ms,
        )

    def merge(self, other: "Draft") -> None:
        """Take over the changes of a draft that was made on top of this one."""
        self.turns.update(other.turns)
        self.actions.update(other.actions)
        self.emissions.extend(other.emissions)
        self.decided.update(other.decided)

    def decisions(self) -> "Draft":
        """What has to be durable before the emissions are: which thumb each new sample is built from, or that none was.

        That depends on which came first, the judgement or the thumb, and after a crash they may come the other way
        round. Without this the turn would then become another sample.
        """
        actions = {key: self.actions[key] for key in self.decided if key in self.actions}
        return Draft(self.known, turns=dict(self.decided), actions=actions)


def forget(known: Known, action_id: str, record: Recorded, why: str) -> Draft:
    """Drop a turn, accounting for it if nothing has yet.

    Args:    record: the record whose arrival made room necessary; why: for the detail of the skip.
    """
    draft = Draft(known, turns={action_id: None}, actions={action_id: None})
    turn, action = known.turn(action_id), known.action(action_id)
    if turn is None or turn.settled or turn.unrewarded or turn.join.joined == "ended":
        return draft  # accounted for, or about to be (see assess.py)
    if action is not None:
        accounting: Event = skip(action_id, _reason_to_forget(turn), action, detail=why)
        draft.emissions.append(Emission(event=accounting, cause=record))
    elif _names_the_unknown(turn):
        known_as = f"Action {action_id} was never recorded, or was forgotten before this record, which names it, came"
        error = RejectedError(f"{known_as}; {why}.")
        for place in _places(turn, record):
            draft.emissions.append(Emission(event=reject(place, STAGE, error), cause=record))
    return draft


def accounts_for_forgotten(event: TurnSkipped | EventRejected) -> bool:
    """Whether this says that a turn was forgotten: the one thing that depends on time and on what else was open."""
    if isinstance(event, EventRejected):  # of what is about an action that was not there
        return event.stage == STAGE and event.error == RejectedError.__name__ and event.topic != ACTIONS.name
    return event.stage == STAGE and event.reason in {"base_missing", "abstained_without_hint", "no_next_state"}


def _places(turn: Turn, cause: Recorded) -> list[Recorded]:
    """The records that wait for an action which is not there, as far as they are remembered; the first is."""
    first = replace(cause, topic=turn.topic, partition=turn.partition, offset=turn.offset, event=turn.about, value=b"")
    places = [replace(first, timestamp_ms=turn.since_ms), *(early.place(cause) for early in turn.early)]
    return list({(place.topic, place.partition, place.offset): place for place in places}.values())


def _names_the_unknown(turn: Turn) -> bool:
    """Whether somebody said something about an action that never came, or had left before."""
    if turn.action_offset is not None or turn.verdict or turn.hint:
        return False  # a verdict or hint was derived from the action, so it was here, and accounted for when it left
    return turn.join != JoinState() or bool(turn.early or turn.thumbs) or turn.topic == FEEDBACK.name


def _reason_to_forget(turn: Turn) -> SkipReason:
    if turn.missing_base_id is not None:
        return "base_missing"
    if turn.join.joined == "messages" and not (turn.verdict and turn.hint):
        return "abstained_without_hint"  # the judge has not answered in all this time
    return "no_next_state"  # nothing followed, or the outcome that closes its episode did not
