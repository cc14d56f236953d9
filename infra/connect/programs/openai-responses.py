"""The openai SDK with Responses: earlier responses named by their id, results sent alone."""

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
TOOLS = [{"type": "function", "name": "weather", "parameters": PARAMETERS, "strict": False}]
previous = None


def ask(text: str) -> str:
    """One turn, with the tools that it takes."""
    global previous  # noqa: PLW0603 - a program of one page
    said = [{"role": "user", "content": text}]
    while True:
        reply = client.responses.create(model=MODEL, input=said, tools=TOOLS, previous_response_id=previous)
        previous = reply.id
        calls = [item for item in reply.output if item.type == "function_call"]
        if not calls:
            return reply.output_text
        said = [
            {
                "type": "function_call_output",
                "call_id": call.call_id,
                "output": DEGREES[json.loads(call.arguments)["city"]],
            }
            for call in calls
        ]


print(ask("What is the weather in Rome and Oslo?"))
print(ask("No, I meant in Fahrenheit."))
print(ask("And tomorrow?"))
with client.responses.stream(
    model=MODEL, input="Tell me a long story.", tools=TOOLS, previous_response_id=previous
) as stream:
    for _, event in zip(range(12), stream, strict=False):
        print(getattr(event, "delta", ""), end="")
