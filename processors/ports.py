"""What processors need from models, as protocols; serving/ implements them and infra/ passes them in."""

from collections.abc import Sequence
from typing import Protocol

from schemas.events import Message, TransitionJoined
from schemas.judgement import Hints, Judgement

__all__ = ["HintExtractor", "Hints", "Judge", "Judgement", "Renderer"]


class Judge(Protocol):
    """Reads (context, action, next state) and votes. Unreachable or unsure is an abstention, never a made-up score."""

    name: str
    version: str

    async def judge(self, transitions: Sequence[TransitionJoined]) -> list[Judgement]:
        """One judgement per transition, in order. Never raises for what a transition says."""


class HintExtractor(Protocol):
    """Writes how an action should have been different, from what followed it."""

    name: str
    version: str

    async def extract(self, transition: TransitionJoined, judgement: Judgement) -> Hints:
        """Hints on one transition; none where the next state holds no useful hindsight."""


class Renderer(Protocol):
    """The policy's chat template and tokenizer."""

    template_digest: str
    vocab_size: int
    context_length: int  # tokens that a prompt and its reply may have together

    def turn_ids(
        self, messages: Sequence[Message], reply: Message, tools: str, template_arguments: str
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Ids of a prompt, and of a reply that another model wrote to it: as if the policy had drawn its very text.

        Raises:  RejectedError: the policy cannot read it, or cannot have drawn it.
        """

    def teacher_prompt_ids(
        self, messages: tuple[Message, ...], tools: str, template_arguments: str, hint: str
    ) -> tuple[int, ...]:
        """Ids of the prompt with the hint added to the last user message, or as one after a tool result."""
