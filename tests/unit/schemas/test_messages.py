"""What `normalise_message` makes of clients' messages, and what `digest_message` is blind to."""

import base64
from typing import Any

import pytest

from schemas.errors import RejectedError
from schemas.events import Media, Message, ToolCall
from schemas.identity import digest_bytes
from schemas.messages import canonical_arguments, digest_message, normalise_message


def same(*variants: dict[str, Any]) -> bool:
    return len({digest_message(normalise_message(variant)) for variant in variants}) == 1


def call(arguments: Any, call_id: str = "x") -> dict[str, Any]:
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": call_id, "function": {"name": "f", "arguments": arguments}}],
    }


def test_absent_content_is_one_thing_however_it_is_written() -> None:
    role = {"role": "assistant"}
    assert same(role, {**role, "content": None}, {**role, "content": ""}, {**role, "content": []})


def test_a_text_part_says_what_plain_text_says() -> None:
    assert same({"role": "user", "content": "Hi"}, {"role": "user", "content": [{"type": "text", "text": "Hi"}]})


def test_tool_call_ids_made_by_clients_do_not_count() -> None:
    assert same(call("{}", "x"), call("{}", "y"))


def test_arguments_are_compared_by_value_and_not_by_spelling() -> None:
    assert same(call('{"a": 1, "b": 2}'), call('{"b":2,"a":1}'), call({"b": 2, "a": 1}))
    assert not same(call('{"a":1}'), call('{"a":2}'))


@pytest.mark.parametrize(
    ("served", "back"),
    [("1.0", "1"), ("-0.0", "0"), ("1e2", "100"), ("9007199254740993", "9007199254740992"), ("[2.0]", "[2]")],
)
def test_numbers_that_javascript_writes_differently_are_the_same(served: str, back: str) -> None:
    assert same(call(f'{{"a":{served}}}'), call(f'{{"a":{back}}}'))
    assert not same(call(f'{{"a":{served}}}'), call('{"a":3}'))


def test_only_the_digest_is_blind_to_how_a_number_is_written() -> None:
    [made] = normalise_message(call('{"a": 1.0, "b": true}')).tool_calls
    assert made.arguments == '{"a":1.0,"b":true}'
    assert not same(call('{"a":1.5,"b":true}'), call('{"a":1.5,"b":1}'))


def test_arguments_that_are_not_json_stay_as_the_model_wrote_them() -> None:
    assert canonical_arguments('{"a": ') == '{"a": '


@pytest.mark.parametrize("other", [{"role": "assistant", "content": "Hi"}, {"role": "user", "content": "hi"}])
def test_role_and_text_count(other: dict[str, Any]) -> None:
    assert not same({"role": "user", "content": "Hi"}, other)


def test_the_old_function_role_is_a_tool_message() -> None:
    assert normalise_message({"role": "function", "name": "f", "content": "1"}) == Message(
        role="tool", name="f", content="1"
    )


def test_an_inline_picture_is_the_same_in_every_protocol() -> None:
    data = base64.b64encode(b"pixels").decode()
    url = f"data:image/png;base64,{data}"
    parts = [
        {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
        {"type": "input_image", "image_url": url, "detail": "auto"},
        {"type": "input_file", "filename": "x.png", "file_data": url},
        {"type": "file", "file": {"filename": "x.png", "file_data": url}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}},
    ]
    assert same(*({"role": "user", "content": [part]} for part in parts))
    assert normalise_message({"role": "user", "content": parts}).media[0].num_bytes == len(b"pixels")


def test_an_inline_picture_is_known_by_the_digest_of_its_bytes() -> None:
    url = "data:image/png;base64," + base64.b64encode(b"pixels").decode()
    message = normalise_message({"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]})
    assert message.media == (Media(kind="image_url", digest=digest_bytes(b"pixels"), num_bytes=6),)


def test_a_cache_mark_does_not_make_another_picture() -> None:
    part = {"type": "image_url", "image_url": {"url": "https://example.org/egg.png"}}
    marked = {**part, "cache_control": {"type": "ephemeral"}}
    assert same({"role": "user", "content": [part]}, {"role": "user", "content": [marked]})


def test_calls_keep_their_order_and_ids() -> None:
    raw = {"role": "assistant", "tool_calls": [{"id": i, "function": {"name": i}} for i in ("b", "a")]}
    assert normalise_message(raw).tool_calls == (
        ToolCall(name="b", arguments="{}", id="b"),
        ToolCall(name="a", arguments="{}", id="a"),
    )


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        ({"role": "robot"}, "robot"),
        ({}, "None"),
        ({"role": "user", "content": 3}, "content"),
        ({"role": "user", "content": ["Hi"]}, "part"),
        ({"role": []}, "role"),
        ({"role": "user", "content": [{"type": {}}]}, "part"),
        ({"role": "user", "content": [{"type": "text", "text": None}]}, "'text' part"),
        ({"role": "assistant", "tool_calls": "f"}, "tool_calls"),
        ({"role": "assistant", "tool_calls": [{"id": "x"}]}, "function"),
        ({"role": "user", "content": [{"type": "i", "i": {"url": "data:x;base64,@"}}]}, "base64"),
        ({"role": "user", "content": [{"type": "i", "i": {"url": "data:x;base64,é"}}]}, "base64"),
    ],
)
def test_an_impossible_message_is_refused_in_a_sentence_that_names_what_is_wrong(
    raw: dict[str, Any], named: str
) -> None:
    with pytest.raises(RejectedError, match=named):
        normalise_message(raw)


def test_arguments_that_are_nested_too_deeply_to_be_written_stay_as_the_model_wrote_them() -> None:
    deep = "[" * 300 + "]" * 300
    assert canonical_arguments(deep) == deep


@pytest.mark.parametrize("depth", [255, 600, 1000])
def test_arguments_of_any_depth_that_can_be_read_have_a_digest(depth: int) -> None:
    deep, other = ("[" * depth + number + "]" * depth for number in ("1.5", "2.5"))
    assert same(call(deep, "x"), call(deep, "y"))
    assert not same(call(deep), call(other))


def test_a_role_too_deep_to_be_written_down_is_refused_like_any_other() -> None:
    role: list[Any] = []
    for _ in range(2000):
        role = [role]
    with pytest.raises(RejectedError, match="role of type list is not one of"):
        normalise_message({"role": role, "content": "Hi"})
