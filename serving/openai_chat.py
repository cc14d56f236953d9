"""`ChatCall`: one chat-completions request in our own words, read from OpenAI's JSON.

Owns the request half of the protocol: types and ranges, defaults, and the normal form of messages and tools. Fields
that it does not know pass without effect, because clients send many. Consumes bytes, produces a frozen `ChatCall`;
whatever is wrong with a request is an `ApiError` that names the field. Media are read, so that a request can be
matched before `refuse_media` refuses it.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.errors import RejectedError
from schemas.events import Message, Sampling
from schemas.messages import canonical_json, normalise_message
from serving.config import GatewayConfig
from serving.grammar import Grammar, grammar_for
from serving.openai_errors import ApiError

MAX_TOP_LOGPROBS = 20
MAX_STOPS = 16
MAX_TOP_K = 2**31 - 1  # SGLang keeps it in 32 bits; a larger one would end its process
MAX_SEED = 2**62  # SGLang keeps it in 64 bits; the choices of one request take the numbers after it
MAX_TOKEN_DIGITS = 10  # of a token id

Penalty = Annotated[float, Field(ge=-2, le=2)]
Stop = Annotated[str, Field(min_length=1)]


class _StreamOptions(BaseModel):
    model_config = ConfigDict(strict=True)
    include_usage: bool | None = None


class _ChatBody(BaseModel):
    """The fields of the protocol that have an effect here. None is what a client may send for "not set"."""

    model_config = ConfigDict(strict=True, extra="allow")

    model: str
    messages: Annotated[list[dict[str, Any]], Field(min_length=1)]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, le=MAX_TOP_K)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatCall:
    """What a client asks for. `tools` is canonical JSON of the tools that the prompt shows; "[]" shows none."""

    model: str
    messages: tuple[Message, ...]
    tools: str
    template_arguments: str
    sampling: Sampling
    logit_bias: dict[int, float]
    grammar: Grammar
    num_choices: int
    stream: bool
    include_usage: bool
    logprobs: bool
    num_top_logprobs: int
    subject: str

    @property
    def offers_tools(self) -> bool:
        """Whether the reply may call tools."""
        return self.tools != "[]"


def read_chat_call(raw: bytes, config: GatewayConfig) -> ChatCall:
    """The request in a body.

    Raises:  ApiError: not JSON, a field of a wrong type or out of range, a message that cannot be read.
    """
    body = _parse(raw)
    if (body.n or 1) > config.max_choices:
        message = f"'n' is {body.n}, but this gateway gives at most {config.max_choices} choices."
        raise ApiError(message, param="n")
    if body.top_logprobs and not body.logprobs:
        raise ApiError("'top_logprobs' needs 'logprobs' to be true.", param="top_logprobs")
    grammar = grammar_for(body.tools or (), body.tool_choice, body.response_format)
    return ChatCall(
        model=body.model,
        messages=_messages(body.messages),
        tools=canonical_json(body.tools if body.tools and body.tool_choice != "none" else []),
        template_arguments=canonical_json(body.chat_template_kwargs or {}),
        sampling=_sampling(body, grammar, config),
        logit_bias=_logit_bias(body.logit_bias or {}),
        grammar=grammar,
        num_choices=body.n or 1,
        stream=bool(body.stream),
        include_usage=bool(body.stream_options and body.stream_options.include_usage),
        logprobs=bool(body.logprobs),
        num_top_logprobs=body.top_logprobs or 0,
        subject=body.user or "",
    )


def _parse(raw: bytes) -> _ChatBody:
    try:
        return _ChatBody.model_validate(orjson.loads(raw))
    except orjson.JSONDecodeError as error:
        message = f"The request body is not JSON: {error}."
        raise ApiError(message, code="malformed_json") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(step) for step in first["loc"][:2]) or "body"
        message = f"{field!r} cannot be used: {first['msg']}."
        raise ApiError(message, param=field) from error


def _messages(raw: list[dict[str, Any]]) -> tuple[Message, ...]:
    messages = []
    for number, one in enumerate(raw):
        try:
            message = normalise_message(one)
        except RejectedError as error:
            raise ApiError(str(error), param=f"messages.{number}") from error
        messages.append(message)
    return tuple(messages)


def refuse_media(messages: tuple[Message, ...]) -> None:
    """Raises:  ApiError: a message holds something that is not text."""
    for number, message in enumerate(messages):
        if message.media:
            reason = f"This policy reads text only; leave out the {message.media[0].kind!r} part."
            raise ApiError(reason, param=f"messages.{number}", code="unsupported_content")


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
