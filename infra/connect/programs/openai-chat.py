"""The openai SDK with Chat Completions: tools by hand, as its guide shows them."""

# connect:
# $ export OPENAI_BASE_URL=@URL@/v1
# $ export OPENAI_API_KEY=@KEY@
from openai import OpenAI

client = OpenAI()
MODEL = "@MODEL@"
# connected.

import json

DEGREES = {"Rome": "21 degrees", "Oslo": "17 degrees"}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}]
messages = [{"role": "system", "content": "You know the weather."}]


def ask(text: str) -> str:
    """One turn, with the tools that it takes."""
    messages.append({"role": "user", "content": text})
    while True:
        reply = client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS).choices[0].message
        messages.append(reply)
        if not reply.tool_calls:
            return reply.content
        for call in reply.tool_calls:
            city = json.loads(call.function.arguments)["city"]
            messages.append({"role": "tool", "tool_call_id": call.id, "content": DEGREES[city]})


print(ask("What is the weather in Rome and Oslo?"))
print(ask("No, I meant in Fahrenheit."))
print(ask("And tomorrow?"))
messages.append({"role": "user", "content": "Tell me a long story."})
with client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS, stream=True) as stream:
    for _, chunk in zip(range(8), stream, strict=False):
        print(chunk.choices[0].delta.content or "", end="")
