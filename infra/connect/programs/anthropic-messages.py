"""The anthropic SDK with Messages: every reply streamed, results in one user message."""

# connect:
# $ export ANTHROPIC_BASE_URL=@URL@
# $ export ANTHROPIC_API_KEY=@KEY@
from anthropic import Anthropic

client = Anthropic()
MODEL = "@MODEL@"
# connected.

DEGREES = {"Rome": "21 degrees", "Oslo": "17 degrees"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ASKED = {
    "model": MODEL,
    "max_tokens": 1000,
    "system": "You know the weather.",
    "tools": [{"name": "weather", "description": "Of a city", "input_schema": SCHEMA}],
}
messages = []


def ask(text: str) -> str:
    """One turn, with the tools that it takes."""
    messages.append({"role": "user", "content": text})
    while True:
        with client.messages.stream(messages=messages, **ASKED) as stream:
            reply = stream.get_final_message()
        messages.append({"role": "assistant", "content": reply.content})
        if reply.stop_reason != "tool_use":
            return reply.content[0].text
        calls = [block for block in reply.content if block.type == "tool_use"]
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": DEGREES[call.input["city"]]} for call in calls
        ]
        messages.append({"role": "user", "content": results})


print(ask("What is the weather in Rome and Oslo?"))
print(ask("No, I meant in Fahrenheit."))
print(ask("And tomorrow?"))
messages.append({"role": "user", "content": "Tell me a long story."})
with client.messages.stream(messages=messages, **ASKED) as stream:
    for _, text in zip(range(8), stream.text_stream, strict=False):
        print(text, end="")
