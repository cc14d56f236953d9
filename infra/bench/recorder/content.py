"""What is told: talks of a few turns with another model, whose requests hold all that was said before.

No two are alike, so that nobody can take one for another. Behind no system prompt, and behind an agent's, which is long
and says other things in each call.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import TypedDict

from infra.bench.prompts import AGENT_PROMPT_CHARS, agent_prompt
from infra.demo.questions import ASKED

TURNS = 4  # of a talk
SHORT, LONG = "none", f"{AGENT_PROMPT_CHARS:,} characters"
PROMPTS: dict[str, Callable[[int], str] | None] = {SHORT: None, LONG: agent_prompt}
_ANSWER = (
    "That is answer {number}. There is more than one way to {topic}, and most people find that the simplest one lasts. "
    "Begin with what is already at hand, and give it a week before you change anything. Write down what works, ask "
    "somebody who has done it before, and do not buy anything yet. If it goes wrong, begin again with the first step."
)


class Said(TypedDict):
    """A message, as OpenAI's clients hold it."""

    role: str
    content: str


Turn = tuple[list[Said], str]  # all that the model read, and its reply


def turns(prompt: str, num_turns: int, first_talk: int = 0) -> list[Turn]:
    """Turns of as many talks as it takes, in their order.

    Args:    prompt: one of `PROMPTS`; first_talk: the number that tells a talk from others, of the first.
    """
    return list(islice(_all(prompt, first_talk), num_turns))


def _all(prompt: str, first_talk: int) -> Iterator[Turn]:
    system_prompt = PROMPTS[prompt]
    number = TURNS * first_talk
    while True:
        history: list[Said] = []
        for _ in range(TURNS):
            question = ASKED[number % len(ASKED)]
            history.append(Said(role="user", content=f"{question} I ask for the {number}th time."))
            system = [] if system_prompt is None else [Said(role="system", content=system_prompt(number))]
            reply = _ANSWER.format(number=number, topic=question.removeprefix("How can I ").rstrip("?"))
            yield [*system, *history], reply
            history.append(Said(role="assistant", content=reply))
            number += 1
