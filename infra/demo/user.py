"""The scripted user: asks everyday questions, complains about formatting, thanks or moves on otherwise.

It is the student of infra/experiment: the same rule (plain sentences: no lists, bold or headings) and wordings. The
system never sees the rule: it reads only what this user says, through the unmodified `openai` SDK, streaming, without
extra headers.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import openai
from openai.types.chat import ChatCompletionMessageParam

from infra.demo.questions import ASKED
from infra.experiment.rules import is_plain
from infra.experiment.wordings import COMPLAINTS, THANKS

MAX_ANSWER_TOKENS = 72  # lists start within the first 40 tokens of this model's answers; more costs only time
MAX_CLOSING_TOKENS = 16  # the reply to "thanks, bye" interests nobody
MOVES_ON_SHARE = 0.3  # of satisfied users, those who ask something else instead of leaving

BRIDGES = ("Thanks, that helps!", "Great, thank you.", "Perfect, that is clear.", "Very good, thanks.")


def follows_rule(answer: str) -> bool:
    """Whether an answer is plain sentences: no list items, bold text or headings."""
    return is_plain(answer, num_tokens=0)


@dataclass(slots=True)
class Tally:
    """What the user has seen so far; the display reads it."""

    conversations: int = 0
    answers: list[bool] = field(default_factory=list)  # first answers to a question, in order: rule followed?
    requests: int = 0
    failures: list[str] = field(default_factory=list)


async def ask(
    client: openai.AsyncOpenAI,
    model: str,
    messages: list[ChatCompletionMessageParam],
    *,
    user: str,
    temperature: float,
    max_tokens: int,
    headers: dict[str, str] | None = None,
) -> str:
    """One streamed answer, whole."""
    stream = await client.chat.completions.create(
        model=model,
        messages=messages,
        temperature=temperature,
        max_tokens=max_tokens,
        stream=True,
        user=user,
        extra_headers=headers,
    )
    pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
    return "".join(pieces)


class ScriptedUser:
    """One person with a rule in mind. Many run at once, each with a name, and all that it draws from (seed, name)."""

    def __init__(
        self, client: openai.AsyncOpenAI, model: str, temperature: float, tally: Tally, *, name: str, seed: int
    ) -> None:
        self._client = client
        self._name = name
        self._model = model
        self._temperature = temperature
        self._tally = tally
        self._random = random.Random(f"{seed}/{name}")
        self._questions = self._endless_questions()

    def _endless_questions(self) -> Iterator[str]:
        while True:
            yield from self._random.sample(ASKED, len(ASKED))

    async def converse(self) -> None:
        """Hold one conversation: question, answer, reaction, and what follows from it."""
        self._tally.conversations += 1
        messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": next(self._questions)}]
        satisfied = await self._get_answer(messages)
        while satisfied and self._random.random() < MOVES_ON_SHARE:
            bridge = self._random.choice(BRIDGES)
            messages.append({"role": "user", "content": f"{bridge} {next(self._questions)}"})
            satisfied = await self._get_answer(messages)
        if satisfied:
            messages.append({"role": "user", "content": self._random.choice(THANKS)})
            await self._say(messages, MAX_CLOSING_TOKENS)

    async def _get_answer(self, messages: list[ChatCompletionMessageParam]) -> bool:
        """Read the answer to the last question; complain once if it breaks the rule. True: the user is satisfied."""
        good = follows_rule(await self._say(messages, MAX_ANSWER_TOKENS))
        self._tally.answers.append(good)
        if good:
            return True
        messages.append({"role": "user", "content": self._random.choice(COMPLAINTS["student"])})
        return follows_rule(await self._say(messages, MAX_ANSWER_TOKENS))

    async def _say(self, messages: list[ChatCompletionMessageParam], max_tokens: int) -> str:
        self._tally.requests += 1
        try:
            answer = await ask(
                self._client,
                self._model,
                messages,
                user=self._name,
                temperature=self._temperature,
                max_tokens=max_tokens,
            )
        except openai.OpenAIError as error:
            self._tally.failures.append(str(error))
            raise
        messages.append({"role": "assistant", "content": answer})
        return answer
