"""`run_one`: one run of the experiment: a method, its users, a seed; from a base model to a score.

A round: every user holds a session, all at the same time; then what they said is judged and packed, and what is sealed
is trained, before the next round begins. Owns the run's file. Consumes a world, which it opens and closes; what the
users draw depends on the seed.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

import psutil

from infra.experiment.methods import METHODS
from infra.experiment.questions import QUESTIONS, QuestionSet, read_questions
from infra.experiment.rules import ENOUGH_TOKENS, MAX_ANSWER_TOKENS, MAX_REPEATED, find_fault
from infra.experiment.run_log import Line, RunId, RunWriter, run_path
from infra.experiment.score import IN_A_ROW, run_score, sessions_needed
from infra.experiment.talk import TEMPERATURE, Caller
from infra.experiment.users import MAX_ANSWERS, Say, User, Wanted
from infra.experiment.world import OpenWorld, World, trainer_config
from schemas.errors import RejectedError
from schemas.events import ActionTaken
from schemas.identity import digest_bytes

VERSION = 1  # of the protocol: runs of another one are not mixed with these
NUM_HELD_OUT_ANSWERS = 24

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """What all runs of a table share."""

    cap: int  # sessions per user
    out: Path
    questions: Path | None  # JSON lines with `question`, for all users; None: each user's own


def run_config(run_id: RunId, settings: RunSettings) -> dict[str, Any]:
    """All that a run's outcome depends on, beside the code; the first line of its file.

    Raises:  RejectedError: there is no such method or user, or a stack cannot run the method.
    """
    if run_id.method not in METHODS:
        raise RejectedError(f"There is no method {run_id.method!r}: choose among {', '.join(METHODS)}.")
    if run_id.user is not None and run_id.user not in QUESTIONS:
        raise RejectedError(f"There is no user {run_id.user!r}: choose among {', '.join(QUESTIONS)}.")
    method = METHODS[run_id.method]
    if run_id.live and not method.fits_stack:
        able = ", ".join(name for name, one in METHODS.items() if one.fits_stack)
        raise RejectedError(f"{run_id.method!r} needs what a stack does not have: with --live choose among {able}.")
    objective = None if method.objective is None else method.objective.model_dump(mode="json")
    return {
        "id": str(run_id),
        "version": VERSION,
        "method": asdict(method) | {"objective": objective},
        "trainer": None if objective is None else trainer_config(method, run_id.seed).model_dump(mode="json"),
        "users": list(_names(run_id)),
        "seed": run_id.seed,
        "cap": settings.cap,
        "in_a_row": IN_A_ROW,
        "max_answers": MAX_ANSWERS,
        "max_answer_tokens": MAX_ANSWER_TOKENS,
        "enough_tokens": ENOUGH_TOKENS,
        "max_repeated": MAX_REPEATED,
        "temperature": TEMPERATURE,
        "questions": "own" if settings.questions is None else digest_bytes(settings.questions.read_bytes()),
    }


def run_one(run_id: RunId, settings: RunSettings, open_world: OpenWorld) -> None:
    """Runs it from the beginning and writes its file."""
    config = run_config(run_id, settings)
    asyncio.run(_run(run_id, config, settings, open_world))


def question_sets(settings: RunSettings) -> dict[str, QuestionSet]:
    """What each user asks.

    Raises:  RejectedError: the file of questions cannot be used.
    """
    if settings.questions is None:
        return QUESTIONS
    return dict.fromkeys(QUESTIONS, read_questions(settings.questions))


async def _run(run_id: RunId, config: Line, settings: RunSettings, open_world: OpenWorld) -> None:
    # One thread renders prompts: several would finish in any order, and that order reaches what is trained together.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(max_workers=1))
    sets, method, path = question_sets(settings), METHODS[run_id.method], run_path(settings.out, run_id)
    users = [User(name, sets[name], run_id.seed, remembers=method.remembers) for name in _names(run_id)]
    path.parent.mkdir(parents=True, exist_ok=True)
    async with open_world(method, run_id.seed) as world:
        with path.open("w", encoding="utf-8") as file:
            writer = RunWriter(file, config)
            started_s = time.monotonic()
            score = await _Run(settings.cap, writer, world, users).talk()
            seconds = time.monotonic() - started_s
            each = NUM_HELD_OUT_ANSWERS // len(users)
            questions = [(user.name, question) for user in users for question in sets[user.name].held_out[:each]]
            answers = await _held_out_answers(world, questions)
            drift = await world.drift(answers)
            costs = {"seconds": seconds, "cpu_seconds": _cpu_seconds()}
            writer.write("done", {"score": score, "held_out": _right(answers), "drift": asdict(drift), **costs})


def _names(run_id: RunId) -> tuple[str, ...]:
    return tuple(QUESTIONS) if run_id.user is None else (run_id.user,)


class _Run:
    """The state of one run."""

    def __init__(self, cap: int, writer: RunWriter, world: World, users: Sequence[User]) -> None:
        self._cap = cap
        self._writer = writer
        self._world = world
        self._users = users
        self._satisfied: dict[str, list[bool]] = {user.name: [] for user in users}

    async def talk(self) -> float:
        """Rounds until every user has scored, or the cap. Returns: the run's score."""
        async with self._world.client() as client:
            say = Caller(client).say
            for _ in range(self._cap):
                await self._round(say)
                if all(sessions_needed(flags) for flags in self._satisfied.values()):
                    break
        return run_score(self._satisfied, self._cap)

    async def _round(self, say: Say) -> None:
        started_s = time.monotonic()
        sessions = await _at_once(self._world, [user.hold_session(say) for user in self._users])
        talked_s = time.monotonic()
        for checkpoint in await self._world.learn():
            self._writer.write("update", {"version": checkpoint.version, **checkpoint.metrics})
        learnt_s = time.monotonic()
        for session in sessions:
            self._satisfied[session.user].append(session.satisfied)
            self._writer.write("session", {**asdict(session), "seconds": talked_s - started_s})
        self._writer.write("round", {"talk_seconds": talked_s - started_s, "learn_seconds": learnt_s - talked_s})


async def _held_out_answers(world: World, questions: Sequence[tuple[str, str]]) -> list[ActionTaken]:
    """What the policy answers now to some (user, question) pairs."""
    async with world.client() as client:
        say = Caller(client, is_evaluation=True).say
        wanted = [_held_out(user, question, seed) for seed, (user, question) in enumerate(questions)]
        await _at_once(world, [say(one) for one in wanted])
    return await world.side_answers()


def _right(answers: Sequence[ActionTaken]) -> dict[str, float]:
    """By user: the share of answers to held-out questions that they find nothing wrong with."""
    right: dict[str, list[bool]] = defaultdict(list)
    for one in answers:
        fault = find_fault(one.subject, one.messages[-1].content, one.reply.content, len(one.response_ids))
        right[one.subject].append(fault is None)
    return {user: fmean(each) for user, each in right.items()}


async def _at_once(world: World, talks: Sequence[Awaitable[T]]) -> list[T]:
    seats = world.seats(len(talks))
    return await asyncio.gather(*map(_seated, seats, talks))


def _held_out(user: str, question: str, seed: int) -> Wanted:
    messages = [{"role": "user", "content": question}]
    return Wanted(user=user, messages=messages, max_tokens=MAX_ANSWER_TOKENS, seed=seed)


async def _seated(seat: AbstractContextManager[None], work: Awaitable[T]) -> T:
    with seat:
        return await work


def _cpu_seconds() -> float:
    """Processor time of this process, and of what it has started."""
    seconds = time.process_time()
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has just ended
            times = child.cpu_times()
            seconds += times.user + times.system + times.children_user + times.children_system
    return seconds
