"""LangChain: `create_agent` on ChatOpenAI, with a checkpointer that keeps the conversation."""

# connect:
# $ export OPENAI_BASE_URL=@URL@/v1
# $ export OPENAI_API_KEY=@KEY@
from langchain_openai import ChatOpenAI

model = ChatOpenAI(model="@MODEL@")
# connected.

import asyncio
from contextlib import aclosing

from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver

DEGREES = {"Rome": "21 degrees", "Oslo": "17 degrees"}


def weather(city: str) -> str:
    """Of a city."""
    return DEGREES[city]


agent = create_agent(model, [weather], system_prompt="You know the weather.", checkpointer=InMemorySaver())
talk = {"configurable": {"thread_id": "talk"}}


async def main() -> None:
    """The conversation. A stream that is not async goes on behind a reader who has left."""
    for text in ("What is the weather in Rome and Oslo?", "No, I meant in Fahrenheit.", "And tomorrow?"):
        print((await agent.ainvoke({"messages": [{"role": "user", "content": text}]}, talk))["messages"][-1].text)
    story = {"messages": [{"role": "user", "content": "Tell me a long story."}]}
    num_seen = 0
    async with aclosing(agent.astream(story, talk, stream_mode="messages")) as parts:
        async for part, _about in parts:
            print(part.text, end="")
            num_seen += 1
            if num_seen == 8:
                break


asyncio.run(main())
