"""`Grammar`: what a reply must look like, for the engine, from `tool_choice`, `tools` and `response_format`.

A forced tool call is a regular expression of the policy's own call form (`<tool_call>{json}</tool_call>`), so that the
drawn tokens are the ones that the chat template writes when the call comes back as history. Sampling under a grammar
is recorded, because the trainer cannot invert it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from outlines_core.json_schema import build_regex_from_schema

from schemas.messages import canonical_json
from serving.api_errors import ApiError

ANY_JSON_OBJECT = '{"type":"object"}'
_FUNCTION_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """At most one of the two."""

    json_schema: str | None = None
    regex: str | None = None

    @property
    def constrains(self) -> bool:
        """Whether it changes how tokens are drawn."""
        return self.json_schema is not None or self.regex is not None


def grammar_for(
    tools: Sequence[dict[str, Any]],
    tool_choice: object,
    response_format: object,
    *,
    format_field: str = "response_format",
) -> Grammar:
    """What the client's fields ask for; a forced tool call wins over a response format.

    Args:    tools, tool_choice, response_format: as in OpenAI's Chat Completions; format_field: what the client's
             protocol calls the format.
    Raises:  ApiError: a tool, choice or format that is malformed or that no grammar can be built for.
    """
    functions = dict(map(_function, tools))
    match tool_choice:
        case None | "auto" | "none":
            return _format_grammar(response_format, format_field)
        case "required" if functions:
            return Grammar(regex=_calls_regex(functions))
        case {"type": "function", "function": {"name": str(name)}} if name in functions:
            return Grammar(regex=_calls_regex({name: functions[name]}))
        case _:
            message = "'tool_choice' must be none, auto, required, or name one of the offered 'tools'."
            raise ApiError(message, param="tool_choice")


def _function(tool: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    function = tool.get("function")
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str) or not _FUNCTION_NAME.fullmatch(name):
        message = "Each of 'tools' must be a function with a 'name' of letters, digits, '_' and '-', 128 at most."
        raise ApiError(message, param="tools")
    return name, function


def _calls_regex(functions: dict[str, dict[str, Any]]) -> str:
    calls = "|".join(_call_regex(name, function.get("parameters")) for name, function in functions.items())
    return rf"<tool_call>\n({calls})\n</tool_call>"


def _call_regex(name: str, parameters: object) -> str:
    schema = canonical_json(parameters) if parameters else ANY_JSON_OBJECT
    try:
        arguments = build_regex_from_schema(schema)
    except (ValueError, TypeError, NotImplementedError) as error:
        message = f"No grammar can be built for the parameters of tool {name!r}: {error}."
        raise ApiError(message, param="tools") from error
    return rf'\{{"name": "{name}", "arguments": {arguments}\}}'


def _format_grammar(response_format: object, field: str) -> Grammar:
    match response_format:
        case None | {"type": "text"}:
            return Grammar()
        case {"type": "json_object"}:
            return Grammar(json_schema=ANY_JSON_OBJECT)
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)}}:
            return Grammar(json_schema=canonical_json(schema))
        case _:
            message = f"{field!r} must be of type text, json_object, or json_schema with a 'schema'."
            raise ApiError(message, param=field)
