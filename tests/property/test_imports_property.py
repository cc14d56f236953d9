"""However often, in whatever order and however broken off files are imported, the log holds each turn once."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from old_chats_made import TARGET, talk
from processor_world import LetterRenderer

from infra.imports.turns import events_of
from processors.chain import MissingBase, whole_prompt
from schemas.events import ActionTaken, Event
from streams.codec import encode
from streams.formats.detect import read_chats, tell_format
from streams.formats.old_chats import BadLine, OldConversation
from streams.topics import ACTIONS, NEXT_STATES

# Every key that a format looks at, so that the wrong things stand under the right names.
KEYS = (
    *("messages", "conversations", "role", "content", "from", "value", "tools", "tool_calls", "function", "name"),
    *("function_call", "functions", "arguments", "type", "text", "message", "id", "parentId", "timestamp", "details"),
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)
texts = st.lists(st.sampled_from(["u:x", "u:y", "a:x", "a:y", "a:", "t:z", "s:z"]), max_size=9)
talks = st.lists(texts.map(lambda some: talk(*some)), max_size=5)


def imported(files: list[OldConversation], log: dict[str, Event] | None = None, most: int = 1_000) -> dict[str, Event]:
    """The log after an import that was broken off behind `most` events."""
    log = dict(log or {})
    for old in files:
        for event in events_of(old, TARGET, LetterRenderer(), file_time_ms=1, known=log.keys()):
            if most == 0:
                return log
            assert event.id not in log
            log[event.id] = event
            most -= 1
    return log


@settings(deadline=None)
@given(files=talks)
def test_the_same_again_adds_nothing_and_all_of_it_can_be_recorded(files: list[OldConversation]) -> None:
    log = imported(files)
    assert imported(files * 2, log) == log
    for event in log.values():
        encode(ACTIONS if isinstance(event, ActionTaken) else NEXT_STATES, event, "import-0")


@settings(deadline=None)
@given(files=talks, most=st.integers(0, 20))
def test_what_was_broken_off_and_started_again_is_whole(files: list[OldConversation], most: int) -> None:
    log = imported(files, imported(files, most=most))
    assert log.keys() == imported(files).keys()
    actions = {event.id: event for event in log.values() if isinstance(event, ActionTaken)}
    for action in actions.values():
        resolved = whole_prompt(action, actions.get)
        assert not isinstance(resolved, MissingBase)
        assert (resolved.prompt_ids, resolved.response_ids) == LetterRenderer().turn_ids(
            resolved.messages, action.reply, "[]", "{}"
        )


@settings(deadline=None)
@given(files=talks, data=st.data())
def test_the_order_of_files_does_not_matter(files: list[OldConversation], data: st.DataObject) -> None:
    assert imported(data.draw(st.permutations(files))).keys() == imported(files).keys()


@settings(deadline=None, max_examples=100)
@given(
    raw=st.dictionaries(st.sampled_from(KEYS), json_values, max_size=5),
    first=st.sampled_from([{"messages": []}, {"conversations": []}, {"type": "session"}]),
    kind=st.sampled_from(["user", "assistant", "gpt", "message"]),
)
def test_whatever_a_line_says_it_is_a_conversation_or_a_bad_line(
    raw: dict[str, Any], first: dict[str, Any], kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("chats") / "chats"
    spoken = {"role": kind, "from": kind, "type": kind, **raw}
    lines = [first, raw, {"messages": [spoken], "conversations": [spoken], "type": "message", "message": spoken}]
    file.write_text("\n".join(map(json.dumps, lines)))
    for found in read_chats(file, tell_format(file)):
        assert isinstance(found, OldConversation | BadLine)
        if isinstance(found, OldConversation):
            imported([found])
