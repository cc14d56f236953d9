# OpenClaw: its own command with a provider in its configuration, one session, four messages; tools run without asking.

# connect:
export OPENCLAW_STATE_DIR="$HOME/.openclaw"
mkdir -p "$OPENCLAW_STATE_DIR"
cat > "$OPENCLAW_STATE_DIR/openclaw.json" <<'JSON'
{
  "models": {
    "providers": {
      "nextstate": {
        "baseUrl": "@URL@/v1",
        "apiKey": "@KEY@",
        "api": "openai-completions",
        "models": [{"id": "@MODEL@", "name": "@MODEL@", "contextWindow": 65536, "maxTokens": 4096, "input": ["text"]}]
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
