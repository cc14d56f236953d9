"""`call_of`: what a span tells of a model call, in whichever spelling it does.

Owns what a model call is. OpenInference names the kind of each span, the GenAI conventions and Vercel's SDK its
operation, OpenLLMetry the type of its request; a span that does neither (its process may have left that out, for its
limits) is one if it has messages, or says which model was asked. Whatever is of another kind (an agent's whole run, a
tool's execution, an embedding) is foreign: what a tool answered is read in the next call's messages.
"""

from typing import Protocol

from serving.otlp.model_call import SWITCH_CONTENT_ON, ModelCall, SpanRefusedError
from serving.otlp.spans import Span
from serving.otlp.spellings import openinference, openllmetry, semconv, semconv_events, vercel

_BY_LITELLM = {"completion", "acompletion"}  # its function's name, for either of the next two
_BY_VERCEL = ("generateText.doGenerate", "streamText.doStream", "generateObject.doGenerate", "streamObject.doStream")
_MODEL_CALLS = {
    "openinference.span.kind": {"LLM"},
    "gen_ai.operation.name": {"chat", "generate_content", "text_completion"} | _BY_LITELLM,
    "llm.request.type": {"chat"} | _BY_LITELLM,
    "ai.operationId": {f"ai.{function}" for function in _BY_VERCEL},
}

_ASKED_MODEL = "gen_ai.request.model"


class Spelling(Protocol):
    """A module of this folder."""

    def holds(self, span: Span) -> bool:
        """Whether the span tells words in this spelling."""

    def read(self, span: Span) -> ModelCall:
        """The call."""


SPELLINGS: tuple[Spelling, ...] = (semconv, openinference, openllmetry, semconv_events, vercel)


def is_model_call(span: Span) -> bool:
    """Whether the span is one call of a model."""
    for key, model_calls in _MODEL_CALLS.items():
        if isinstance(kind := span.attributes.get(key), str):
            return kind in model_calls
    return _ASKED_MODEL in span.attributes or any(spelling.holds(span) for spelling in SPELLINGS)


def call_of(span: Span) -> ModelCall:
    """The call.

    Raises:  SpanRefusedError: the span tells no words (no_content), not all of them (truncated), or none that can be
             understood (unreadable).
    """
    spelling = next((one for one in SPELLINGS if one.holds(span)), None)
    if spelling is None:
        raise SpanRefusedError("no_content", f"it has no messages; {SWITCH_CONTENT_ON}")
    return spelling.read(span)
