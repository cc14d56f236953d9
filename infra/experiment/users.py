"""`User`: a simulated person with a rule in mind: asks one thing per session, and says what is wrong with the answer.

Owns what a person would: the rule, the wordings, which questions were asked already and, where the method is a memory
in the prompt, the corrections that were said before. The system reads only the words. Everything that is drawn depends
on (seed, user, session), so a run can be repeated.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from infra.experiment.questions import QuestionSet
from infra.experiment.rules import MAX_ANSWER_TOKENS, Fault, find_fault
from infra.experiment.wordings import COMPLAINTS, FAULTS, THANKS

MAX_ANSWERS = 4  # to one question; with the user's own, 8 messages
MAX_CLOSING_TOKENS = 8  # the reply to "thanks" interests nobody
NUM_REMEMBERED = 3  # corrections of earlier sessions in the prompt

Messages = list[dict[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back. `num_tokens` is what the API counted, the end token included."""

    text: str
    num_tokens: int
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One request. `user` goes into the API's field of that name."""

    user: str
    messages: Messages
    max_tokens: int
    seed: int


Say = Callable[[Wanted], Awaitable[Answer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One finished session. `version` gave the first answer, whose tokens `answer_tokens` counts."""

    user: str
    number: int  # from 1
    satisfied: bool  # by the first answer
    faults: tuple[Fault | None, ...]  # of each answer, in order
    accepted: bool  # in the end
    answer_tokens: int
    version: int
    question: str
    answer: str


class User:
    """One person. Args: remembers: whether earlier corrections go into the system prompt."""

    def __init__(self, name: str, questions: QuestionSet, seed: int, *, remembers: bool) -> None:
        self.name = name
        self._seed = seed
        self._remembers = remembers
        asked = questions.asked
        self._questions = random.Random(f"{seed}/{name}").sample(asked, len(asked))
        self._num_sessions = 0
        self._corrections: list[str] = []

    async def hold_session(self, say: Say) -> Session:
        """Ask one question; complain until an answer is right or there were too many; thank for a right one."""
        self._num_sessions += 1
        source = random.Random(f"{self._seed}/{self.name}/{self._num_sessions}")
        question = self._questions[(self._num_sessions - 1) % len(self._questions)]
        wordings = {"rule": COMPLAINTS[self.name], **FAULTS}
        complaints = {fault: source.sample(texts, MAX_ANSWERS - 1) for fault, texts in wordings.items()}
        messages = [*self._memory(), {"role": "user", "content": question}]
        answers = [await self._ask(say, messages, source)]
        faults = [self._find_fault(question, answers[-1])]
        while faults[-1] is not None and len(answers) < MAX_ANSWERS:
            complaint = complaints[faults[-1]].pop()
            self._corrections.append(complaint)
            messages.append({"role": "user", "content": complaint})
            answers.append(await self._ask(say, messages, source))
            faults.append(self._find_fault(question, answers[-1]))
        if faults[-1] is None:
            messages.append({"role": "user", "content": source.choice(THANKS)})
            await self._ask(say, messages, source, MAX_CLOSING_TOKENS)
        return Session(
            user=self.name,
            number=self._num_sessions,
            satisfied=faults[0] is None,
            faults=tuple(faults),
            accepted=faults[-1] is None,
            answer_tokens=answers[0].num_tokens,
            version=answers[0].version,
            question=question,
            answer=answers[0].text,
        )

    async def _ask(
        self, say: Say, messages: Messages, source: random.Random, max_tokens: int = MAX_ANSWER_TOKENS
    ) -> Answer:
        wanted = Wanted(user=self.name, messages=messages, max_tokens=max_tokens, seed=source.getrandbits(31))
        answer = await say(wanted)
        messages.append({"role": "assistant", "content": answer.text})
        return answer

    def _find_fault(self, question: str, answer: Answer) -> Fault | None:
        return find_fault(self.name, question, answer.text, answer.num_tokens)

    def _memory(self) -> Messages:
        remembered = self._corrections[-NUM_REMEMBERED:]
        if not self._remembers or not remembered:
            return []
        said = "\n".join(f"- {correction}" for correction in remembered)
        return [{"role": "system", "content": f"What this user said about earlier answers:\n{said}"}]
