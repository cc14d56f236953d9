"""`checked`: what one client's run must have left behind, in its output and in the log.

Pure. Each check is a sentence about what is wrong, or nothing. The words that they look for are the script's
(infra/bench/clients/script.py).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from infra.bench.clients.engine import Drawn, logprob
from infra.bench.clients.script import AFTER_RETRY, ANSWER, CORRECTED, CORRECTION, LONG, RESULTS, RETRIED, STORY
from infra.bench.clients.stage import Logged
from infra.connect.clients import Check
from schemas.events import ActionTaken, NextStateObserved
from schemas.prompt import Resolved, resolve


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of a client: how it ended and what it printed, what the log has, and what the engine drew."""

    exit_code: int
    output: str
    logged: Logged
    drawn: tuple[Drawn, ...]
    num_failures: int
    streams: bool

    def action(self, reply: str) -> ActionTaken | None:
        """The action that replied this."""
        return next((action for action in self.logged.actions if action.reply.content == reply), None)

    def next_states(self, action: ActionTaken | None) -> list[NextStateObserved]:
        """What followed an action, first one first."""
        return [state for state in self.logged.next_states if action is not None and state.action_id == action.id]


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
    for words in (ANSWER, CORRECTED, AFTER_RETRY, *([STORY[:8]] if ran.streams else [])):
        place = ran.output.find(words, place)
        if place < 0:
            yield f"it did not print {words!r}"
            return


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


def _said_next(ran: Ran, reply: str, words: str) -> str:
    """What is wrong with the first next state of a reply: a user message with these words, behind results of calls."""
    action = ran.action(reply)
    states = ran.next_states(action)
    if action is None or not states:
        return f"{reply!r} has no next state"
    messages = states[0].messages
    roles = [*["tool"] * len(action.reply.tool_calls), "user"]
    is_right = [message.role for message in messages] == roles and words in messages[-1].content
    return "" if is_right else f"the next state of {reply!r} is {messages}"


def _correction(ran: Ran) -> Iterator[str]:
    """The correction is the next state of what it corrects."""
    yield _said_next(ran, ANSWER, CORRECTION)


def _retry(ran: Ran) -> Iterator[str]:
    """The request was sent again; both times are in the log, and the reply belongs to the same turn."""
    if ran.num_failures != 1:
        yield f"the engine failed {ran.num_failures} times"
    if ran.action(AFTER_RETRY) is None:
        yield "the request was not sent again"
    states = ran.next_states(ran.action(CORRECTED))
    if len(states) != 2 or RETRIED not in states[1].messages[-1].content:  # OpenClaw adds words of its own
        yield f"the request that was sent twice left the next states {[state.messages for state in states]}"
    yield _said_next(ran, CORRECTED, RETRIED)


def _abandoned(ran: Ran) -> Iterator[str]:
    """What was drawn until the client left is recorded as aborted."""
    last = ran.logged.actions[-1] if ran.logged.actions else None
    if last is None or last.finish_reason != "aborted":
        yield "no answer was recorded as aborted"
        return
    if not (0 < len(last.reply.content) < len(STORY) and STORY.startswith(last.reply.content)):
        yield "the abandoned answer is not the beginning of what was drawn"
    yield _said_next(ran, AFTER_RETRY, LONG)


def _tokens(ran: Ran) -> Iterator[str]:
    """Prompt, reply and log-probabilities of each action are those that the engine read and drew, token for token."""
    if len(ran.logged.actions) != len(ran.drawn):
        yield f"{len(ran.drawn)} replies were drawn, but {len(ran.logged.actions)} recorded"
        return
    whole: dict[str | None, Resolved] = {}
    for action, drawn in zip(ran.logged.actions, ran.drawn, strict=True):
        num_tokens = len(action.response_ids)
        logprobs = tuple(map(logprob, range(num_tokens)))
        if action.response_ids != drawn.ids[:num_tokens] or action.response_logprobs != logprobs:
            yield f"the tokens of turn {action.turn} are not those that were drawn"
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
