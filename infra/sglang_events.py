"""SGLang's stream of `/generate` as those write it who stand in for SGLang, one event per token."""

from typing import Any

import orjson

DONE = b"data: [DONE]\n\n"


def token_event(id_: int, text: str, logprob: float, *, place: int, num_prompt_tokens: int, is_last: bool) -> bytes:
    """The event of one token, as SGLang 0.5.23 sends it with `--incremental-streaming-output`.

    Args:    logprob: nats; place: 0 is the reply's first token; is_last: it ends the reply, as an end token does.
    """
    meta = {
        "finish_reason": {"type": "stop", "matched": id_} if is_last else None,
        "prompt_tokens": num_prompt_tokens,
        "cached_tokens": 0,
        "completion_tokens": place + 1,
        "weight_version": "default",
        "output_token_logprobs": [[logprob, id_, None]],
    }
    event: dict[str, Any] = {"text": text, "output_ids": [id_], "meta_info": meta}
    return b"data: " + orjson.dumps(event) + b"\n\n"
