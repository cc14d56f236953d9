"""`Call`: what a client asks for, in our own words, whatever protocol it speaks.

The read half of each protocol (serving/protocols) produces it; matching, rendering, drawing and recording consume it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from schemas.events import Message, Sampling
from serving.grammar import Grammar
from serving.reply_ids import action_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. `tools` is canonical JSON of the tools that the prompt shows, as functions; "[]" shows none."""

    model: str
    messages: tuple[Message, ...]
    places: tuple[str, ...]  # where the client wrote each message ("messages.3", "system"), for errors about it
    tools: str
    sampling: Sampling
    grammar: Grammar
    stream: bool
    subject: str
    template_arguments: str = "{}"
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    num_choices: int = 1
    logprobs: bool = False
    num_top_logprobs: int = 0
    reply_may_be_cut: bool = False  # the reply's length is only a bound: where the context has less room, that counts
    follows: str | None = None  # the action that the client says outright to answer
    form: Mapping[str, Any] = field(default_factory=dict)  # what only the protocol's write half needs of the request

    @property
    def offers_tools(self) -> bool:
        """Whether the reply may call tools."""
        return self.tools != "[]"

    @property
    def parent_action_id(self) -> str | None:
        """The action that the client says to answer: outright, or by the ids of tool calls that it sends back."""
        replies = (message for message in reversed(self.messages) if message.role == "assistant")
        calls = (call for message in islice(replies, 1) for call in message.tool_calls)
        return self.follows or next((action_of(call.id) for call in calls if call.id), None)

    @property
    def prompt_field(self) -> str:
        """The request's field that its newest message came in."""
        return self.places[-1].partition(".")[0]
