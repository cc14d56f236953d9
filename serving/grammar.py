"""`Grammar`: what a reply must look like, for the engine, from `tool_choice`, `tools` and `response_format`.

A forced tool call is a regular expression of the policy's own call form (`<tool_call>{json}</tool_call>`), so that the
drawn tokens are the ones that the chat template writes when the call comes back as history. It takes a while to write
for large tools, so that is asked for apart (`built`), off the event loop. Sampling under a grammar is recorded, because
the trainer cannot invert it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from outlines_core.json_schema import build_regex_from_schema

from schemas.messages import canonical_json
from serving.api_errors import ApiError
from serving.grammar_size import MAX_DEPTH, grammar_chars

ANY_OBJECT = {"type": "object"}
MAX_GRAMMAR_CHARS = 1_000_000  # by `grammar_chars`; some 50 properties that are all optional, or 4,000 required ones
_FUNCTION_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """At most one of the first two. `forced`: the parameters of the tools, by name, of which one must be called."""

    json_schema: str | None = None
    regex: str | None = None
    forced: Mapping[str, object] = field(default_factory=dict)

    @property
    def constrains(self) -> bool:
        """Whether it changes how tokens are drawn."""
        return self.json_schema is not None or self.regex is not None or bool(self.forced)

    def built(self) -> "Grammar":
        """With the regular expression of the forced call. May take some milliseconds.

        Raises:  ApiError: no grammar can be built for a tool, or it would be too large.
        """
        return replace(self, regex=_calls_regex(self.forced)) if self.forced else self


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
    Raises:  ApiError: a tool, choice or format that is malformed.
    """
    functions = dict(map(_function, tools))
    match tool_choice:
        case None | "auto" | "none":
            return _format_grammar(response_format, format_field)
        case "required" if functions:
            return Grammar(forced=functions)
        case {"type": "function", "function": {"name": str(name)}} if name in functions:
            return Grammar(forced={name: functions[name]})
        case _:
            message = "'tool_choice' must be none, auto, required, or name one of the offered 'tools'."
            raise ApiError(message, param="tool_choice")


def _function(tool: dict[str, Any]) -> tuple[str, object]:
    """A tool's name and parameters."""
    function = tool.get("function")
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str) or not _FUNCTION_NAME.fullmatch(name):
        message = "Each of 'tools' must be a function with a 'name' of letters, digits, '_' and '-', 128 at most."
        raise ApiError(message, param="tools")
    return name, function.get("parameters")


def _calls_regex(functions: Mapping[str, object]) -> str:
    _refuse_large(functions)
    calls = "|".join(_call_regex(name, parameters) for name, parameters in functions.items())
    return rf"<tool_call>\n({calls})\n</tool_call>"


def _refuse_large(functions: Mapping[str, object]) -> None:
    try:
        num_chars = sum(grammar_chars(parameters or ANY_OBJECT) for parameters in functions.values())
    except RecursionError as error:
        message = f"The parameters of a tool are nested more than {MAX_DEPTH} levels deep."
        raise ApiError(message, param="tools") from error
    except LookupError as error:
        message = (
            f"The parameters of a tool refer to {str(error)[:80]!r}, which is no place in them such as '#/$defs/city'."
        )
        raise ApiError(message, param="tools") from error
    if num_chars > MAX_GRAMMAR_CHARS:
        message = (
            f"The parameters of the tools may need a grammar of {num_chars} characters, {MAX_GRAMMAR_CHARS} at most: "
            "make more of them required, nest them less, or let 'tool_choice' be auto."
        )
        raise ApiError(message, param="tools")


def _call_regex(name: str, parameters: object) -> str:
    schema = canonical_json(parameters or ANY_OBJECT)
    try:
        arguments = build_regex_from_schema(schema)
    except (ValueError, TypeError, NotImplementedError) as error:
        message = f"No grammar can be built for the parameters of tool {name!r}: {error}."
        raise ApiError(message, param="tools") from error
    return rf'\{{"name": "{name}", "arguments": {arguments}\}}'


def _format_grammar(response_format: object, format_field: str) -> Grammar:
    match response_format:
        case None | {"type": "text"}:
            return Grammar()
        case {"type": "json_object"}:
            return Grammar(json_schema=canonical_json(ANY_OBJECT))
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)}}:
            return Grammar(json_schema=canonical_json(schema))
        case _:
            message = f"{format_field!r} must be of type text, json_object, or json_schema with a 'schema'."
            raise ApiError(message, param=format_field)
