"""Reading OpenAI's JSON into our own words."""

from typing import Any

import orjson
import pytest

from schemas.events import Message
from serving.api_errors import ApiError
from serving.call import Call
from serving.config import GatewayConfig
from serving.protocols.chat_completions.read import read_chat_completion


def read(**fields: Any) -> Call:
    body = {"model": "assistant", "messages": [{"role": "user", "content": "hi"}], **fields}
    return read_chat_completion(orjson.dumps(body), GatewayConfig())


def test_content_parts_tool_calls_and_null_content_become_normal_messages() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"b": 1, "a": 2}'}}
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    messages = [{"role": "user", "content": parts}, {"role": "assistant", "content": None, "tool_calls": [call]}]
    first, second = read(messages=messages).messages
    assert first == Message(role="user", content="one\ntwo")
    assert second.content == ""
    assert second.tool_calls[0].arguments == '{"a":2,"b":1}'


def test_max_completion_tokens_wins_over_its_old_name() -> None:
    assert read(max_tokens=5, max_completion_tokens=7).sampling.max_tokens == 7
    assert read(max_tokens=5).sampling.max_tokens == 5


def test_one_stop_and_several_are_the_same_kind() -> None:
    assert read(stop="x").sampling.stop == ("x",)
    assert read(stop=["x", "y"]).sampling.stop == ("x", "y")


def test_tools_are_kept_in_canonical_form() -> None:
    tool = {"type": "function", "function": {"parameters": {}, "name": "f"}}
    assert read(tools=[tool]).tools == '[{"function":{"name":"f","parameters":{}},"type":"function"}]'
    assert not read(tools=[]).offers_tools


def test_template_arguments_are_kept_in_canonical_form() -> None:
    assert read(chat_template_kwargs={"enable_thinking": False}).template_arguments == '{"enable_thinking":false}'
    with pytest.raises(ApiError):
        read(chat_template_kwargs={"messages": [1]})
