"""`read_response_request`: a request of OpenAI's Responses as a `Call`.

Owns the request half of the protocol: types and ranges, what a request refers to, and which of its fields a response
repeats. Fields that it does not know pass without effect; what asks for something that is not here is refused, rather
than answered as if it had not been asked for.
"""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from schemas.events import Message, Sampling
from schemas.messages import canonical_json
from serving.api_errors import ApiError
from serving.call import Call
from serving.config import GatewayConfig
from serving.grammar import grammar_for
from serving.json_body import parse_body
from serving.protocols.reading import MAX_TOP_LOGPROBS, NumTokens, Placed, RequestBody, TopP
from serving.protocols.responses.items import INSTRUCTIONS, said_before, said_in
from serving.protocols.wire import Earlier
from serving.reply_ids import action_of

_LOGPROBS = "message.output_text.logprobs"  # what `include` names to get them
_ABSENT = {"background": False, "conversation": None, "prompt": None}  # what the fields of no use here may be


class _Text(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")
    format: dict[str, Any] | None = None


class _ResponsesBody(RequestBody):
    input: Any = None  # a text or items
    instructions: str | None = None
    previous_response_id: str | None = None
    max_output_tokens: NumTokens | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: TopP | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    include: list[str] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    text: _Text | None = None
    parallel_tool_calls: bool | None = None
    store: bool | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    truncation: str | None = None
    reasoning: dict[str, Any] | None = None
    max_tool_calls: int | None = None
    background: bool | None = None
    conversation: Any = None
    prompt: Any = None


def read_response_request(raw: bytes, config: GatewayConfig, earlier: Earlier) -> Call:
    """The request in a body.

    Args:    earlier: finds the action that a `previous_response_id` or an `item_reference` names.
    Raises:  ApiError: not JSON, a field of a wrong type or out of range, an item that cannot be read, something that
             is referred to and not there.
    """
    body = parse_body(raw, _ResponsesBody)
    _refuse_absent(body)
    tools, choice = [_function(tool) for tool in body.tools or ()], _tool_choice(body.tool_choice)
    grammar = grammar_for(tools, choice, _response_format(body.text), format_field="text.format")
    said = _said(body, earlier)
    return Call(
        model=body.model,
        messages=tuple(one.message for one in said),
        places=tuple(one.place for one in said),
        tools=canonical_json(tools if choice != "none" else []),
        sampling=Sampling(
            temperature=config.default_temperature if body.temperature is None else body.temperature,
            top_p=config.default_top_p if body.top_p is None else body.top_p,
            grammar=grammar.constrains,
            max_tokens=body.max_output_tokens,
        ),
        grammar=grammar,
        stream=bool(body.stream),
        subject=body.user or body.safety_identifier or "",
        logprobs=_LOGPROBS in (body.include or ()),
        num_top_logprobs=body.top_logprobs or 0,
        follows=body.previous_response_id and action_of(body.previous_response_id),
        form=_repeated(body),
    )


def _refuse_absent(body: _ResponsesBody) -> None:
    for field, absent in _ABSENT.items():
        if getattr(body, field) not in (None, absent):
            message = f"{field!r} is not supported by this gateway; send the conversation as 'input'."
            raise ApiError(message, param=field, code="unsupported_parameter")


def _said(body: _ResponsesBody, earlier: Earlier) -> list[Placed]:
    told = [Message(role="system", content=body.instructions, name=INSTRUCTIONS)] if body.instructions else []
    before = said_before(body.previous_response_id, earlier) if body.previous_response_id else []
    now = said_in(body.input, earlier)
    if not now:
        raise ApiError("'input' must hold at least one message.", param="input")
    return [*(Placed("instructions", message) for message in told), *before, *now]


def _function(tool: dict[str, Any]) -> dict[str, Any]:
    """A tool in the form of Chat Completions, which is what chat templates know."""
    if tool.get("type") != "function":
        message = f"A tool of type {str(tool.get('type'))[:40]!r} cannot be offered here; this policy calls functions."
        raise ApiError(message, param="tools", code="unsupported_tool")
    return {"type": "function", "function": {key: value for key, value in tool.items() if key != "type"}}


def _tool_choice(raw: str | dict[str, Any] | None) -> object:
    """The choice in the words of `grammar_for`."""
    match raw:
        case {"type": "function", "name": name}:
            return {"type": "function", "function": {"name": name}}
        case _:
            return raw


def _response_format(text: _Text | None) -> object:
    given = text.format if text else None
    return given and {"type": given.get("type"), "json_schema": given}


def _repeated(body: _ResponsesBody) -> dict[str, Any]:
    """The fields of the request that its response has, too, with the API's defaults."""
    tools: Sequence[dict[str, Any]] = body.tools or ()
    return {
        "instructions": body.instructions,
        "previous_response_id": body.previous_response_id,
        "max_output_tokens": body.max_output_tokens,
        "top_logprobs": body.top_logprobs or 0,
        "tools": [{"description": None, "parameters": None, "strict": False, **tool} for tool in tools],
        "tool_choice": body.tool_choice or "auto",
        "text": {"format": {"type": "text"}, **(body.text.model_dump(exclude_none=True) if body.text else {})},
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "store": body.store is not False,
        "metadata": body.metadata or {},
        "user": body.user,
        "safety_identifier": body.safety_identifier,
        "prompt_cache_key": body.prompt_cache_key,
        "truncation": body.truncation or "disabled",
        "reasoning": {"effort": None, "summary": None, **(body.reasoning or {})},
        "max_tool_calls": body.max_tool_calls,
        "background": False,
        "service_tier": "default",
    }
