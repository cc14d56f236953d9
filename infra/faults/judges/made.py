"""`made_turn`, `made_transition`: turns whose next state says what the suite's judge is to do with them."""

from schemas.clock import now_ms
from schemas.events import (
    ActionTaken,
    Message,
    NextStateObserved,
    Sampling,
    TransitionJoined,
    VersionSpan,
)
from schemas.prompt import delta

_NUM_CONVERSATIONS = 64  # so that every partition has some
_QUESTION = "How can I sleep better?"
_ANSWER = "1. Go to bed early.\n2. Avoid coffee in the evening."
_ANSWER_IDS = tuple(range(100, 130))
POLICY = "assistant"


def case_text(case: str) -> str:
    """A user's words that make the suite's judge do what `case` names (infra/faults/judges/manners.py)."""
    return f"No, I asked for no list. [case: {case}]"


def made_transition(number: int, case: str, *messages: Message) -> TransitionJoined:
    """What the join would make of a turn; `messages`: its next state, where it is not `case_text` alone."""
    return TransitionJoined(
        id=f"transition-{number}",
        time_ms=1_800_000_000_000 + number,
        policy=POLICY,
        conversation_id=f"conversation-{number % _NUM_CONVERSATIONS}",
        action_id=f"action-{number}",
        next_state_id=f"next-{number}",
        turn=0,
        context=(Message(role="user", content=_QUESTION),),
        reply=Message(role="assistant", content=_ANSWER),
        kind="messages",
        next_messages=messages or (Message(role="user", content=case_text(case)),),
    )


def made_turn(number: int, case: str, template_digest: str, num_chars: int) -> tuple[ActionTaken, NextStateObserved]:
    """An action as a gateway records it, and its next state.

    Args:    num_chars: of a paste in the question, which all that holds the turn carries along.
    """
    about = {
        "time_ms": now_ms(),
        "policy": POLICY,
        "conversation_id": f"conversation-{number % _NUM_CONVERSATIONS}-{number}",
        "subject": "somebody",
    }
    paste = f"{_QUESTION} {number} {'lorem ipsum ' * (num_chars // 12)}"
    action = ActionTaken(
        id=f"action-{number}",
        turn=0,
        request_id=f"request-{number}",
        **delta((Message(role="user", content=paste),), tuple(range(50, 50 + num_chars // 4)), None).as_fields(),
        template_digest=template_digest,
        reply=Message(role="assistant", content=_ANSWER),
        model=POLICY,
        sampling=Sampling(temperature=0.7),
        response_ids=_ANSWER_IDS,
        response_logprobs=(-0.5,) * len(_ANSWER_IDS),
        token_versions=(VersionSpan(version=0, start=0, end=len(_ANSWER_IDS)),),
        finish_reason="stop",
        **about,  # type: ignore[arg-type]
    )
    said = Message(role="user", content=case_text(case))
    return action, NextStateObserved(id=f"next-{number}", action_id=action.id, messages=(said,), **about)  # type: ignore[arg-type]
