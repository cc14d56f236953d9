"""SGLang's native `/generate` as data: the request body, and the replies read strictly.

Pure. Observed on 0.5.23:
* A stream carries `data: {json}` events. Each holds only what is new (`--incremental-streaming-output`), or everything
  so far; `completion_tokens` counts everything either way, so the number of new tokens is known, and both are read.
* Output log-probs are after temperature and after a grammar's mask, before top-p, top-k and min-p.
* A matched stop string is cut from the text, but its tokens are reported. The engine holds text back while it may be
  the beginning of one, so what was sent never has to be taken back. The end token is an id without text.
* A refusal that is found after the stream began is an event `{"error": ...}` under status 200.
* Grammars (`regex`, `json_schema`, `ebnf`, `structural_tag`: xgrammar) work on a CPU; under `json_schema` the model may
  write white space without bound unless the schema or a launch option limits it.
* A `sampling_seed` is accepted, but gives equal draws only under `--enable-deterministic-inference`.
"""

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import orjson

from schemas.errors import EngineUnavailableError, MalformedEventError, TokenMismatchError
from schemas.events import FinishReason, Sampling
from schemas.identity import DEFAULT_TENANT, digest_text
from serving.errors import EngineRefusedError

JsonObject = dict[str, Any]
_FINISH_REASONS: Mapping[str, FinishReason] = {"stop": "stop", "length": "length", "abort": "aborted"}
NUM_RESERVED_TOKENS = 6  # a prompt of context_length - 6 tokens or more is refused, before any reply to it
_PASSING_STATUSES = frozenset({429, 502, 503, 504})  # full, starting or stopping


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateRequest:
    """What to draw. At most one of `json_schema` and `regex`; `adapter` None is the base model."""

    prompt_ids: tuple[int, ...]
    sampling: Sampling
    adapter: str | None = None
    tenant: str = DEFAULT_TENANT  # whose prompts it may find in the engine's prefix cache
    json_schema: str | None = None
    regex: str | None = None
    logit_bias: Mapping[int, float] | None = None
    num_top_logprobs: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineChunk:
    """What a reply grew by. Legend: T new tokens."""

    text_delta: str
    ids: tuple[int, ...]  # [T]
    logprobs: tuple[float, ...]  # [T] nats
    finish_reason: FinishReason | None
    cached_tokens: int = 0  # of the prompt, taken from the engine's prefix cache
    top_logprobs: tuple[tuple[tuple[int, float], ...], ...] = ()  # [T] (id, log-prob), or empty where not asked for
    stop_sequence: str | None = None  # the stop string that ended the reply; None where a token did


@dataclass(slots=True)
class ReplySoFar:
    """How much of one reply has been read."""

    num_tokens: int = 0
    text: list[str] = field(default_factory=list)


def generate_body(request: GenerateRequest) -> JsonObject:
    """The JSON body that draws a reply as a stream."""
    body: JsonObject = {
        "input_ids": request.prompt_ids,
        "sampling_params": {**_sampling_params(request.sampling), **_constraints(request)},
        "return_logprob": True,
        "top_logprobs_num": request.num_top_logprobs,
        "stream": True,
    }
    if request.tenant != DEFAULT_TENANT:  # a hit tells, by its time and by `cached_tokens`, what somebody has asked
        body["extra_key"] = digest_text("tenant", request.tenant)
    return body if request.adapter is None else {**body, "lora_path": request.adapter}


def score_body(prompt_ids: tuple[int, ...], response_ids: tuple[int, ...], adapter: str | None) -> JsonObject:
    """The JSON body that asks for the log-probs of tokens that were drawn already, at temperature 1."""
    body: JsonObject = {
        "input_ids": [*prompt_ids, *response_ids],
        "sampling_params": {"temperature": 1.0, "max_new_tokens": 1},  # it always draws one; nobody reads it
        "return_logprob": True,
        "logprob_start_len": len(prompt_ids) - 1,  # the first one reported has no log-prob: nothing is before it
        "stream": False,
    }
    return body if adapter is None else {**body, "lora_path": adapter}


def read_scores(reply: JsonObject, response_ids: tuple[int, ...]) -> tuple[float, ...]:
    """[T] nats: the log-prob of each token of the response, under the adapter that was asked.

    Raises:  TokenMismatchError: a token has none, or they are another text's; MalformedEventError: it is no reply.
    """
    try:
        given = reply["meta_info"]["input_token_logprobs"]
    except (KeyError, TypeError) as error:
        message = f"The engine's scores lack {error}; they need SGLang 0.5.23's /generate."
        raise MalformedEventError(message) from error
    return _matched(response_ids, given, len(response_ids))[1]


def read_chunk(event: object, so_far: ReplySoFar) -> EngineChunk:
    """What an event of the stream adds to a reply; counts it.

    Raises:  TokenMismatchError: ids and log-probs do not match; EngineRefusedError, EngineUnavailableError: the event
             is an error; MalformedEventError: it is neither.
    """
    match event:
        case {"error": {"code": int(code)}}:
            raise engine_error(code, event)
        case {"error": _}:
            raise engine_error(HTTPStatus.BAD_REQUEST, event)
        case dict():
            return _read_tokens(event, so_far)
        case _:
            raise MalformedEventError("The engine's stream holds an event that is no JSON object.")


def _read_tokens(event: JsonObject, so_far: ReplySoFar) -> EngineChunk:
    try:
        meta = event["meta_info"]
        all_ids, total = event["output_ids"], meta["completion_tokens"]
        reason = meta["finish_reason"]
        given = meta["output_token_logprobs"]
        text = event["text"]
        tops = meta.get("output_top_logprobs") or ()
        cached_tokens = meta["cached_tokens"]
    except (KeyError, TypeError) as error:
        message = f"The engine's reply lacks {error}; it needs SGLang 0.5.23's /generate."
        raise MalformedEventError(message) from error
    if so_far.num_tokens and len(all_ids) == total:
        text = text[sum(map(len, so_far.text)) :]
    num_new = total - so_far.num_tokens
    finish_reason = _finish_reason(reason)  # before the tokens: a refused request comes with one that has no log-prob
    ids, logprobs = _matched(all_ids, given, num_new)
    so_far.num_tokens = total
    so_far.text.append(text)
    return EngineChunk(
        text_delta=text,
        ids=ids,
        logprobs=logprobs,
        finish_reason=finish_reason,
        cached_tokens=cached_tokens,
        top_logprobs=tuple(
            tuple((id_, logprob) for logprob, id_, *_ in rivals or ()) for rivals in _last(tops, num_new)
        ),
        stop_sequence=_stop_sequence(reason),
    )


async def sse_events(parts: AsyncIterable[bytes]) -> AsyncIterator[object]:
    """The JSON values of a stream, up to its `[DONE]`, however the stream comes apart on its way.

    Split as bytes: a text may hold U+2028 and other characters at which `str.splitlines` would break the JSON apart.
    """
    rest = b""
    async for raw in parts:
        *whole, rest = (rest + raw).split(b"\n\n")
        for event in whole:
            data = event.removeprefix(b"data:").strip()
            if data == b"[DONE]":
                return
            yield orjson.loads(data)


def engine_error(status: int, reply: object) -> EngineRefusedError | EngineUnavailableError:
    """The error that a status and a reply stand for."""
    message = f"The engine answered {status}: {_reason(reply)}"
    return EngineUnavailableError(message) if status in _PASSING_STATUSES else EngineRefusedError(status, message)


def _sampling_params(sampling: Sampling) -> JsonObject:
    return {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
        "repetition_penalty": sampling.repetition_penalty,
        "max_new_tokens": sampling.max_tokens,
        "sampling_seed": sampling.seed,
        "stop": list(sampling.stop),
    }


def _constraints(request: GenerateRequest) -> JsonObject:
    bias = {str(token): value for token, value in (request.logit_bias or {}).items()}
    asked = {"json_schema": request.json_schema, "regex": request.regex, "logit_bias": bias}
    return {name: value for name, value in asked.items() if value}


def _matched(ids: Any, given: Any, num_tokens: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """The last `num_tokens` ids and their log-probs, each of which names the id that it is for."""
    new_ids, new_given = tuple(_last(ids, num_tokens)), _last(given, num_tokens)
    if len(new_ids) != num_tokens or new_ids != tuple(entry[1] for entry in new_given):
        message = f"The engine drew {num_tokens} tokens, but gave {len(new_ids)} ids and {len(new_given)} log-probs."
        raise TokenMismatchError(message)
    logprobs = tuple(entry[0] for entry in new_given)
    if not all(isinstance(logprob, float | int) for logprob in logprobs):
        raise TokenMismatchError("The engine gave a token without a log-prob.")
    return new_ids, logprobs


def _last(items: Any, count: int) -> Any:
    return items[max(len(items) - count, 0) :]


def _finish_reason(reason: JsonObject | None) -> FinishReason | None:
    """Ours for the engine's.

    Raises:  EngineRefusedError, EngineUnavailableError: the engine aborted the request because of an error.
    """
    if reason is None:
        return None
    if reason.get("type") == "abort" and reason.get("status_code"):
        raise engine_error(int(reason["status_code"]), reason)
    return _FINISH_REASONS.get(reason.get("type", ""), "error")


def _stop_sequence(reason: object) -> str | None:
    match reason:
        case {"type": "stop", "matched": str(text)}:
            return text
        case _:
            return None


def _reason(reply: object) -> str:
    """The sentence in one of the forms in which SGLang says why."""
    match reply:
        case {"error": {"message": str(reason)}} | {"error": str(reason)}:
            return reason
        case {"message": str(reason)} | {"error_message": str(reason)}:
            return reason
        case _:
            return str(reply)[:500]
