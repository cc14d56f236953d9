# curl: the history is kept in a file of JSON by hand; `--retry` asks again, `--max-time` walks away.
set -eu

# connect:
export OPENAI_BASE_URL=@URL@/v1
export OPENAI_API_KEY=@KEY@
ask() {
  curl --silent --show-error --fail-with-body "$@" "$OPENAI_BASE_URL/chat/completions" \
    --header "authorization: Bearer $OPENAI_API_KEY" --header 'content-type: application/json' --data @request.json
}
# connected.

user() { printf '{"role": "user", "content": "%s"}' "$1"; }

# The reply's message, as it came: the text between `"message":` and the choice's next field.
message() { sed 's/.*"message"://; s/,"logprobs":null.*//; s/,"finish_reason".*//' reply.json; }

request() {
  printf '{"model": "@MODEL@", "messages": [%s], "tools": [%s]%s}' "$history" "$tools" "${1:-}" > request.json
}

call_id() { message | grep -o '"id":"call_[^"]*"' | sed -n "$1s/.*\"id\":\"\(.*\)\"/\1/p"; }

parameters='{"type": "object", "properties": {"city": {"type": "string"}}}'
tools='{"type": "function", "function": {"name": "weather", "parameters": '$parameters'}}'

history=$(user 'What is the weather in Rome and Oslo?')
request
ask --retry 2 > reply.json
results=$(printf '{"role": "tool", "tool_call_id": "%s", "content": "%s"}, {"role": "tool", "tool_call_id": "%s", "content": "%s"}' \
  "$(call_id 1)" '21 degrees' "$(call_id 2)" '17 degrees')
history="$history, $(message), $results"
request
ask --retry 2 > reply.json

for text in 'No, I meant in Fahrenheit.' 'And tomorrow?'; do
  message
  history="$history, $(message), $(user "$text")"
  request
  ask --retry 2 > reply.json
done
message
history="$history, $(message), $(user 'Tell me a long story.')"
request ', "stream": true'
ask --no-buffer --max-time 2 | sed -un 's/.*"content":"\([^"]*\)".*/\1/p' | tr -d '\n'
