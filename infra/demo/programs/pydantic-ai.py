"""Pydantic AI: an agent over Responses; it is handed its own messages of the conversation so far."""

import asyncio
import sys

from answering import Request, answer_lines
from openai import AsyncOpenAI
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.openai import OpenAIResponsesModel, OpenAIResponsesModelSettings
from pydantic_ai.providers.openai import OpenAIProvider

provider = OpenAIProvider(openai_client=AsyncOpenAI(max_retries=0))  # a failed request must show as one
agent = Agent(OpenAIResponsesModel(sys.argv[1], provider=provider))
histories: dict[str, list[ModelMessage]] = {}


async def answer(request: Request) -> str:
    """One turn: the user's words go in, with the messages of the conversation."""
    settings = OpenAIResponsesModelSettings(
        temperature=request["temperature"],
        max_tokens=request["max_tokens"],
        openai_user=request["user"],
    )
    conversation = request["conversation"]
    result = await agent.run(request["text"], message_history=histories.get(conversation), model_settings=settings)
    histories[conversation] = result.all_messages()
    return result.output


asyncio.run(answer_lines(answer))
