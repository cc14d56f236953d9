"""`checked`: what one client's run must have left behind, in its output and in the log.

Pure. Each check is a sentence about what is wrong, or nothing. What people say is the programs' (script.py has the
words by which it is told); what the model said is what the engine drew, be it a script or a model.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from infra.bench.clients.engine import Drawn
from infra.bench.clients.script import CORRECTION, LONG, RESULTS, RETRIED, Asked
from infra.bench.clients.stage import Logged
from infra.connect.clients import Check
from schemas.events import ActionTaken, NextStateObserved
from schemas.prompt import Resolved, resolve

SEEN_CHARS = 8  # of the long answer, whose end the client does not wait for


@dataclass(frozen=True, slots=True)
class Turn:
    """A reply as it was drawn, and the action that it was recorded as."""

    drawn: Drawn
    action: ActionTaken


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of a client: how it ended and what it printed, what the log has, and what the engine drew."""

    exit_code: int
    output: str
    logged: Logged
    drawn: tuple[Drawn, ...]
    num_failures: int
    streams: bool

    @property
    def turns(self) -> tuple[Turn, ...]:
        """In the order of time; `_tokens` says whether replies and actions are each other's."""
        return tuple(map(Turn, self.drawn, self.logged.actions))

    def asked(self, asked: Asked) -> Turn | None:
        """The turn in which this was asked."""
        return next((turn for turn in self.turns if turn.drawn.asked == asked), None)

    def before(self, asked: Asked) -> Turn | None:
        """The turn before it: the answer that it is a reply to."""
        places = [place for place, turn in enumerate(self.turns) if turn.drawn.asked == asked]
        return self.turns[places[0] - 1] if places and places[0] else None

    def next_states(self, action: ActionTaken) -> list[NextStateObserved]:
        """What followed an action, first one first."""
        return [state for state in self.logged.next_states if state.action_id == action.id]


def checked(ran: Ran) -> dict[Check, str]:
    """What is wrong, by check; "" where nothing is."""
    return {name: next(filter(None, check(ran)), "") for name, check in _CHECKS.items()}


def matched(logged: Logged) -> tuple[int, int]:
    """Of the requests that continue something: how many found without a doubt what, and how many there are."""
    continuing = [action for action in logged.actions if action.turn > 0]
    return sum(action.parent_action_id is not None and not action.ambiguous for action in continuing), len(continuing)


def _behaves(ran: Ran) -> Iterator[str]:
    """It ends well, and has shown what the model said, in that order, and of the long answer the beginning."""
    if ran.exit_code != 0:
        yield f"it ended with exit code {ran.exit_code}"
    place = 0
    answers = [ran.before("correction"), ran.before("retried"), ran.before("long")]
    story = [ran.asked("long")] if ran.streams else []
    if None in (*answers, *story):
        yield "the engine was not asked all that there is to ask"
        return
    shown = [turn.drawn.words.strip() for turn in answers if turn]
    for words in (*shown, *(turn.drawn.words.strip()[:SEEN_CHARS] for turn in story if turn)):
        place = ran.output.find(words, place)
        if place < 0:
            yield f"it did not print {words!r}"
            return
        place += len(words)  # a model may say the same twice


def _turns(ran: Ran) -> Iterator[str]:
    """One conversation, each turn behind the one before it, without a guess."""
    actions = ran.logged.actions
    if not actions:
        yield "nothing was recorded"
    if len({action.conversation_id for action in actions}) > 1:
        yield "its requests became several conversations"
    if any([*(action.ambiguous for action in actions), *(state.ambiguous for state in ran.logged.next_states)]):
        yield "a match was ambiguous"
    if [action.turn for action in actions] != list(range(len(actions))):
        yield f"its turns are {[action.turn for action in actions]}"
    parents = [None, *(action.id for action in actions[:-1])]
    if [action.parent_action_id for action in actions] != parents:
        yield "an action does not follow the one before it"


def _parallel(ran: Ran) -> Iterator[str]:
    """The results of both calls are one next state, in the order of the calls, unless they name them otherwise."""
    calling = [action for action in ran.logged.actions if len(action.reply.tool_calls) == len(RESULTS)]
    if len(calling) != 1:
        yield f"{len(calling)} actions made the two calls"
        return
    states = ran.next_states(calling[0])
    if len(states) != 1:
        yield f"the calls have {len(states)} next states"
        return
    results = states[0].messages
    if [message.role for message in results] != ["tool"] * len(RESULTS):
        yield f"the next state of the calls holds {[message.role for message in results]}"
        return
    place = {call.id: number for number, call in enumerate(calling[0].reply.tool_calls)}
    told = sorted(
        results, key=lambda message: place.get(message.tool_call_id, len(place))
    )  # rewritten ids: as they come
    if not all(result in message.content for result, message in zip(RESULTS, told, strict=True)):
        yield f"the calls {list(place)} have the results {told}"


def _said_next(ran: Ran, asked: Asked, words: str) -> str:
    """What is wrong with what follows the answer before these words: a user's message with them, behind results."""
    turn = ran.before(asked)
    states = ran.next_states(turn.action) if turn else []
    if turn is None or not states:
        return f"the answer before {words!r} has no next state"
    messages = states[0].messages
    roles = [*["tool"] * len(turn.action.reply.tool_calls), "user"]
    is_right = [message.role for message in messages] == roles and words in messages[-1].content
    return "" if is_right else f"the next state of {turn.drawn.words!r} is {messages}"


def _correction(ran: Ran) -> Iterator[str]:
    """The correction is the next state of what it corrects."""
    yield _said_next(ran, "correction", CORRECTION)


def _retry(ran: Ran) -> Iterator[str]:
    """The request was sent again; both times are in the log, and the reply belongs to the same turn."""
    if ran.num_failures != 1:
        yield f"the engine failed {ran.num_failures} times"
    turn = ran.before("retried")
    if turn is None:
        yield "the request was not sent again"
        return
    states = ran.next_states(turn.action)
    if len(states) != 2 or RETRIED not in states[1].messages[-1].content:  # OpenClaw adds words of its own
        yield f"the request that was sent twice left the next states {[state.messages for state in states]}"
    yield _said_next(ran, "retried", RETRIED)


def _abandoned(ran: Ran) -> Iterator[str]:
    """What was drawn until the client left is recorded as aborted."""
    story = ran.asked("long")
    if story is None or story.action.finish_reason != "aborted":
        yield "no answer was recorded as aborted"
        return
    if not story.action.reply.content:
        yield "nothing of the abandoned answer is recorded"
    yield _said_next(ran, "long", LONG)


def _tokens(ran: Ran) -> Iterator[str]:
    """Prompt, reply and log-probabilities of each action are those that the engine read and drew, token for token.

    Of a reply that was broken off its beginning is; of one with calls, the words before them.
    """
    if not ran.drawn:
        yield "nothing was drawn"
    if len(ran.logged.actions) != len(ran.drawn):
        yield f"{len(ran.drawn)} replies were drawn, but {len(ran.logged.actions)} recorded"
        return
    whole: dict[str | None, Resolved] = {}
    for turn in ran.turns:
        action, drawn, num_tokens = turn.action, turn.drawn, len(turn.action.response_ids)
        recorded = (action.response_ids, action.response_logprobs)
        if recorded != (drawn.ids[:num_tokens], drawn.logprobs[:num_tokens]) or not num_tokens:
            yield f"the tokens of turn {action.turn} are not those that were drawn"
        if not drawn.words.startswith(action.reply.content):
            yield f"the words of turn {action.turn} are not those that were drawn"
        whole[action.id] = resolve(action, whole.get(action.base_action_id))
        if whole[action.id].prompt_ids != drawn.prompt_ids:
            yield f"the prompt of turn {action.turn} is not the one that was read"


_CHECKS: Mapping[Check, Callable[[Ran], Iterator[str]]] = {
    "behaves": _behaves,
    "turns": _turns,
    "parallel": _parallel,
    "correction": _correction,
    "retry": _retry,
    "abandoned": _abandoned,
    "tokens": _tokens,
}
CHECKS: Sequence[Check] = tuple(_CHECKS)
