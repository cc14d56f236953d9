"""`apply`: one more record about a turn, in any order, and everything that follows from it.

Records may arrive in any order and more than once. Each is added to what is known of its turn, and whatever has become
complete is emitted: a transition, a sample, or a skip. So every action ends as a sample or a skip; one that cannot be
used at all also has a rejection that names its place. Applying a record twice changes nothing: a crash between emitting
and remembering may make us do it.

A thumb counts until the turn is a sample. It waits for what follows the action, as the verdict does, and then stands in
the verdict's place (build.py); a thumb that comes later stays in the log without effect, for no action trains twice.

Consumes ActionTaken, NextStateObserved, FeedbackGiven, VerdictReached, HintExtracted; produces TransitionJoined,
SampleBuilt, TurnSkipped, EventRejected. Pure: reads what is known, returns a draft.
"""

import logging
from dataclasses import dataclass, replace

from processors.build import UNREWARDED, build, build_ended, check_vocabulary
from processors.chain import MissingBase, whole_prompt
from processors.credit import waits_for_outcome
from processors.emit import Emission, reject
from processors.join import STAGE, join, observe, refuse, refuse_silence, skip
from processors.ports import Renderer
from processors.turns import Draft, Early, Known, Turn
from schemas.errors import MalformedEventError, RejectedError, TokenMismatchError
from schemas.events import (
    ActionTaken,
    Event,
    FeedbackGiven,
    HintExtracted,
    NextStateObserved,
    SampleBuilt,
    TurnSkipped,
    VerdictReached,
)
from schemas.prompt import Resolved
from streams.recorded import Recorded
from streams.topics import ACTIONS

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the turns of one deployment are processed by."""

    renderer: Renderer
    ambiguous_trains: bool


def apply(known: Known, record: Recorded, rules: Rules) -> Draft:
    """What changes by one record. Never raises for what a record says: then it is a rejection and nothing else."""
    if record.error is not None:
        return _rejection(known, record, record.error)
    step = _Step(draft=Draft(known), record=record, rules=rules)
    try:
        step.add()
    except RejectedError as error:
        return _rejection(known, record, error)
    except Exception as error:  # a fault of ours must not stop the stream either
        _LOGGER.exception("cannot process %s/%d@%d", record.topic, record.partition, record.offset)
        return _rejection(known, record, error)
    return step.draft


def _rejection(known: Known, record: Recorded, error: Exception) -> Draft:
    return Draft(known, emissions=[Emission(event=reject(record, STAGE, error), cause=record)])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """One record being added to a draft."""

    draft: Draft
    record: Recorded
    rules: Rules

    def add(self) -> None:
        match self.record.event:
            case ActionTaken() as action:
                self._add_action(action)
            case NextStateObserved() | FeedbackGiven() | VerdictReached() | HintExtracted() as said:
                if not self._is_decided(said.action_id):
                    self._add_said(said)

    def _add_said(self, said: NextStateObserved | FeedbackGiven | VerdictReached | HintExtracted) -> None:
        match said:
            case NextStateObserved():
                self._add_next_state(said)
            case FeedbackGiven():
                self._add_feedback(said)
            case _:
                self._add_assessment(said)

    def _is_decided(self, action_id: str) -> bool:
        """Whether a turn is still to become the sample that was decided on before a crash; does that where it can."""
        turn = self.draft.turn(action_id)
        if turn is not None and turn.decided:
            self._advance(action_id)
            turn = self.draft.turn(action_id)
        return turn is not None and turn.decided

    def _emit(self, event: Event) -> None:
        self.draft.emissions.append(Emission(event=event, cause=self.record))

    def _add_action(self, action: ActionTaken) -> None:
        known = self.draft.action(action.id)
        if known is not None and known.tenant != action.tenant:
            message = f"Action {action.id} of tenant {action.tenant!r} has the id of another tenant's"
            raise MalformedEventError(f"{message}; ids are to be unique.")
        turn = self.draft.turn_or_new(action.id, self.record, action)
        if turn.action_offset is None:  # the first record of an id wins
            here = replace(turn, action_offset=self.record.offset, action_ms=self.record.timestamp_ms, early=())
            self._take_action(action, here)
            for early in turn.early:
                self._take_early(early)
        for action_id in (action.id, *turn.children):
            self._advance(action_id)

    def _take_early(self, early: Early) -> None:
        try:
            self._take_next_state(early.next_state)
        except RejectedError as error:
            self._emit(reject(early.place(self.record), STAGE, error))

    def _take_action(self, action: ActionTaken, turn: Turn) -> None:
        try:
            check_vocabulary(action, self.rules.renderer.vocab_size)
        except TokenMismatchError as error:  # not kept: no later prompt may be built on it
            self._emit(reject(self.record, STAGE, error))
            self._emit(skip(action.id, "rejected", action, detail=str(error)))
            self.draft.turns[action.id] = _settled(turn)
            return
        refused = refuse(action, ambiguous_trains=self.rules.ambiguous_trains)
        if refused is not None:
            self._emit(refused)
        self.draft.turns[action.id] = turn if refused is None else _settled(turn)
        self.draft.actions[action.id] = action

    def _add_next_state(self, next_state: NextStateObserved) -> None:
        refuse_silence(next_state)
        turn = self.draft.turn_or_new(next_state.action_id, self.record, next_state)
        if turn.action_offset is None:  # whose it is, and so which next states count, only the action says
            self._hold_early(turn, next_state)
        else:
            self._take_next_state(next_state)
            self._advance(next_state.action_id)

    def _hold_early(self, turn: Turn, next_state: NextStateObserved) -> None:
        """Of each tenant what may count: its first real next state, and `ended` before that."""
        state, skipped = observe(turn.early_join(next_state.tenant), next_state, ambiguous_trains=True)
        if skipped is not None:
            self._emit(skipped)
        elif state.held:
            self.draft.turns[next_state.action_id] = turn.with_early(next_state, self.record)

    def _take_next_state(self, next_state: NextStateObserved) -> None:
        action, turn = self.draft.action(next_state.action_id), self.draft.turn(next_state.action_id)
        if action is not None and action.tenant != next_state.tenant:
            message = f"NextStateObserved {next_state.id} follows action {action.id}, which is not its tenant's."
            raise MalformedEventError(message)
        if turn is None:
            return
        state, skipped = observe(turn.join, next_state, ambiguous_trains=self.rules.ambiguous_trains)
        is_final = skipped is not None and skipped.reason == "ambiguous"
        turn = replace(turn, join=state)
        self.draft.turns[next_state.action_id] = _settled(turn) if turn.settled or is_final else turn
        if skipped is not None:
            self._emit(skipped)

    def _add_feedback(self, feedback: FeedbackGiven) -> None:
        turn = self.draft.turn_or_new(feedback.action_id, self.record, feedback)
        self.draft.turns[feedback.action_id] = turn if turn.settled else turn.with_feedback(feedback)
        self._advance(feedback.action_id)

    def _add_assessment(self, assessment: VerdictReached | HintExtracted) -> None:
        turn = self.draft.turn_or_new(assessment.action_id, self.record, assessment)
        other = turn.hint if isinstance(assessment, VerdictReached) else turn.verdict
        if turn.settled or (other is not None and other.transition_id != assessment.transition_id):
            return  # of another judging of this turn; the first one wins
        if isinstance(assessment, VerdictReached):
            turn = replace(turn, verdict=turn.verdict or assessment)
        else:
            turn = replace(turn, hint=turn.hint or assessment)
        self.draft.turns[assessment.action_id] = turn
        self._advance(assessment.action_id)

    def _advance(self, action_id: str) -> None:
        """Emit what has become complete."""
        turn, action = self.draft.turn(action_id), self.draft.action(action_id)
        if turn is None or action is None or turn.action_offset is None or turn.settled:
            return
        if not (turn.join.held or (turn.verdict and turn.hint) or (turn.join.ended and turn.thumbs)):
            return
        try:
            prompt = whole_prompt(action, self.draft.action)
            if isinstance(prompt, MissingBase):
                self._wait(action, turn, prompt.action_id)
            else:
                self.draft.turns[action_id] = self._complete(action, prompt, turn)
        except RejectedError as error:  # the fault lies in the recorded action, not in the record at hand
            place = replace(self.record, topic=ACTIONS.name, partition=turn.partition, offset=turn.action_offset or 0)
            self._emit(reject(replace(place, timestamp_ms=turn.action_ms, event=action, value=b""), STAGE, error))
            self._emit(skip(action_id, "rejected", action, detail=str(error)))
            self.draft.turns[action_id] = _settled(turn)

    def _complete(self, action: ActionTaken, prompt: Resolved, turn: Turn) -> Turn:
        state, transitions = join(action, prompt, turn.join)
        joined = replace(turn, join=state, missing_base_id=None)
        for transition in transitions:
            self._emit(transition)
        built = None if waits_for_outcome(action) else self._built(action, prompt, joined)
        if built is None:
            return joined
        self._emit(built)
        if isinstance(built, SampleBuilt):
            self.draft.decided[action.id] = replace(turn, decided=True)
        elif built.reason in UNREWARDED:
            return replace(joined, unrewarded=True)
        return _settled(joined)

    def _built(self, action: ActionTaken, prompt: Resolved, turn: Turn) -> SampleBuilt | TurnSkipped | None:
        """What the turn becomes by what is known of it; None: nothing that has not been said yet."""
        thumb, ended = turn.thumb(action), turn.join.ended
        if turn.verdict and turn.hint and (thumb or not turn.unrewarded):
            return build(action, prompt, turn.verdict, turn.hint, self.rules.renderer, thumb=thumb)
        if thumb and ended:
            return build_ended(action, prompt, ended, thumb, self.rules.renderer)
        return None

    def _wait(self, action: ActionTaken, turn: Turn, base_id: str) -> None:
        """Hold the action until its base comes."""
        self.draft.turns[action.id] = replace(turn, missing_base_id=base_id)
        base = self.draft.turn_or_new(base_id, self.record, action)
        if action.id not in base.children:
            self.draft.turns[base_id] = replace(base, children=(*base.children, action.id))


def _settled(turn: Turn) -> Turn:
    """A turn that something accounts for; what was waiting in it is not needed any more."""
    join = replace(turn.join, held=(), ended=None)
    return replace(turn, settled=True, decided=False, join=join, verdict=None, hint=None, thumbs=())
