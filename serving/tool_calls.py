"""`split_tool_calls`: the tool calls that a policy has written into its text, in the Hermes form.

    <tool_call>
    {"name": "...", "arguments": {...}}
    </tool_call>

A call that cannot be read stays in the text, as the policy wrote it: it is the action that the next state answers.
"""

import re

import orjson

from schemas.events import ToolCall
from schemas.messages import canonical_arguments, canonical_json

TOOL_CALL_OPEN = "<tool_call>"
_CALL = re.compile(r"\s*<tool_call>\s*(.*?)\s*(?:</tool_call>|\Z)", re.DOTALL)


def split_tool_calls(text: str) -> tuple[str, tuple[ToolCall, ...]]:
    """The text without its calls, and the calls. The last one may lack its closing tag: models forget it."""
    calls: list[ToolCall] = []

    def take(found: re.Match[str]) -> str:
        call = _read(found[1])
        if call is None:
            return found[0]
        calls.append(call)
        return ""

    rest = _CALL.sub(take, text)
    return (rest.strip() if calls else text), tuple(calls)


def _read(block: str) -> ToolCall | None:
    try:
        value = orjson.loads(block)
    except orjson.JSONDecodeError:
        return None
    match value:
        case {"name": str(name), "arguments": str(arguments)}:
            return ToolCall(name=name, arguments=canonical_arguments(arguments))
        case {"name": str(name), "arguments": dict(arguments)}:
            return ToolCall(name=name, arguments=canonical_json(arguments))
        case {"name": str(name)} if "arguments" not in value:
            return ToolCall(name=name, arguments="{}")
        case _:
            return None
