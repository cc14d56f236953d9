// Vercel's AI SDK with its provider for APIs like OpenAI's: it runs the tools, the last answer is streamed.

// connect:
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";

const nextstate = createOpenAICompatible({ name: "nextstate", baseURL: "@URL@/v1", apiKey: "@KEY@" });
const model = nextstate("@MODEL@");
// connected.

import { generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const degrees = { Rome: "21 degrees", Oslo: "17 degrees" };
const weather = tool({
  description: "Of a city",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => degrees[city],
});
const system = "You know the weather.";
const messages = [];

for (const content of ["What is the weather in Rome and Oslo?", "No, I meant in Fahrenheit.", "And tomorrow?"]) {
  messages.push({ role: "user", content });
  const { text, response } = await generateText({ model, system, messages, tools: { weather }, stopWhen: stepCountIs(5) });
  messages.push(...response.messages);
  console.log(text);
}
messages.push({ role: "user", content: "Tell me a long story." });
const leaving = new AbortController();
let seen = 0;
for await (const part of streamText({ model, system, messages, tools: { weather }, abortSignal: leaving.signal }).textStream) {
  process.stdout.write(part);
  if (++seen === 8) leaving.abort();
}
