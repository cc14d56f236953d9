# mini-swe-agent: its own command; a person confirms each step, rejects one with a comment, and sets new tasks.

# connect:
export OPENAI_BASE_URL=@URL@/v1
export OPENAI_API_KEY=@KEY@
export MSWEA_COST_TRACKING=ignore_errors
export MSWEA_MODEL_NAME=openai/@MODEL@
# connected.

export MSWEA_CONFIGURED=true LITELLM_LOCAL_MODEL_COST_MAP=True NO_COLOR=1 COLUMNS=120

# What the person types: Enter confirms. Kept open, so that the agent waits for its model, not for us.
typed() {
  printf '%s\n' '' 'No, I meant in Fahrenheit.' '' 'And tomorrow?' '' 'Tell me a long story.'
  for _ in $(seq 600); do grep -q 'Tell me a long story' shown.log && break; sleep 0.2; done
  sleep 3 # the story has begun; nobody waits for its end
  pkill -TERM -P $$ -x mini
}

typed | mini --task 'What is the weather in Rome and Oslo?' --output run.json > shown.log 2>&1
cat shown.log
