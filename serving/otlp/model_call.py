"""`ModelCall`: one call of a model as a span tells it, in OpenAI's words; and why a span may not tell one.

Every spelling produces it; turns.py makes an observed turn of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from schemas.errors import RejectedError

Refusal = Literal["no_content", "truncated", "unreadable", "unknown_policy", "no_id", "unrecordable", "defect"]

ChatMessage = dict[str, Any]  # a message of OpenAI's chat completions


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """What the model read and wrote. `parameters` by OpenAI's names; None where nothing is said of one."""

    messages: list[ChatMessage]
    choices: list[ChatMessage]
    tools: list[Any] = field(default_factory=list)
    model: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    finish_reason: str = ""


SWITCH_CONTENT_ON = (
    "switch the capture of content on where it is instrumented: OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT="
    "SPAN_ONLY, for OpenLLMetry TRACELOOP_TRACE_CONTENT=true, for OpenInference no OPENINFERENCE_HIDE_ variable, for "
    "Vercel's SDK neither recordInputs nor recordOutputs false"
)


class SpanRefusedError(RejectedError):
    """A span of a model call that cannot become a turn: the reason in a word, for metrics, and in a sentence."""

    def __init__(self, reason: Refusal, message: str) -> None:
        super().__init__(message)
        self.reason: Refusal = reason
