"""`read_message_request`: a request of Anthropic's Messages as a `Call`.

Owns the request half of the protocol. A user message with tool results becomes a tool message for each of them, in
order, and then what else it says. Thinking blocks are left out, as reasoning is in every protocol. Fields that it does
not know pass without effect.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from schemas.errors import RejectedError
from schemas.events import Message, Sampling
from schemas.messages import canonical_json, normalise_message
from serving.api_errors import ApiError
from serving.call import Call
from serving.config import GatewayConfig
from serving.grammar import Grammar, grammar_for
from serving.json_body import parse_body
from serving.protocols.messages.tool_input import arguments_of
from serving.protocols.reading import (
    MAX_STOPS,
    MAX_TOP_K,
    NumTokens,
    Placed,
    RequestBody,
    Stop,
    TopP,
    placed_errors,
    whole_turns,
)

_THINKING = ("thinking", "redacted_thinking")
_TOOL_CHOICES = {"auto": "auto", "any": "required", "none": "none"}  # in the words of `grammar_for`


class _Metadata(BaseModel):
    model_config = ConfigDict(strict=True)
    user_id: str | None = None


class _OutputConfig(BaseModel):
    model_config = ConfigDict(strict=True)
    format: dict[str, Any] | None = None


class _Countable(RequestBody):
    """What a prompt is made of."""

    messages: Annotated[list[dict[str, Any]], Field(min_length=1)]
    system: Any = None  # a text or blocks of text
    tools: list[dict[str, Any]] | None = None
    tool_choice: dict[str, Any] | None = None


class _MessagesBody(_Countable):
    max_tokens: NumTokens
    stop_sequences: Annotated[list[Stop], Field(max_length=MAX_STOPS)] | None = None
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    top_p: TopP | None = None
    top_k: Annotated[int, Field(ge=0, le=MAX_TOP_K)] | None = None
    metadata: _Metadata | None = None
    output_config: _OutputConfig | None = None


def read_message_request(raw: bytes, config: GatewayConfig) -> Call:
    """The request in a body.

    Raises:  ApiError: not JSON, a field of a wrong type or out of range, a message that cannot be read, an assistant
             message at the end (a policy begins its replies itself).
    """
    body = parse_body(raw, _MessagesBody)
    tools, choice = _tools(body.tools or ()), _tool_choice(body.tool_choice)
    grammar = grammar_for(tools, choice, _response_format(body.output_config), format_field="output_config.format")
    said = _said(body)
    if said[-1].message.role == "assistant":
        message = "This policy does not continue an assistant message; the conversation must end with a user message."
        raise ApiError(message, param="messages")
    return Call(
        model=body.model,
        messages=tuple(one.message for one in said),
        places=tuple(one.place for one in said),
        tools=canonical_json(tools if choice != "none" else []),
        sampling=_sampling(body, grammar, config),
        grammar=grammar,
        stream=bool(body.stream),
        subject=(body.metadata and body.metadata.user_id) or "",
        reply_may_be_cut=True,  # every request must name a length, so clients name a large one
        form={"max_tokens": body.max_tokens},
    )


def read_countable(raw: bytes, config: GatewayConfig) -> Call:
    """The request in a body of POST /v1/messages/count_tokens, of which only the prompt counts.

    Raises:  ApiError: as `read_message_request`.
    """
    body = parse_body(raw, _Countable)
    tools, choice = _tools(body.tools or ()), _tool_choice(body.tool_choice)
    grammar = grammar_for(tools, choice, None)  # refuses what a message would be refused for
    said = _said(body)
    return Call(
        model=body.model,
        messages=tuple(one.message for one in said),
        places=tuple(one.place for one in said),
        tools=canonical_json(tools if choice != "none" else []),
        sampling=Sampling(temperature=config.default_temperature),
        grammar=grammar,
        stream=False,
        subject="",
    )


def _said(body: _Countable) -> list[Placed]:
    said: list[Placed] = []
    if body.system:
        with placed_errors("system"):
            said.append(Placed("system", normalise_message({"role": "system", "content": body.system})))
    for number, raw in enumerate(body.messages):
        place = f"messages.{number}"
        with placed_errors(place):
            said += [Placed(place, message) for message in _normalised(raw)]
    return whole_turns(said)


def _normalised(raw: dict[str, Any]) -> list[Message]:
    role, content = raw.get("role"), raw.get("content")
    if role not in ("user", "assistant", "system"):
        raise RejectedError("A message's 'role' must be 'user', 'assistant' or 'system'.")
    if not isinstance(content, list):
        return [normalise_message({"role": role, "content": content})]
    calls = [_tool_call(block) for block in content if _is(block, "tool_use")]
    results = [_tool_result(block) for block in content if _is(block, "tool_result")]
    rest = [block for block in content if not _is(block, "tool_use", "tool_result", *_THINKING)]
    if results and not (rest or calls):
        return results
    return [*results, normalise_message({"role": role, "content": rest, "tool_calls": calls})]


def _is(block: object, *kinds: str) -> bool:
    return isinstance(block, dict) and block.get("type") in kinds


def _tool_call(block: dict[str, Any]) -> dict[str, Any]:
    """A `tool_use` block as OpenAI's tool call."""
    name, given = block.get("name"), block.get("input")
    if not isinstance(name, str) or not isinstance(given, dict):
        raise RejectedError("A 'tool_use' block must hold a 'name' and an 'input', which is an object.")
    return {"id": block.get("id"), "function": {"name": name, "arguments": arguments_of(given)}}


def _tool_result(block: dict[str, Any]) -> Message:
    """A tool message. That a call has failed is said in words, for the policy and for a judge."""
    use_id = block.get("tool_use_id")
    if not isinstance(use_id, str):
        raise RejectedError("A 'tool_result' block must hold a 'tool_use_id', which is a string.")
    result = normalise_message({"role": "tool", "content": block.get("content"), "tool_call_id": use_id})
    if not block.get("is_error") or result.content.lower().startswith("error"):
        return result
    return Message(role="tool", content=f"Error: {result.content}", media=result.media, tool_call_id=use_id)


def _tools(raw: list[dict[str, Any]] | tuple[()]) -> list[dict[str, Any]]:
    """The tools as OpenAI's functions, which is what chat templates know."""
    tools = []
    for tool in raw:
        if tool.get("type") not in (None, "custom"):
            message = f"A tool of type {tool['type']!r} cannot be offered here; give it as a custom one."
            raise ApiError(message, param="tools")
        if not isinstance(tool.get("input_schema"), dict):
            raise ApiError("Each of 'tools' must hold a 'name' and an 'input_schema'.", param="tools")
        about = {key: tool[key] for key in ("name", "description") if tool.get(key) is not None}
        tools.append({"type": "function", "function": {**about, "parameters": tool["input_schema"]}})
    return tools


def _tool_choice(raw: dict[str, Any] | None) -> object:
    """The choice in the words of `grammar_for`."""
    match raw:
        case None:
            return None
        case {"type": "tool", "name": name}:
            return {"type": "function", "function": {"name": name}}
        case {"type": str(kind)} if kind in _TOOL_CHOICES:
            return _TOOL_CHOICES[kind]
        case _:
            message = "'tool_choice' must be of type auto, any, none, or tool with the 'name' of one of 'tools'."
            raise ApiError(message, param="tool_choice")


def _response_format(config: _OutputConfig | None) -> object:
    given = config.format if config else None
    return given and {"type": given.get("type"), "json_schema": given}


def _sampling(body: _MessagesBody, grammar: Grammar, config: GatewayConfig) -> Sampling:
    return Sampling(
        temperature=config.default_temperature if body.temperature is None else body.temperature,
        top_p=config.default_top_p if body.top_p is None else body.top_p,
        top_k=body.top_k or -1,
        grammar=grammar.constrains,
        max_tokens=body.max_tokens,
        stop=tuple(body.stop_sequences or ()),
    )
