"""openai-agents: the Runner of an agent, and a session that keeps each conversation.

Over Responses, its default, this framework takes an answer that reaches `max_tokens` for an error, whoever serves it,
and the demo's answers do reach it. So it is set to Chat Completions, as its documentation says.
"""

import asyncio
import sys
from functools import cache

from agents import Agent, ModelSettings, Runner, SQLiteSession, set_default_openai_api, set_default_openai_client
from answering import Request, answer_lines
from openai import AsyncOpenAI

set_default_openai_api("chat_completions")
set_default_openai_client(AsyncOpenAI(max_retries=0))  # a failed request must show as one
MODEL = sys.argv[1]
session_of = cache(SQLiteSession)  # in memory


async def answer(request: Request) -> str:
    """One turn: the user's words go in, the session adds what was said before."""
    settings = ModelSettings(
        temperature=request["temperature"],
        max_tokens=request["max_tokens"],
        extra_args={"user": request["user"]},
    )
    agent = Agent(name="assistant", model=MODEL, model_settings=settings)
    result = await Runner.run(agent, request["text"], session=session_of(request["conversation"]))
    return result.final_output


asyncio.run(answer_lines(answer))
