"""`turn_of`: a span as the observed turn that it tells of, or why it tells none.

Pure: consumes spans of one tenant, produces turns for `streams.observed`. Whose turn it is stands on the span, or on
the process that tells it (OTEL_RESOURCE_ATTRIBUTES):

    conversation   gen_ai.conversation.id, session.id, traceloop.association.properties.session_id, or the metadata
                   `sessionId` of Vercel's SDK
    subject        user.id, enduser.id, traceloop.association.properties.user_id, the metadata `userId` of Vercel's SDK,
                   or the request's `user`
    policy         nextstate.policy; without it the gateway's first
    turn type      nextstate.turn_type: main or side
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from schemas.errors import RejectedError
from schemas.events import FinishReason, Message, TurnType
from schemas.messages import canonical_json, normalise_message, says_something
from serving.otlp.model_call import SWITCH_CONTENT_ON, ChatMessage, ModelCall, SpanRefusedError
from serving.otlp.spans import Span, texts
from serving.otlp.spellings.registry import call_of, is_model_call
from streams.observed import ObservedTurn, observed_id
from streams.sampling import finish_reason_of, sampling_of

_LOGGER = logging.getLogger(__name__)
_SESSION = (
    "gen_ai.conversation.id",
    "session.id",
    "traceloop.association.properties.session_id",
    "ai.telemetry.metadata.sessionId",
)
_SUBJECT = (
    "user.id",
    "enduser.id",
    "traceloop.association.properties.user_id",
    "ai.telemetry.metadata.userId",
    "gen_ai.user",
    "llm.user",
)
_POLICY, _TURN_TYPE = ("nextstate.policy",), ("nextstate.turn_type",)
_HIDDEN = "__REDACTED__"  # what OpenInference writes for a text that it must not tell
_NS_PER_MS = 1_000_000

Passed = Literal["foreign", "failed"]  # no turn, and nothing is wrong with that


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What became of one span: a turn, or a span that is passed over or refused."""

    span: Span
    told: ObservedTurn | Passed | SpanRefusedError


def read_spans(spans: Sequence[Span], tenant: str, policies: Sequence[str]) -> list[Told]:
    """What each span tells, in the same order. Args: policies: those that can learn, the default first."""
    return [Told(span=span, told=_read(span, tenant, policies)) for span in spans]


def _read(span: Span, tenant: str, policies: Sequence[str]) -> ObservedTurn | Passed | SpanRefusedError:
    if not is_model_call(span):
        return "foreign"
    try:
        call = call_of(span)
        if span.failed and not call.choices:
            return "failed"
        return turn_of(span, call, tenant, policies)
    except SpanRefusedError as error:
        return "failed" if span.failed and error.reason == "no_content" else error
    except RejectedError as error:
        return SpanRefusedError("unreadable", str(error))
    except Exception:
        return defect(span)


def defect(span: Span) -> SpanRefusedError:
    """Why a span is refused that something unforeseen was raised on. It is logged; the rest of its batch goes on."""
    _LOGGER.exception("span %s of trace %s failed", span.span_id, span.trace_id)
    return SpanRefusedError("defect", "the gateway failed on it; its log says why")


def turn_of(span: Span, call: ModelCall, tenant: str, policies: Sequence[str]) -> ObservedTurn:
    """The turn that a call was. Of several choices the first counts.

    Raises:  SpanRefusedError: no id, no such policy, or no words; RejectedError: messages that are none.
    """
    if not span.trace_id.strip("0") or not span.span_id.strip("0"):
        raise SpanRefusedError("no_id", "it has no trace and span id, so it could not be told apart when sent again")
    messages = tuple(map(normalise_message, call.messages))
    reply = _reply(call.choices)
    if reply is None or not messages:
        missing = "reply" if messages else "prompt"
        raise SpanRefusedError("no_content", f"it has no {missing}; {SWITCH_CONTENT_ON}")
    if any(message.content == _HIDDEN for message in (*messages, reply)):
        raise SpanRefusedError("no_content", f"its words are hidden; {SWITCH_CONTENT_ON}")
    user = call.parameters.get("user")
    return ObservedTurn(
        action_id=observed_id(tenant, span.trace_id, span.span_id),
        time_ms=span.end_ns // _NS_PER_MS,
        tenant=tenant,
        policy=_policy(span, policies),
        subject=next(texts(span, _SUBJECT), user if isinstance(user, str) else ""),
        session_id=next(texts(span, _SESSION), None),
        turn_type=_turn_type(span),
        messages=messages,
        reply=reply,
        tools=canonical_json(call.tools),
        model=call.model or "unknown",
        sampling=sampling_of(call.parameters),
        finish_reason=_finish_reason(span, call, reply),
    )


def _reply(choices: Sequence[ChatMessage]) -> Message | None:
    if not choices:
        return None
    reply = normalise_message({**choices[0], "role": "assistant"})
    return reply if says_something(reply) else None


def _policy(span: Span, policies: Sequence[str]) -> str:
    named = next(texts(span, _POLICY), policies[0])
    if named not in policies:
        message = f"nextstate.policy names {named[:80]!r}; this gateway has {', '.join(policies)}"
        raise SpanRefusedError("unknown_policy", message)
    return named


def _turn_type(span: Span) -> TurnType:
    return "side" if next(texts(span, _TURN_TYPE), "main") == "side" else "main"


def _finish_reason(span: Span, call: ModelCall, reply: Message) -> FinishReason:
    if span.failed:
        return "aborted"  # it broke off while it answered
    return finish_reason_of(call.finish_reason, reply)
