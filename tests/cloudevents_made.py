"""Events as producers elsewhere send them over HTTP: CloudEvents in JSON, written by hand."""

from typing import Any

WHOSE = {"policy": "assistant", "conversation_id": "lesson-7", "subject": "ada"}
ACTION: dict[str, Any] = {
    **WHOSE,
    "turn": 0,
    "request_id": "",
    "messages": [{"role": "user", "content": "What is 2 + 2?"}],
    "reply": {"role": "assistant", "content": "4"},
    "model": "our-own",
    "sampling": {},
    "finish_reason": "stop",
    "logprob_origin": "unscored",
    "template_digest": "",
    "prompt_ids": [],
    "response_ids": [],
    "response_logprobs": [],
    "token_versions": [],
}
NEXT_STATE = {**WHOSE, "action_id": "action-1", "messages": [{"role": "user", "content": "Thanks!"}]}
FEEDBACK = {**WHOSE, "action_id": "action-1", "thumb": 1}
OUTCOME = {**WHOSE, "score": 1, "verifier": "exam"}


def cloudevent(event_id: str, data: dict[str, Any], **own: Any) -> dict[str, Any]:
    """Its type is told by what it says."""
    kinds = {
        "reply": "nextstate.action.taken.v2",
        "messages": "nextstate.next_state.observed.v1",
        "thumb": "nextstate.feedback.given.v2",
        "score": "nextstate.outcome.reported.v1",
    }
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": "school",
        "type": next((kind for field, kind in kinds.items() if field in data), ""),
        "time": "2026-01-31T13:00:00+01:00",
        "data": data,
        **own,
    }
