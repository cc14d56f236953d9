"""`AgentRecorder`: records what another model answers a Python program, so that a policy of ours learns from it.

    recorder = AgentRecorder("localhost:9092", policy="assistant")

    @recorder.observe
    def ask(messages): return client.chat.completions.create(model="gpt-x", messages=messages)

Every request tells what followed the answer before it, tool results included, so calling `observe`d functions is all
that is needed; `conversation` names who talks, `next_state` and `feedback` say what no request will. Owns nothing but
the way to the worker (record_worker.py), which does all the work: a call here copies references and returns. Whatever
goes wrong is counted (`counts`), logged once per kind, and never raised. What is told is read within the next 50 ms or
so: lists of messages may grow meanwhile, but the messages in them may not change.
"""

import asyncio
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, cast, overload

from schemas.clock import now_ms
from schemas.events import Thumb, TurnType
from schemas.identity import new_id
from streams.config import KafkaConfig
from streams.observed import observed_id
from streams.record_items import Answer, Feedback, NextState, Turn
from streams.record_worker import Limits, Worker

F = TypeVar("F", bound=Callable[..., Any])
SPOOLS = Path("~/.local/state/nextstate/recorder")  # survives a restart of the machine, as /tmp does not
_FLUSH_S = 5.0


class Conversation:
    """Who talks, for the turns that are recorded inside it: `with recorder.conversation("ticket-7"): ...`.

    Also `async with`; each task and thread has its own. `last_action_id` is its newest answer.
    """

    def __init__(self, recorder: "AgentRecorder", session_id: str, subject: str) -> None:
        self.session_id = session_id
        self.subject = subject
        self.last_action_id: str | None = None
        self._recorder = recorder

    def __enter__(self) -> Self:
        _ENTERED.set((*_ENTERED.get(), self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        entered = _ENTERED.get()  # of a generator that another context closes: without this one
        inside = next((place for place in reversed(range(len(entered))) if entered[place] is self), len(entered))
        _ENTERED.set(entered[:inside] + entered[inside + 1 :])

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def feedback(self, **said: Any) -> None:
        """What somebody says of the last answer, told by whichever process; as `AgentRecorder.feedback`."""
        self._recorder.feedback(self.last_action_id or "", session_id=self.session_id, **said)

    def next_state(self, *messages: object, exit_code: int | None = None) -> None:
        """What followed the last answer, told by whichever process; as `AgentRecorder.next_state`."""
        last = self.last_action_id or ""
        self._recorder.next_state(last, *messages, exit_code=exit_code, session_id=self.session_id)


_ENTERED: ContextVar[tuple[Conversation, ...]] = ContextVar("nextstate_conversations", default=())  # innermost last


class AgentRecorder:
    """Records turns; safe for threads, tasks and forks. A context manager, or closed when the program ends.

    Args:    kafka: "host:port" of the stack's broker (`nextstate status` says it), or how to reach it; policy: learns
             from the turns; tenant, subject: whose they are; spool_folder: on disk, for while Kafka is away; limits:
             how much may wait.
    """

    def __init__(
        self,
        kafka: str | KafkaConfig,
        *,
        policy: str = "assistant",
        tenant: str = "default",
        subject: str = "",
        spool_folder: Path = SPOOLS,
        limits: Limits | None = None,
    ) -> None:
        config = KafkaConfig(bootstrap_servers=kafka) if isinstance(kafka, str) else kafka
        self._whose = (policy, tenant)
        self._subject = subject
        self._worker = Worker(config, spool_folder, limits or Limits())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    @property
    def counts(self) -> Mapping[str, int]:
        """Events that are safe (`kafka`, `spool`), and what went wrong.

        Calls that came to nothing: there was no room, or `close` did not wait for them (`dropped`), or it could not be
        said (`failed`). Turns that were recorded by themselves (`unmatched`): they answer what is not known here. How
        often Kafka could not be asked for what other processes have recorded (`unread`), and how often its client had
        to be opened anew for what is spooled (`undelivered`).
        """
        return dict(self._worker.counts)

    def record(
        self,
        messages: Iterable[object],
        reply: object,
        *,
        model: str = "",
        own_id: str | None = None,
        turn_type: TurnType = "main",
        request: Mapping[str, Any] | None = None,
    ) -> str:
        """Record one answer.

        Args:    messages: all that the model read, in OpenAI's form; reply: text, a message or a chat completion;
                 model: who gave it, where the reply does not say; own_id: the program's own name of it: the same again
                 counts once, also in another process and after a restart, as far back as can be read; turn_type:
                 "side" turns do not train; request: what else was asked for (`tools`, `temperature` ...).
        Returns: the action's id, for `feedback` and `next_state`.
        """
        policy, tenant = self._whose
        try:
            action_id = new_id() if own_id is None else observed_id(tenant, own_id)
            read = tuple(messages)
        except Exception as error:  # whatever a program gives, it goes on
            self._worker.trouble("failed", f"messages must be a list, and own_id a text: {error}")
            return new_id()
        session_id = subject = None
        if entered := _ENTERED.get():
            talk = entered[-1]
            session_id, subject, talk.last_action_id = talk.session_id, talk.subject, action_id
        self._worker.put(
            Turn(
                action_id=action_id,
                time_ms=now_ms(),
                policy=policy,
                tenant=tenant,
                subject=subject or self._subject,
                session_id=session_id,
                turn_type=turn_type,
                messages=read,
                reply=reply,
                model=model,
                request=request or {},
                has_own_id=own_id is not None,
            )
        )
        return action_id

    @overload
    def observe(self, function: F) -> F: ...

    @overload
    def observe(self, *, model: str = "", turn_type: TurnType = "main") -> Callable[[F], F]: ...

    def observe(
        self, function: F | None = None, *, model: str = "", turn_type: TurnType = "main"
    ) -> F | Callable[[F], F]:
        """Decorates a function, async or not, that reads messages and returns the reply to them.

        The messages are its parameter `messages`, else its first; its other arguments by keyword are the request. A
        call that raises is not recorded. Args: model, turn_type: as for `record`.
        """
        if function is None:
            return cast(Callable[[F], F], functools.partial(self._observed, model=model, turn_type=turn_type))
        return self._observed(function, model=model, turn_type=turn_type)

    def feedback(
        self,
        action_id: str,
        *,
        thumb: Thumb | None = None,
        rating: float | None = None,
        scale: tuple[float, float] | None = None,
        comment: str = "",
        session_id: str | None = None,
    ) -> None:
        """What somebody says of an answer outright.

        Args:    action_id: "": the last answer of the session; scale: the worst and the best rating that could be
                 given; session_id: of the conversation that the answer is in; quicker to find, if another process
                 recorded it.
        """
        self._worker.put(
            Feedback(
                id=new_id(),
                time_ms=now_ms(),
                answer=self._answer(action_id, session_id),
                thumb=thumb,
                rating=rating,
                scale=scale,
                comment=comment,
            )
        )

    def next_state(
        self, action_id: str, *messages: object, exit_code: int | None = None, session_id: str | None = None
    ) -> None:
        """What followed an answer, where no later request will say it; without a word or code: that it has ended.

        Args:    action_id, session_id: as for `feedback`.
        """
        answer = self._answer(action_id, session_id)
        self._worker.put(
            NextState(id=new_id(), time_ms=now_ms(), answer=answer, messages=messages, exit_code=exit_code)
        )

    def conversation(self, session_id: str | None = None, *, subject: str = "") -> Conversation:
        """A conversation to record in. Args: session_id: the program's name of it, the same after a restart."""
        return Conversation(self, new_id() if session_id is None else session_id, subject)

    def flush(self, timeout_s: float = _FLUSH_S) -> bool:
        """Wait until all that was told is safe, in Kafka or on disk; False: not in this time. Blocking."""
        return self._worker.flush(timeout_s)

    def close(self, timeout_s: float = _FLUSH_S) -> None:
        """Make safe what was told, up to `timeout_s`, and end. Blocking."""
        self._worker.close(timeout_s)

    def _answer(self, action_id: str, session_id: str | None) -> Answer:
        return Answer(tenant=self._whose[1], action_id=action_id, session_id=session_id)

    def _observed(self, function: F, *, model: str, turn_type: TurnType) -> F:
        place = _place_of_messages(function)

        def told(read: tuple[object, ...] | None, reply: object, request: Mapping[str, Any]) -> None:
            if read is None:
                self._worker.trouble("failed", f"{function!r} was called without a list of messages")
            else:
                self.record(read, reply, model=model, turn_type=turn_type, request=request)

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def waits(*args: Any, **request: Any) -> Any:
                read = _messages_in(args, request, place)
                reply = await function(*args, **request)
                told(read, reply, request)
                return reply

            return cast(F, waits)

        @functools.wraps(function)
        def calls(*args: Any, **request: Any) -> Any:
            read = _messages_in(args, request, place)
            reply = function(*args, **request)
            told(read, reply, request)
            return reply

        return cast(F, calls)


def _place_of_messages(function: Callable[..., Any]) -> int:
    """Where a function takes its messages, among positional arguments."""
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # many a function that is written in C tells none
        names = []
    return names.index("messages") if "messages" in names else int(names[:1] == ["self"])


def _messages_in(args: tuple[Any, ...], request: Mapping[str, Any], place: int) -> tuple[object, ...] | None:
    """The messages of a call, as they are before it: many a function appends its reply to them."""
    given = request.get("messages", args[place] if place < len(args) else None)
    return tuple(given) if isinstance(given, list | tuple) else None
