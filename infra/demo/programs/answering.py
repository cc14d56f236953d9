"""`answer_lines`: requests come in as JSON lines, answers go out as JSON lines, many at once and in any order.

Shared by the programs beside it, each of which runs in the environment of its framework; so this needs Python alone.

    in:   {"id", "conversation", "user", "text", "temperature", "max_tokens"}
    out:  {"id", "answer"}, or {"id", "error"} where the framework gave up on it
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

Request = dict[str, Any]


async def answer_lines(answer: Callable[[Request], Awaitable[str]]) -> None:
    """Until the input ends."""
    async with asyncio.TaskGroup() as requests:
        while line := await asyncio.to_thread(sys.stdin.readline):
            requests.create_task(_answer(json.loads(line), answer))


async def _answer(request: Request, answer: Callable[[Request], Awaitable[str]]) -> None:
    try:
        told = {"answer": await answer(request)}
    except Exception as error:
        told = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps({"id": request["id"], **told}), flush=True)
