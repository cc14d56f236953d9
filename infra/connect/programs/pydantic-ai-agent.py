"""Pydantic AI: an agent with a tool; it calls tools side by side, and keeps its messages itself."""

# connect:
# $ export OPENAI_BASE_URL=@URL@/v1
# $ export OPENAI_API_KEY=@KEY@
from pydantic_ai import Agent

agent = Agent("openai-chat:@MODEL@", instructions="You know the weather.")
# connected.

import asyncio

DEGREES = {"Rome": "21 degrees", "Oslo": "17 degrees"}


@agent.tool_plain
def weather(city: str) -> str:
    """Of a city."""
    return DEGREES[city]


async def main() -> None:
    """The conversation."""
    history = None
    for text in ("What is the weather in Rome and Oslo?", "No, I meant in Fahrenheit.", "And tomorrow?"):
        result = await agent.run(text, message_history=history)
        history = result.all_messages()
        print(result.output)
    async with agent.run_stream("Tell me a long story.", message_history=history) as story:
        parts = story.stream_text(delta=True, debounce_by=None)
        for _ in range(8):
            print(await anext(parts), end="")
        await parts.aclose()


asyncio.run(main())
