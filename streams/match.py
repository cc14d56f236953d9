"""`Match`: where a request belongs, as the conversation index found it; `next_state_of`: what it says of its parent."""

from dataclasses import dataclass
from typing import Literal

from schemas.events import Message, NextStateObserved, Source
from schemas.prompt import Resolved


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Where a request belongs.

    `new_messages` is the next state of `parent_action_id`: empty where the request says nothing new. `base` is what
    the prompt is stored against, None where it is stored whole. `branch`: the parent already had a next state.
    `unknown_reply`: the last assistant message was never served here.
    """

    conversation_id: str
    turn: int
    parent_action_id: str | None = None
    parent_policy: str = ""
    base: Resolved | None = None
    ambiguous: bool = False
    branch: bool = False
    unknown_reply: bool = False
    new_messages: tuple[Message, ...] = ()

    @property
    def kind(self) -> Literal["opening", "reply", "branch", "ambiguous", "unknown_reply"]:
        """The match in one word, for metrics."""
        if self.parent_action_id is None:
            return "unknown_reply" if self.unknown_reply else "opening"
        if self.ambiguous:
            return "ambiguous"
        return "branch" if self.branch else "reply"


def next_state_of(
    match: Match,
    *,
    event_id: str,
    time_ms: int,
    tenant: str,
    subject: str,
    request_id: str = "",
    source: Source | None = None,
) -> NextStateObserved | None:
    """What a request says about the action it follows; None where it follows none or says nothing new.

    Args:    source: None: as the words say, a tool's or a person's.
    """
    if match.parent_action_id is None or not match.new_messages:
        return None
    return NextStateObserved(
        id=event_id,
        time_ms=time_ms,
        policy=match.parent_policy,
        conversation_id=match.conversation_id,
        tenant=tenant,
        subject=subject,
        source=source or ("tool" if any(message.role == "tool" for message in match.new_messages) else "chat"),
        action_id=match.parent_action_id,
        messages=match.new_messages,
        ambiguous=match.ambiguous,
        request_id=request_id,
    )
