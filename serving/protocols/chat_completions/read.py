"""`read_chat_completion`: a request of OpenAI's Chat Completions as a `Call`.

Owns the request half of the protocol: types and ranges, defaults, and the normal form of messages and tools. Fields
that it does not know pass without effect, because clients send many.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from schemas.events import Sampling
from schemas.messages import canonical_json, normalise_message
from serving.api_errors import ApiError
from serving.call import Call
from serving.config import GatewayConfig
from serving.grammar import Grammar, grammar_for
from serving.json_body import parse_body
from serving.protocols.reading import (
    MAX_STOPS,
    MAX_TOP_K,
    MAX_TOP_LOGPROBS,
    NumTokens,
    Placed,
    RequestBody,
    Stop,
    TopP,
    placed_errors,
    whole_turns,
)

MAX_SEED = 2**62  # SGLang keeps it in 64 bits; the choices of one request take the numbers after it
MAX_TOKEN_DIGITS = 10  # of a token id

Penalty = Annotated[float, Field(ge=-2, le=2)]


class _StreamOptions(BaseModel):
    model_config = ConfigDict(strict=True)
    include_usage: bool | None = None


class _ChatBody(RequestBody):
    messages: Annotated[list[dict[str, Any]], Field(min_length=1)]
    stream_options: _StreamOptions | None = None
    n: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: TopP | None = None
    top_k: Annotated[int, Field(ge=-1, le=MAX_TOP_K)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    max_tokens: NumTokens | None = None
    max_completion_tokens: NumTokens | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=MAX_STOPS)] | None = None
    seed: Annotated[int, Field(ge=-MAX_SEED, le=MAX_SEED)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=2)] | None = None
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    chat_template_kwargs: dict[str, bool | int | float | str | None] | None = None
    user: str | None = None
    safety_identifier: str | None = None


def read_chat_completion(raw: bytes, config: GatewayConfig) -> Call:
    """The request in a body.

    Raises:  ApiError: not JSON, a field of a wrong type or out of range, a message that cannot be read.
    """
    body = parse_body(raw, _ChatBody)
    if (body.n or 1) > config.max_choices:
        message = f"'n' is {body.n}, but this gateway gives at most {config.max_choices} choices."
        raise ApiError(message, param="n")
    if body.top_logprobs and not body.logprobs:
        raise ApiError("'top_logprobs' needs 'logprobs' to be true.", param="top_logprobs")
    grammar = grammar_for(body.tools or (), body.tool_choice, body.response_format)
    said = whole_turns(_said(f"messages.{number}", one) for number, one in enumerate(body.messages))
    return Call(
        model=body.model,
        messages=tuple(one.message for one in said),
        places=tuple(one.place for one in said),
        tools=canonical_json(body.tools if body.tools and body.tool_choice != "none" else []),
        template_arguments=canonical_json(body.chat_template_kwargs or {}),
        sampling=_sampling(body, grammar, config),
        logit_bias=_logit_bias(body.logit_bias or {}),
        grammar=grammar,
        num_choices=body.n or 1,
        stream=bool(body.stream),
        logprobs=bool(body.logprobs),
        num_top_logprobs=body.top_logprobs or 0,
        subject=body.user or body.safety_identifier or "",
        form={"include_usage": bool(body.stream_options and body.stream_options.include_usage)},
    )


def _said(place: str, raw: dict[str, Any]) -> Placed:
    with placed_errors(place):
        return Placed(place, normalise_message(raw))


def _sampling(body: _ChatBody, grammar: Grammar, config: GatewayConfig) -> Sampling:
    return Sampling(
        temperature=config.default_temperature if body.temperature is None else body.temperature,
        top_p=config.default_top_p if body.top_p is None else body.top_p,
        top_k=body.top_k or -1,
        min_p=body.min_p or 0.0,
        frequency_penalty=body.frequency_penalty or 0.0,
        presence_penalty=body.presence_penalty or 0.0,
        repetition_penalty=body.repetition_penalty or 1.0,
        logit_bias=bool(body.logit_bias),
        grammar=grammar.constrains,
        max_tokens=body.max_completion_tokens or body.max_tokens,
        seed=body.seed,
        stop=(body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ()),
    )


def _logit_bias(raw: dict[str, float]) -> dict[int, float]:
    wrong = next((token for token in raw if not token.isdecimal() or len(token) > MAX_TOKEN_DIGITS), None)
    if wrong is not None:
        message = f"'logit_bias' names token {wrong[:40]!r}, which is not a token id."
        raise ApiError(message, param="logit_bias")
    return {int(token): bias for token, bias in raw.items()}
