"""The scripted user: asks everyday questions, complains about what is wrong with an answer, else thanks or moves on.

It is the student of infra/experiment: the same rule (plain sentences: no lists, bold or headings), the same eye for
answers that repeat themselves or are to no question, and the same wordings. The system never sees the rule: it reads
only what this user says, and through which client is none of the user's business (talk.py).
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from infra.demo.questions import ASKED
from infra.demo.talk import OpenTalk, Talk
from infra.experiment.rules import Fault, find_fault
from infra.experiment.wordings import COMPLAINTS, FAULTS, THANKS
from schemas.errors import RetryableError

MAX_ANSWER_TOKENS = 72  # lists start within the first 40 tokens of this model's answers; more costs only time
MAX_CLOSING_TOKENS = 16  # the reply to "thanks, bye" interests nobody
MOVES_ON_SHARE = 0.3  # of satisfied users, those who ask something else instead of leaving

BRIDGES = ("Thanks, that helps!", "Great, thank you.", "Perfect, that is clear.", "Very good, thanks.")


def fault_of(question: str, answer: str) -> Fault | None:
    """What this user would complain about; None: the answer is right."""
    return find_fault("student", question, answer, num_tokens=0)


@dataclass(slots=True)
class Tally:
    """What the user has seen so far; the display reads it."""

    conversations: int = 0
    answers: list[bool] = field(default_factory=list)  # first answers to a question, in order: was it right?
    requests: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def num_continuing(self) -> int:
        """Requests that go on with a conversation."""
        return self.requests - self.conversations


class ScriptedUser:
    """One person with a rule in mind. Many run at once, each with a name, and all that it draws from (seed, name)."""

    def __init__(self, open_talk: OpenTalk, tally: Tally, *, name: str, seed: int) -> None:
        self._open_talk = open_talk
        self._name = name
        self._tally = tally
        self._random = random.Random(f"{seed}/{name}")
        self._questions = self._endless_questions()

    def _endless_questions(self) -> Iterator[str]:
        while True:
            yield from self._random.sample(ASKED, len(ASKED))

    async def converse(self) -> None:
        """Hold one conversation: question, answer, reaction, and what follows from it.

        Raises:  as `Talk.say`; the tally has a failed request then.
        """
        self._tally.conversations += 1
        talk = self._open_talk(self._name)
        satisfied = await self._get_answer(talk)
        while satisfied and self._random.random() < MOVES_ON_SHARE:
            satisfied = await self._get_answer(talk, f"{self._random.choice(BRIDGES)} ")
        if satisfied:
            await self._say(talk, self._random.choice(THANKS), MAX_CLOSING_TOKENS)

    async def _get_answer(self, talk: Talk, bridge: str = "") -> bool:
        """Ask the next question; complain once if something is wrong with the answer. True: the user is satisfied."""
        question = next(self._questions)
        fault = fault_of(question, await self._say(talk, bridge + question, MAX_ANSWER_TOKENS))
        self._tally.answers.append(fault is None)
        if fault is None:
            return True
        complaints = {"rule": COMPLAINTS["student"], **FAULTS}[fault]
        return fault_of(question, await self._say(talk, self._random.choice(complaints), MAX_ANSWER_TOKENS)) is None

    async def _say(self, talk: Talk, text: str, max_tokens: int) -> str:
        self._tally.requests += 1
        try:
            return await talk.say(text, max_tokens)
        except RetryableError as error:
            self._tally.failures.append(str(error))
            raise
