# OpenClaw: its own command with a provider in its configuration, one session, four messages; tools run without asking.

# connect:
# OpenClaw's own prompt has some 10,000 tokens: engine.context_length must hold it, and what is said.
export OPENCLAW_STATE_DIR="$HOME/.openclaw-nextstate" # beside a configuration of your own, which stays as it is
mkdir -p "$OPENCLAW_STATE_DIR"
cat > "$OPENCLAW_STATE_DIR/openclaw.json" <<'JSON'
{
  "models": {
    "providers": {
      "nextstate": {
        "baseUrl": "@URL@/v1",
        "apiKey": "@KEY@",
        "api": "openai-completions",
        "models": [
          {
            "id": "@MODEL@",
            "name": "@MODEL@",
            "contextWindow": @CONTEXT@,
            "maxTokens": @REPLY@,
            "input": ["text"]
          }
        ]
      }
    }
  },
  "agents": {"defaults": {"model": {"primary": "nextstate/@MODEL@"}}}
}
JSON
# connected.

say() { openclaw agent --local --session-id talk --message "$@" 2>> errors.log; }

say 'What is the weather in Rome and Oslo?'
say 'No, I meant in Fahrenheit.'
say 'And tomorrow?'
say 'Tell me a long story.' --timeout 10 || true # it stops by itself, in the middle
