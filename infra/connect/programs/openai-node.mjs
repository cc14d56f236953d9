// The openai SDK for Node with Chat Completions: every reply streamed, tools by hand.

// connect:
// $ export OPENAI_BASE_URL=@URL@/v1
// $ export OPENAI_API_KEY=@KEY@
import OpenAI from "openai";

const client = new OpenAI();
const model = "@MODEL@";
// connected.

const degrees = { Rome: "21 degrees", Oslo: "17 degrees" };
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = [{ type: "function", function: { name: "weather", parameters } }];
const messages = [{ role: "system", content: "You know the weather." }];

async function ask(text) {
  messages.push({ role: "user", content: text });
  for (;;) {
    const completion = await client.chat.completions.stream({ model, messages, tools }).finalChatCompletion();
    const reply = completion.choices[0].message;
    messages.push(reply);
    if (!reply.tool_calls?.length) return reply.content;
    for (const call of reply.tool_calls) {
      const { city } = JSON.parse(call.function.arguments);
      messages.push({ role: "tool", tool_call_id: call.id, content: degrees[city] });
    }
  }
}

console.log(await ask("What is the weather in Rome and Oslo?"));
console.log(await ask("No, I meant in Fahrenheit."));
console.log(await ask("And tomorrow?"));
messages.push({ role: "user", content: "Tell me a long story." });
let seen = 0;
for await (const chunk of await client.chat.completions.create({ model, messages, tools, stream: true })) {
  process.stdout.write(chunk.choices[0].delta.content ?? "");
  if (++seen === 8) break; // ends the request
}
