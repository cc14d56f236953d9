"""`prompts`: what an action keeps of its base, the base has, so that every prompt can be put together again."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from infra.audit.check import Check
from infra.audit.facts import Fact, Size
from infra.audit.index import LogIndex
from infra.audit.report import Tally
from schemas.events import ActionTaken
from schemas.prompt import num_kept, num_needed

Actions = Mapping[str, Fact[ActionTaken]]


class _Whole(NamedTuple):
    """What an action has read and written: the most that a later one can keep of it."""

    num_messages: int
    num_tokens: int


def run(log: LogIndex, tally: Tally) -> None:
    """Bases before those who build on them; a base that is not there is another check's."""
    actions, known = log.of(ActionTaken), dict[str, _Whole]()
    for fact in actions.values():
        if fact.event.base_action_id is not None:
            tally.num_checked += 1
        if fact.event.id in known:  # measured as the base of an earlier one
            continue
        chain = list(chain_of(fact, actions, known))
        last = chain[-1].event.base_action_id
        if last in {one.event.id for one in chain}:
            tally.fail(fact.line, f"Action {fact.event.id} is its own base, by way of {last}.")
        elif last is None or last in known:
            _measure(chain, known, tally)
        else:
            tally.hidden["prompts whose base is not in the log"] += 1


def chain_of(fact: Fact[ActionTaken], actions: Actions, known: Mapping[str, object]) -> Iterator[Fact[ActionTaken]]:
    """The action, its base, the base's base ... up to one without, one that is not there, is known, or comes again."""
    seen: set[str] = set()
    current: Fact[ActionTaken] | None = fact
    while current is not None and current.event.id not in seen and current.event.id not in known:
        seen.add(current.event.id)
        yield current
        current = actions.get(current.event.base_action_id or "")


def _measure(chain: list[Fact[ActionTaken]], known: dict[str, _Whole], tally: Tally) -> None:
    for fact in reversed(chain):
        event, size = fact.event, fact.size or Size(0, 0, 0)
        base = known.get(event.base_action_id or "", _Whole(0, 0))
        messages, tokens = (event.kept_messages, event.messages_tail), (event.kept_prompt_tokens, event.prompt_tail)
        if num_needed(*messages) > base.num_messages or num_needed(*tokens) > base.num_tokens:
            tally.fail(fact.line, f"It keeps more of action {event.base_action_id} than that one has.")
        known[event.id] = _Whole(
            num_kept(*messages) + size.num_messages + 1,
            num_kept(*tokens) + size.num_prompt_ids + size.num_response_ids,
        )


CHECK = Check(
    name="prompts",
    promise="An action keeps no more of its base than that has.",
    blind="Whether the kept words and tokens are those that were sent: the digest covers what is new.",
    run=run,
)
