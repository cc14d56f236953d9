"""`conversation_samples`: every turn of made-up conversations, as the trainer would get it.

The text is synthetic: a person asks one thing after another and gets a short answer each time. Tokens are those of the
policy's own chat template, so a turn's prompt holds the earlier turns exactly as they were read and answered.
"""

from dataclasses import dataclass
from pathlib import Path

from schemas.events import Message
from serving.rendering import ChatRenderer

_HINT = "Answer in plain sentences and begin with a warm word."

_WISHES = (
    "sleep better when it is hot outside",
    "keep herbs alive on a kitchen window",
    "learn a few words of Italian before a trip",
    "stop forgetting where I put my keys",
    "cook dinner for six in a small kitchen",
    "get through a long train ride with children",
    "start running again after a lazy winter",
    "make a dark hallway look friendlier",
    "write a birthday card that is not boring",
    "save a little money every month",
)
_ADVICE = (
    "Begin with something so small that you can do it today without preparing anything.",
    "Put what you need in one place the evening before, so that nothing stops you in the morning.",
    "Ask a friend who has done it; they will tell you what they would leave out the next time.",
    "Give it two weeks before you judge, because the first days always feel slower than they are.",
    "When it goes wrong, change one thing only, and then you will know what made the difference.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One turn. Rewards are of both signs, and do not cancel."""

    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    hinted_prompt_ids: tuple[int, ...]
    reward: float


def conversation_samples(model_path: Path, num_turns: int) -> list[Sample]:
    """The turns of one conversation, first to last."""
    renderer = ChatRenderer(model_path)
    messages: tuple[Message, ...] = ()
    samples: list[Sample] = []
    for turn in range(num_turns):
        wish = _WISHES[turn % len(_WISHES)]
        messages += (Message(role="user", content=f"Another thing, number {turn + 1}: how can I {wish}?"),)
        answer = Message(role="assistant", content=_answer(wish, turn))
        samples.append(
            Sample(
                prompt_ids=renderer.render(messages, "[]", "{}"),
                response_ids=_response_ids(renderer, messages, answer),
                hinted_prompt_ids=renderer.teacher_prompt_ids(messages, "[]", "{}", _HINT),
                reward=1.0 if turn % 3 else -1.0,
            )
        )
        messages += (answer,)
    return samples


def _answer(wish: str, turn: int) -> str:
    return " ".join((f"To {wish}:", *(_ADVICE[(turn + number) % len(_ADVICE)] for number in range(3))))


def _response_ids(renderer: ChatRenderer, messages: tuple[Message, ...], answer: Message) -> tuple[int, ...]:
    """What the policy would have drawn: the answer as later prompts hold it, and the token that ends the turn."""
    following = Message(role="user", content="And then?")
    begun = renderer.render(messages, "[]", "{}")
    silent = renderer.render((*messages, Message(role="assistant"), following), "[]", "{}")
    answered = renderer.render((*messages, answer, following), "[]", "{}")
    return answered[len(begun) : len(answered) - (len(silent) - len(begun)) + 1]
