"""Held-out compliance: the same questions, answered greedily, by whatever version serves now.

The questions are sent as side turns, so they are recorded but can never train.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import openai

from infra.demo.questions import HELD_OUT
from infra.demo.sdk import ask
from infra.demo.user import MAX_ANSWER_TOKENS, fault_of
from schemas.errors import RetryableError

NUM_PARALLEL = 16  # as many as the engine batches; greedy answers do not depend on it
SIDE_TURN = {"X-Turn-Type": "side"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The held-out answers of one policy version."""

    answers: dict[str, str]  # by question
    failures: tuple[str, ...]

    @property
    def compliance(self) -> float:
        """Share of the questions whose answer the user finds right, in [0, 1]; a failed request is wrong."""
        return sum(fault_of(*pair) is None for pair in self.answers.items()) / len(HELD_OUT)

    @property
    def mean_words(self) -> float:
        """Mean length of the answers: compliance by falling silent would show here."""
        return sum(len(answer.split()) for answer in self.answers.values()) / max(1, len(self.answers))


async def evaluate(client: openai.AsyncOpenAI, model: str, progress: Callable[[int, int], None]) -> Evaluation:
    """Ask all held-out questions and read the answers.

    Args:    progress: called with (answers so far, answers in all) after each.
    """
    limit = asyncio.Semaphore(NUM_PARALLEL)
    answers: dict[str, str] = {}
    failures: list[str] = []

    async def one(question: str) -> None:
        async with limit:
            try:
                answer = await ask(
                    client,
                    model,
                    [{"role": "user", "content": question}],
                    user="held-out",
                    temperature=0.0,
                    max_tokens=MAX_ANSWER_TOKENS,
                    headers=SIDE_TURN,
                )
            except RetryableError as error:
                failures.append(str(error))
                return
        answers[question] = answer
        progress(len(answers), len(HELD_OUT))

    await asyncio.gather(*map(one, HELD_OUT))
    return Evaluation(answers=answers, failures=tuple(failures))
