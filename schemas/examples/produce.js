// Tells nextstate, straight through Kafka, what another model answered and what the person said then.
//
//   npm install kafkajs
//   node produce.js localhost:9092 [prefix of topics]
//
// Where the broker is: `nextstate status`. Everything else that it needs to know is in ../json/topics.json.
const { randomUUID } = require("node:crypto");
const { Kafka, Partitioners } = require("kafkajs");
const wire = require("../json/topics.json");

const [brokers = "localhost:9092", prefix = ""] = process.argv.slice(2);

// One event as a record: CloudEvents 1.0 in binary mode. The same id again is the same event, and counts once.
function record(type, id, value) {
  const attributes = {
    ce_specversion: "1.0",
    ce_id: id,
    ce_type: type,
    ce_source: "my-agent",
    ce_time: new Date().toISOString(),
    "content-type": "application/json",
  };
  return { key: value.conversation_id, value: JSON.stringify(value), headers: attributes };
}

async function main() {
  const about = { policy: "assistant", conversation_id: randomUUID(), subject: "ada" };
  const actionId = randomUUID();
  const action = record("nextstate.action.taken.v2", actionId, {
    ...about,
    turn: 0,
    request_id: "",
    messages: [{ role: "user", content: "What is 2 + 2?" }],
    reply: { role: "assistant", content: "5" },
    model: "gpt-x", // who answered; the policy learns from it
    sampling: { temperature: 0.7 },
    finish_reason: "stop",
    // Only the words are known: no tokens, and nobody's log-probs.
    logprob_origin: "unscored",
    template_digest: "",
    prompt_ids: [],
    response_ids: [],
    response_logprobs: [],
    token_versions: [],
  });
  const nextState = record("nextstate.next_state.observed.v1", randomUUID(), {
    ...about,
    action_id: actionId,
    messages: [{ role: "user", content: "No, it is 4." }],
  });

  const kafka = new Kafka({ clientId: "my-agent", brokers: brokers.split(",") });
  // kafkajs' default partitioner hashes keys with murmur2, as the Java client does; topics.json calls it:
  console.assert(wire.partitioner === "murmur2_random");
  const producer = kafka.producer({ idempotent: true, createPartitioner: Partitioners.DefaultPartitioner });
  await producer.connect();
  await producer.send({ topic: `${prefix}actions`, acks: -1, messages: [action] });
  await producer.send({ topic: `${prefix}next-states`, acks: -1, messages: [nextState] });
  await producer.disconnect();
  console.log(actionId);
}

main().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
