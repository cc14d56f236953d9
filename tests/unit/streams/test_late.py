"""What a request says of an action that its gateway did not know: found later, told once, and only where it is true."""

from dataclasses import replace
from itertools import count

from schemas.events import ActionTaken, Message, Sampling
from schemas.identity import new_id
from schemas.prompt import delta
from serving.facts import session_ended
from streams.conversation import ConversationIndex, session_conversation
from streams.late import late_next_states

HELLO, HI, BYE = (
    Message(role="user", content="hello"),
    Message(role="assistant", content="hi"),
    Message(role="user", content="bye"),
)


class World:
    """Gateways that come and go without the log; what they record stays."""

    def __init__(self) -> None:
        self.ticks = count(1_700_000_000_000, 1000)
        self.now_ms = next(self.ticks)
        self.log: list[ActionTaken] = []

    def gateway(self) -> ConversationIndex:
        return ConversationIndex(
            max_bytes=10**9,
            max_age_ms=10**9,
            max_chain_age_ms=10**9,
            now_ms=lambda: self.now_ms,
            next_id=lambda: new_id(self.now_ms),
        )

    def serve(self, index: ConversationIndex, *read: Message, reply: str, session: str | None = None) -> ActionTaken:
        self.now_ms = next(self.ticks)
        request_id = new_id(self.now_ms)
        match = index.match(tenant="default", session_id=session, messages=read)
        self.now_ms = next(self.ticks)
        action = ActionTaken(
            id=request_id,
            time_ms=self.now_ms,
            policy="assistant",
            conversation_id=match.conversation_id,
            turn=match.turn,
            request_id=request_id,
            parent_action_id=match.parent_action_id,
            **delta(read, (), match.base).as_fields(),
            template_digest="t",
            reply=Message(role="assistant", content=reply),
            model="m",
            sampling=Sampling(),
            response_ids=(),
            response_logprobs=(),
            token_versions=(),
            finish_reason="stop",
        )
        index.add(action)
        self.log.append(action)
        return action

    def restored(self) -> ConversationIndex:
        index = self.gateway()
        index.restore(self.log, ())
        return index


def test_what_a_blind_gateway_was_told_of_an_older_answer_is_found_once() -> None:
    world = World()
    first = world.serve(world.gateway(), HELLO, reply="hi")
    later = world.serve(world.gateway(), HELLO, HI, BYE, reply="see you")
    assert later.parent_action_id is None
    index = world.restored()
    [state] = late_next_states(world.log, (), index)
    assert (state.action_id, state.conversation_id, state.messages) == (first.id, first.conversation_id, (BYE,))
    assert (state.request_id, state.source) == (later.id, "chat")
    known = index.get(first.id)
    assert known is not None
    assert known.answered
    assert list(late_next_states(world.log, [state], world.restored())) == []
    assert list(late_next_states(world.log, (), world.restored())) == [state]  # asked again, it says the same


def test_a_request_that_ended_its_session_is_no_exception() -> None:
    world = World()
    first = world.serve(world.gateway(), HELLO, reply="hi")
    later = world.serve(world.gateway(), HELLO, HI, BYE, reply="see you")
    [state] = late_next_states(world.log, [session_ended(later)], world.restored())
    assert state.action_id == first.id


def test_what_was_known_when_it_came_is_not_told_again() -> None:
    world = World()
    gateway = world.gateway()
    world.serve(gateway, HELLO, reply="hi")
    world.serve(gateway, HELLO, HI, BYE, reply="see you")
    assert list(late_next_states(world.log, (), world.restored())) == []


def test_nothing_follows_an_answer_that_was_given_later() -> None:
    world = World()
    world.serve(world.gateway(), HELLO, HI, BYE, reply="see you")  # a history from elsewhere
    world.serve(world.gateway(), HELLO, reply="hi")
    assert list(late_next_states(world.log, (), world.restored())) == []


def test_an_answer_does_not_follow_itself() -> None:
    world = World()
    world.serve(world.gateway(), HELLO, HI, BYE, reply="hi")
    world.log = [replace(world.log[0], time_ms=int(world.log[0].id[:12], 16))]  # drawn in no time
    assert list(late_next_states(world.log, (), world.restored())) == []


def test_a_session_follows_itself_only() -> None:
    world = World()
    world.serve(world.gateway(), HELLO, reply="hi")
    world.serve(world.gateway(), HELLO, HI, BYE, reply="see you", session="s")
    assert list(late_next_states(world.log, (), world.restored())) == []
    first = world.serve(world.gateway(), HELLO, reply="hi", session="s")
    world.serve(world.gateway(), HELLO, HI, BYE, reply="so long", session="s")
    [state] = late_next_states(world.log, (), world.restored())
    assert (state.action_id, state.conversation_id) == (first.id, session_conversation("default", "s"))


def test_what_other_producers_say_is_left_as_they_say_it() -> None:
    world = World()
    world.serve(world.gateway(), HELLO, reply="hi")
    later = world.serve(world.gateway(), HELLO, HI, BYE, reply="see you")
    for other in (replace(later, request_id=""), replace(later, id="mine", request_id="mine")):
        world.log[1] = other
        assert list(late_next_states(world.log, (), world.restored())) == []
