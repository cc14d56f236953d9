"""openai-agents: an agent with a tool and a session in SQLite; it speaks Responses, streamed at the end."""

# connect:
# $ export OPENAI_BASE_URL=@URL@/v1
# $ export OPENAI_API_KEY=@KEY@
# $ export OPENAI_AGENTS_DISABLE_TRACING=1
from agents import Agent

agent = Agent(name="weather", instructions="You know the weather.", model="@MODEL@")
# connected.

import asyncio

from agents import Runner, SQLiteSession, function_tool

DEGREES = {"Rome": "21 degrees", "Oslo": "17 degrees"}


@function_tool
def weather(city: str) -> str:
    """Of a city."""
    return DEGREES[city]


async def main() -> None:
    """The conversation."""
    agent.tools = [weather]
    session = SQLiteSession("talk")
    for text in ("What is the weather in Rome and Oslo?", "No, I meant in Fahrenheit.", "And tomorrow?"):
        print((await Runner.run(agent, text, session=session)).final_output)
    result = Runner.run_streamed(agent, "Tell me a long story.", session=session)
    num_seen = 0
    async for event in result.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            print(event.data.delta, end="")
            num_seen += 1
        if num_seen == 8:
            break
    result.cancel()


asyncio.run(main())
