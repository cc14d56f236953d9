"""Matching requests to the actions they answer: one test for each thing that real clients do."""

import gc
import tracemalloc
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from schemas.events import ActionTaken, FinishReason, Message, NextStateObserved, Sampling
from schemas.messages import normalise_message
from schemas.prompt import delta
from streams.conversation import FULL_PROMPT_EVERY_TURNS, ConversationIndex
from streams.match import Match

DAY_MS = 24 * 3600 * 1000


class Served:
    """An index, and the requests it sees: `ask` matches a request, `reply` serves an action for it."""

    def __init__(self, max_bytes: int = 10**9) -> None:
        self.time_ms = 1_000_000
        self.ids = count()
        self.index = self.empty_index(max_bytes)
        self.log: list[ActionTaken] = []

    def empty_index(self, max_bytes: int = 10**9) -> ConversationIndex:
        return ConversationIndex(
            max_bytes=max_bytes,
            max_age_ms=7 * DAY_MS,
            max_chain_age_ms=DAY_MS,
            now_ms=lambda: self.time_ms,
            next_id=lambda: f"conversation-{next(self.ids)}",
        )

    def ask(self, *raw: dict[str, Any], tenant: str = "default", session: str | None = None) -> Match:
        return self.index.match(tenant=tenant, session_id=session, messages=normalised(raw))

    def reply(
        self,
        match: Match,
        *raw: dict[str, Any],
        reply: dict[str, Any],
        tenant: str = "default",
        finish: FinishReason = "stop",
        sibling: int = 0,
    ) -> ActionTaken:
        self.time_ms += 1
        read = normalised(raw)
        prompt = delta(read, tuple(ord(c) for message in read for c in message.content), match.base)
        action = ActionTaken(
            id=f"action-{next(self.ids)}",
            time_ms=self.time_ms,
            policy="assistant",
            conversation_id=match.conversation_id,
            tenant=tenant,
            turn=match.turn,
            request_id="request",
            sibling=sibling,
            parent_action_id=match.parent_action_id,
            **prompt.as_fields(),
            template_digest="t",
            reply=normalise_message(reply),
            model="m",
            sampling=Sampling(),
            response_ids=tuple(map(ord, reply.get("content") or "")),
            response_logprobs=(),
            token_versions=(),
            finish_reason=finish,
        )
        assert self.index.add(action)
        self.log.append(action)
        return action

    def turn(self, *raw: dict[str, Any], reply: dict[str, Any], **keywords: Any) -> tuple[Match, ActionTaken]:
        tenant, session = keywords.get("tenant", "default"), keywords.pop("session", None)
        match = self.ask(*raw, tenant=tenant, session=session)
        return match, self.reply(match, *raw, reply=reply, **keywords)


def normalised(raw: tuple[dict[str, Any], ...]) -> tuple[Message, ...]:
    return tuple(normalise_message(message) for message in raw)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def system(text: str) -> dict[str, Any]:
    return {"role": "system", "content": text}


def call(name: str, arguments: str, call_id: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def tool(text: str, call_id: str) -> dict[str, Any]:
    return {"role": "tool", "content": text, "tool_call_id": call_id}


@pytest.fixture
def served() -> Served:
    return Served()


def test_a_first_turn_opens_a_conversation_at_turn_0(served: Served) -> None:
    match = served.ask(system("be kind"), user("hello"))
    assert match == Match(conversation_id="conversation-0", turn=0)


def test_a_reply_is_the_next_state_of_the_action_it_follows(served: Served) -> None:
    first, action = served.turn(user("hello"), reply=assistant("hi"))
    match = served.ask(user("hello"), assistant("hi"), user("how are you?"))
    assert (match.parent_action_id, match.conversation_id, match.turn) == (action.id, first.conversation_id, 1)
    assert match.new_messages == normalised((user("how are you?"),))
    assert not any((match.ambiguous, match.branch, match.unknown_reply))


def test_a_correction_matches_like_any_reply_and_the_next_turn_follows_it(served: Served) -> None:
    served.turn(user("hello"), reply=assistant("- hi"))
    _, corrected = served.turn(user("hello"), assistant("- hi"), user("no lists"), reply=assistant("hi"))
    match = served.ask(user("hello"), assistant("- hi"), user("no lists"), assistant("hi"), user("thanks"))
    assert (match.parent_action_id, match.turn) == (corrected.id, 2)
    assert match.new_messages == normalised((user("thanks"),))


def test_all_parallel_tool_results_are_one_next_state_whatever_ids_the_client_gives_them(served: Served) -> None:
    reply = {"role": "assistant", "tool_calls": [call("a", '{"x": 1, "y": 2}', "c1"), call("b", "{}", "c2")]}
    _, action = served.turn(user("go"), reply=reply)
    resent = {
        "role": "assistant",
        "content": None,
        "tool_calls": [call("a", '{"y":2,"x":1}', "other1"), call("b", "{}", "other2")],
    }
    results = (tool("ok", "other1"), tool("ok", "other2"))
    match = served.ask(user("go"), resent, *results)
    assert match.parent_action_id == action.id
    assert match.new_messages == normalised(results)


def test_regenerate_is_a_branch_of_the_same_parent(served: Served) -> None:
    _, first = served.turn(user("hello"), reply=assistant("hi"))
    request = (user("hello"), assistant("hi"), user("a story"))
    _, second = served.turn(*request, reply=assistant("once"))
    again = served.ask(*request)
    assert again.parent_action_id == second.parent_action_id == first.id
    assert again.branch
    assert again.new_messages == normalised((user("a story"),))


def test_an_edit_of_an_old_message_is_a_branch_with_the_edited_words(served: Served) -> None:
    _, first = served.turn(user("hello"), reply=assistant("hi"))
    served.turn(user("hello"), assistant("hi"), user("a story"), reply=assistant("once"))
    match = served.ask(user("hello"), assistant("hi"), user("a poem"))
    assert (match.parent_action_id, match.branch, match.turn) == (first.id, True, 1)
    assert match.new_messages == normalised((user("a poem"),))


def test_an_edit_of_the_first_message_opens_a_new_conversation(served: Served) -> None:
    first, _ = served.turn(user("hello"), reply=assistant("hi"))
    assert served.ask(user("hullo")).conversation_id != first.conversation_id


def test_a_client_retry_makes_a_sibling_in_the_same_conversation(served: Served) -> None:
    opening, _ = served.turn(user("hello"), reply=assistant("hi"))
    request = (user("hello"), assistant("hi"), user("more"))
    one, _ = served.turn(*request, reply=assistant("first try"))
    two, retried = served.turn(*request, reply=assistant("second try"))
    assert (one.branch, two.branch) == (False, True)
    assert one.conversation_id == two.conversation_id == opening.conversation_id
    assert one.turn == two.turn == 1
    follow = served.ask(*request, assistant("second try"), user("good"))
    assert (follow.parent_action_id, follow.branch, follow.ambiguous) == (retried.id, False, False)


def test_a_retried_opening_costs_nothing_the_reply_tells_which_one_went_on(served: Served) -> None:
    one, _ = served.turn(user("hello"), reply=assistant("lost on the way"), finish="aborted")
    two, retried = served.turn(user("hello"), reply=assistant("hi"))
    assert one.conversation_id != two.conversation_id
    follow = served.ask(user("hello"), assistant("hi"), user("thanks"))
    assert (follow.parent_action_id, follow.ambiguous) == (retried.id, False)


def test_with_n_2_the_choice_that_the_client_kept_is_the_parent(served: Served) -> None:
    match = served.ask(user("hello"))
    served.reply(match, user("hello"), reply=assistant("hi"))
    kept = served.reply(match, user("hello"), reply=assistant("good day"), sibling=1)
    follow = served.ask(user("hello"), assistant("good day"), user("thanks"))
    assert (follow.parent_action_id, follow.ambiguous, follow.turn) == (kept.id, False, 1)


def test_two_identical_openings_under_one_key_are_two_conversations_and_what_follows_is_ambiguous(
    served: Served,
) -> None:
    one, action_one = served.turn(user("hello"), reply=assistant("hi"))
    two, action_two = served.turn(user("hello"), reply=assistant("hi"))
    assert one.conversation_id != two.conversation_id
    first = served.ask(user("hello"), assistant("hi"), user("I am Ann"))
    second = served.ask(user("hello"), assistant("hi"), user("I am Bob"))
    assert [first.parent_action_id, second.parent_action_id] == [action_one.id, action_two.id]
    assert first.ambiguous
    assert second.ambiguous
    assert not second.branch


def test_a_session_id_tells_identical_openings_apart(served: Served) -> None:
    served.turn(user("hello"), reply=assistant("hi"), session="ann")
    _, action = served.turn(user("hello"), reply=assistant("hi"), session="bob")
    match = served.ask(user("hello"), assistant("hi"), user("I am Bob"), session="bob")
    assert (match.parent_action_id, match.ambiguous) == (action.id, False)


def test_a_session_that_starts_over_stays_one_conversation(served: Served) -> None:
    one = served.ask(user("hello"), session="s")
    two = served.ask(user("something else"), session="s")
    assert one.conversation_id == two.conversation_id
    assert served.ask(user("hello"), session="other").conversation_id != one.conversation_id


def test_a_system_prompt_that_changes_every_call_does_not_matter(served: Served) -> None:
    _, action = served.turn(system("it is 9:00"), user("hello"), reply=assistant("hi"))
    match = served.ask(system("it is 9:01"), user("hello"), assistant("hi"), user("bye"))
    assert (match.parent_action_id, match.ambiguous) == (action.id, False)


def test_context_that_the_client_adds_to_each_request_and_leaves_out_of_its_history_is_not_a_next_state(
    served: Served,
) -> None:
    context = user("<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>> do not show")
    _, action = served.turn(user("[09:00] hello"), context, reply=assistant("hi"))
    match = served.ask(user("[09:00] hello"), assistant("hi"), user("[09:01] bye"), context)
    assert (match.parent_action_id, match.ambiguous) == (action.id, False)
    assert match.new_messages == normalised((user("[09:01] bye"),))


def test_repeated_context_is_left_out_of_tool_turns_too(served: Served) -> None:
    context = user("<context>")
    wants = {"role": "assistant", "tool_calls": [call("ls", "{}", "c1")]}
    served.turn(user("list"), context, reply=wants)
    looped = (user("list"), context, wants, tool("a.txt", "c1"))
    _, action = served.turn(*looped, reply=assistant("one file"))
    match = served.ask(user("list"), wants, tool("a.txt", "c1"), assistant("one file"), user("delete it"), context)
    assert match.parent_action_id == action.id
    assert match.new_messages == normalised((user("delete it"),))


def test_a_person_who_says_the_same_thing_again_is_heard(served: Served) -> None:
    _, action = served.turn(user("a story"), reply=assistant("once"))
    match = served.ask(user("a story"), assistant("once"), user("a story"))
    assert match.parent_action_id == action.id
    assert match.new_messages == normalised((user("a story"),))


def test_a_repeated_message_after_a_cut_history_is_heard_when_it_is_all_there_is(served: Served) -> None:
    served.turn(user("a story"), reply=assistant("once"))
    assert served.ask(assistant("once"), user("a story")).new_messages == normalised((user("a story"),))


def test_a_history_that_the_client_cut_still_matches_by_what_is_left(served: Served) -> None:
    served.turn(user("one"), reply=assistant("1"))
    served.turn(user("one"), assistant("1"), user("two"), reply=assistant("2"))
    _, third = served.turn(
        user("one"), assistant("1"), user("two"), assistant("2"), user("three"), reply=assistant("3")
    )
    match = served.ask(user("three"), assistant("3"), user("four"))
    assert (match.parent_action_id, match.turn, match.ambiguous) == (third.id, 3, False)
    assert match.new_messages == normalised((user("four"),))


def test_a_history_that_the_client_summarised_still_matches_by_what_is_left(served: Served) -> None:
    served.turn(user("one"), reply=assistant("1"))
    _, second = served.turn(user("one"), assistant("1"), user("two"), reply=assistant("2"))
    match = served.ask(user("Summary: they count."), user("two"), assistant("2"), user("three"))
    assert (match.parent_action_id, match.ambiguous) == (second.id, False)
    assert match.new_messages == normalised((user("three"),))


def test_a_history_with_nothing_left_of_what_was_read_is_a_guess(served: Served) -> None:
    _, action = served.turn(user("one"), reply=assistant("1"))
    match = served.ask(user("Summary: they count."), assistant("1"), user("two"))
    assert (match.parent_action_id, match.ambiguous) == (action.id, True)


def test_the_overlap_of_what_was_read_decides_between_equal_replies(served: Served) -> None:
    served.turn(user("cats?"), reply=assistant("Sure!"))
    _, dogs = served.turn(user("dogs?"), reply=assistant("Sure!"))
    match = served.ask(user("dogs?"), assistant("Sure!"), user("thanks"))
    assert (match.parent_action_id, match.ambiguous) == (dogs.id, False)


def test_a_later_equal_reply_in_the_same_conversation_is_told_from_the_earlier_one(served: Served) -> None:
    _, early = served.turn(user("a"), reply=assistant("ok"))
    _, late = served.turn(user("a"), assistant("ok"), user("b"), reply=assistant("ok"))
    forward = served.ask(user("a"), assistant("ok"), user("b"), assistant("ok"), user("c"))
    assert (forward.parent_action_id, forward.ambiguous) == (late.id, False)
    assert served.ask(user("a"), assistant("ok"), user("edited")).parent_action_id == early.id


def test_an_image_is_known_by_its_bytes(served: Served) -> None:
    def picture(data: str) -> dict[str, Any]:
        url = f"data:image/png;base64,{data}"
        parts = [{"type": "text", "text": "what is this?"}, {"type": "image_url", "image_url": {"url": url}}]
        return {"role": "user", "content": parts}

    served.turn(picture("AAAA"), reply=assistant("a cat"))
    _, dog = served.turn(picture("BBBB"), reply=assistant("a cat"))
    match = served.ask(picture("BBBB"), assistant("a cat"), user("no, a dog"))
    assert (match.parent_action_id, match.ambiguous) == (dog.id, False)


def test_a_reply_after_a_timed_out_ended_is_still_the_first_next_state(served: Served) -> None:
    _, action = served.turn(user("hello"), reply=assistant("hi"))
    served.index = served.empty_index()
    assert served.index.restore(served.log, [ended(action)]) == 1
    match = served.ask(user("hello"), assistant("hi"), user("sorry, I was away"))
    assert (match.parent_action_id, match.branch) == (action.id, False)


def test_an_assistant_message_that_was_never_served_opens_a_conversation_and_says_so(served: Served) -> None:
    served.turn(user("hello"), reply=assistant("hi"))
    match = served.ask(user("hello"), assistant("hi, edited by the client"), user("thanks"))
    assert match == Match(conversation_id="conversation-2", turn=1, unknown_reply=True)


def test_what_a_client_kept_of_a_stream_it_left_finds_the_aborted_action(served: Served) -> None:
    _, action = served.turn(user("a story"), reply=assistant("Once upon"), finish="aborted")
    match = served.ask(user("a story"), assistant("Once upon"), user("go on"))
    assert (match.parent_action_id, match.branch) == (action.id, False)


def test_a_request_that_ends_with_the_reply_continues_it_and_observes_nothing(served: Served) -> None:
    _, action = served.turn(user("hello"), reply=assistant("hi"))
    match = served.ask(user("hello"), assistant("hi"))
    assert (match.parent_action_id, match.new_messages) == (action.id, ())
    assert not served.ask(user("hello"), assistant("hi"), user("bye")).branch


def test_tenants_never_see_each_other(served: Served) -> None:
    served.turn(user("hello"), reply=assistant("hi"), tenant="a", session="s")
    match = served.ask(user("hello"), assistant("hi"), user("bye"), tenant="b", session="s")
    assert match.unknown_reply
    assert match.conversation_id != served.ask(user("x"), tenant="a", session="s").conversation_id


def test_a_long_conversation_behind_a_changing_prompt_takes_little_room_and_resolves_to_the_whole() -> None:
    def system(turn: int) -> dict[str, Any]:
        return {"role": "system", "content": f"It is {turn} o'clock. " + "Be brief. " * 20}

    served, history = Served(), list[dict[str, Any]]()
    for i in range(FULL_PROMPT_EVERY_TURNS):
        history.append(user(f"question {i}, with all that it is about, and why"))
        _, action = served.turn(system(i), *history, reply=assistant(f"answer {i}"))
        assert i == 0 or len(action.messages) == 2
        assert i == 0 or len(action.prompt_ids) < len(served.log[0].prompt_ids)
        history.append(assistant(f"answer {i}"))
    again = Served()
    again.index.restore(served.log, [])
    for index in (served.index, again.index):
        match = index.match(tenant="default", session_id=None, messages=normalised((*history, user("thanks"))))
        assert match.base is not None
        assert (match.parent_action_id, match.base.action_id) == (action.id, action.id)
        assert match.base.messages == normalised((system(i), *history[:-1]))
        assert match.base.prompt_ids == tuple(ord(c) for message in match.base.messages for c in message.content)


def test_an_action_past_the_age_limit_is_forgotten(served: Served) -> None:
    served.turn(user("hello"), reply=assistant("hi"))
    served.time_ms += 7 * DAY_MS + 1
    assert served.ask(user("hello"), assistant("hi"), user("bye")).unknown_reply
    assert len(served.index) == 0


def test_the_oldest_actions_are_forgotten_when_memory_is_full() -> None:
    served = Served(max_bytes=30_000)
    for i in range(20):
        served.turn(user(f"hello {i}"), reply=assistant(f"hi {i}"))
    assert 1 < len(served.index) < 20
    assert served.ask(user("hello 0"), assistant("hi 0"), user("bye")).unknown_reply
    assert not served.ask(user("hello 19"), assistant("hi 19"), user("bye")).unknown_reply


def test_a_long_conversation_is_stored_as_new_words_only_and_resolves_to_the_whole(served: Served) -> None:
    history: list[dict[str, Any]] = []
    wholes = 0
    for i in range(2 * FULL_PROMPT_EVERY_TURNS + 1):
        history.append(user(f"question {i}"))
        _, action = served.turn(*history, reply=assistant(f"answer {i}"))
        wholes += action.base_action_id is None
        assert action.base_action_id is None or len(action.messages) == 1
        history.append(assistant(f"answer {i}"))
    match = served.ask(*history, user("thanks"))
    assert match.base is not None
    assert (*match.base.messages, match.base.reply) == normalised(tuple(history))
    assert wholes == 2  # the opening, and once more after FULL_PROMPT_EVERY_TURNS links


def test_a_restart_forgets_nothing(served: Served) -> None:
    _, first = served.turn(user("hello"), reply=assistant("hi"), session="s")
    request = (user("hello"), assistant("hi"), user("more"))
    _, second = served.turn(*request, reply=assistant("more it is"), session="s")
    state = replace(ended(first), kind="messages", messages=normalised((user("more"),)), ended_reason=None)
    before = served.ask(*request, assistant("more it is"), user("thanks"), session="s")
    served.index = served.empty_index()
    assert served.index.restore(reversed([*served.log, second]), [state]) == 2
    after = served.ask(*request, assistant("more it is"), user("thanks"), session="s")
    assert after == before
    assert after.parent_action_id == second.id
    assert served.ask(*request, session="s").branch


def test_an_action_whose_base_is_not_in_the_log_is_left_out_of_a_restore(served: Served) -> None:
    served.turn(user("hello"), reply=assistant("hi"))
    served.turn(user("hello"), assistant("hi"), user("more"), reply=assistant("more it is"))
    index = served.empty_index()
    assert index.restore(served.log[1:], []) == 0


def ended(action: ActionTaken) -> NextStateObserved:
    return NextStateObserved(
        id="state",
        time_ms=action.time_ms,
        policy=action.policy,
        conversation_id=action.conversation_id,
        action_id=action.id,
        kind="ended",
        ended_reason="timeout",
    )


def test_a_prompt_is_stored_whole_where_the_whole_one_before_it_is_older_than_readers_remember(served: Served) -> None:
    history: list[dict[str, Any]] = []
    bases = []
    for i in range(4):
        history.append(user(f"question {i}"))
        _, action = served.turn(*history, reply=assistant(f"answer {i}"))
        bases.append(action.base_action_id is None)
        history.append(assistant(f"answer {i}"))
        served.time_ms += DAY_MS * 2 // 5
    assert bases == [True, False, False, True]


def test_equal_choices_of_one_turn_are_no_guess(served: Served) -> None:
    match = served.ask(user("hello"))
    choices = [served.reply(match, user("hello"), reply=assistant("hi"), sibling=i) for i in range(2)]
    found = served.ask(user("hello"), assistant("hi"), user("bye"))
    assert found.parent_action_id in {choice.id for choice in choices}
    assert not found.ambiguous


def test_equal_replies_at_two_places_of_one_conversation_are_a_guess_where_the_history_does_not_tell(
    served: Served,
) -> None:
    opening = (user("one"), assistant("ok"), user("two"))
    served.turn(user("one"), reply=assistant("ok"), session="s")
    served.turn(*opening, reply=assistant("ok"), session="s")
    assert served.ask(user("one"), assistant("ok"), user("next"), session="s").ambiguous


def test_what_was_served_before_the_log_could_be_read_stays_open_and_knows_its_answers(served: Served) -> None:
    _, old = served.turn(user("old"), reply=assistant("old reply"))
    served.index = served.empty_index()
    _, new = served.turn(user("new"), reply=assistant("new reply"))
    served.ask(user("new"), assistant("new reply"), user("more"))
    assert served.index.restore([old, new], []) == 2
    assert served.ask(user("old"), assistant("old reply"), user("more")).parent_action_id == old.id
    assert served.ask(user("new"), assistant("new reply"), user("again")).branch


def test_the_bytes_that_are_counted_are_those_that_a_long_conversation_takes() -> None:
    served = Served()
    history: list[dict[str, Any]] = []
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for i in range(80):
        call = {"function": {"name": "f", "arguments": f'{{"text":"{i:0500}"}}'}}
        history += [user(f"é{i:0100}"), {"role": "assistant", "content": f"{i}", "tool_calls": [call]}]
        action = served.turn(*history[:-1], reply=history[-1])[1]
        del action
    served.log.clear()
    history.clear()
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    counted = served.index.num_bytes
    assert taken / 2 < counted < taken * 2


def test_a_recorded_action_that_cannot_be_opened_keeps_no_other_from_being_restored(
    caplog: pytest.LogCaptureFixture,
) -> None:
    served = Served()
    talk = [user("hi")]
    good = served.reply(served.ask(*talk), *talk, reply=assistant("hello"))
    bad = replace(good, id="bad", prompt_ids=(2**31,))  # was once let into the log
    restarted = served.empty_index()
    assert restarted.restore([bad, good], []) == 1
    assert restarted.get(good.id) is not None
    (warning,) = caplog.records
    assert "1 recorded actions cannot be opened" in warning.message
    assert "bad" in warning.message


FUTURE_MS = 253_370_764_800_000  # the year 9999


def test_an_action_from_the_future_keeps_no_other_from_being_forgotten_nor_stays_itself() -> None:
    served = Served()
    talk = [user("hi")]
    action = served.reply(served.ask(*talk), *talk, reply=assistant("hello"))
    index = served.empty_index()
    index.add(replace(action, id="future", time_ms=FUTURE_MS))
    index.add(replace(action, id="now"))
    served.time_ms += 7 * DAY_MS + 1
    index.match(tenant="default", session_id=None, messages=normalised((user("x"),)))
    assert len(index) == 0


def test_the_same_holds_after_a_restart() -> None:
    served = Served()
    talk = [user("hi")]
    action = served.reply(served.ask(*talk), *talk, reply=assistant("hello"))
    index = served.empty_index()
    assert index.restore([replace(action, id="future", time_ms=FUTURE_MS), replace(action, id="now")], []) == 2
    served.time_ms += 7 * DAY_MS + 1
    index.match(tenant="default", session_id=None, messages=normalised((user("x"),)))
    assert len(index) == 0


def test_what_is_told_late_is_still_found() -> None:
    served = Served()
    talk = [user("hi")]
    served.time_ms += 30 * DAY_MS
    action = served.reply(served.ask(*talk), *talk, reply=assistant("hello"))
    index = served.empty_index()
    index.add(replace(action, time_ms=action.time_ms - 20 * DAY_MS))
    said = normalised((*talk, assistant("hello"), user("thanks")))
    assert index.match(tenant="default", session_id=None, messages=said).parent_action_id == action.id
