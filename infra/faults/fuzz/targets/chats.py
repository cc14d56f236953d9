"""Import formats in text: any file as OpenAI's messages, ShareGPT's conversations or OpenClaw's session lines.

The law: what the file is, or one sentence why it is nothing; of its lines, conversations whose events can be recorded
and bad lines with their reason and place.
"""

import json
from pathlib import Path

from infra.faults.fuzz.case import Case
from infra.faults.fuzz.json_damage import damaged, lines_damaged
from infra.faults.fuzz.target import Answer, Material, Target
from infra.faults.fuzz.targets.importing import imported

_TALK = [
    {"role": "system", "content": "You are brief."},
    {"role": "user", "content": "Weather?", "timestamp": 1_771_000_000},
    {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}}]},
    {"role": "tool", "tool_call_id": "c", "content": "21 C"},
    {"role": "assistant", "content": [{"type": "text", "text": "21 degrees."}]},
]
_OPENAI = {
    "messages": _TALK,
    "tools": [{"type": "function", "function": {"name": "weather"}}],
    "model": "m",
    "user": "u",
}
_OLDEST = {
    "messages": [_TALK[1], {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}],
    "created": 1,
}
_SHAREGPT = {
    "conversations": [
        {"from": "human", "value": "Hello?", "time": "2026-01-31T12:00:00Z"},
        {"from": "function_call", "value": '{"name": "f", "arguments": {"a": 1}}'},
        {"from": "observation", "value": "21 C"},
        {"from": "gpt", "value": "Yes."},
    ],
    "system": "You are brief.",
    "tools": '[{"name": "f"}]',
}
SESSION: tuple[dict[str, object], ...] = (
    {"type": "session", "version": 4, "id": "s1", "timestamp": "2026-11-22T09:29:00Z"},
    {
        "type": "message",
        "id": "e1",
        "parentId": None,
        "message": {"role": "user", "content": "Eggs?", "timestamp": 1e12},
    },
    {
        "type": "message",
        "id": "e2",
        "parentId": "e1",
        "timestamp": "2026-11-22T09:29:14Z",
        "message": {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm."},
                {"type": "toolCall", "id": "c", "name": "exec", "arguments": {"command": "ls"}},
            ],
            "model": "m",
            "stopReason": "toolUse",
        },
    },
    {
        "type": "message",
        "id": "e3",
        "parentId": "e2",
        "message": {
            "role": "toolResult",
            "content": [{"type": "text", "text": "none"}],
            "toolCallId": "c",
            "details": {"exitCode": 1},
        },
    },
    {"type": "message", "id": "e4", "parentId": "e3", "message": {"role": "assistant", "content": "Nothing there."}},
)


def make(name: str, folder: Path) -> Target:  # noqa: ARG001 - every target's form
    """The target."""
    return Chats(folder)


class Chats:
    """One file at a time."""

    def __init__(self, folder: Path) -> None:
        lines = ([_OPENAI, _OLDEST, _OPENAI], [_SHAREGPT, _SHAREGPT], SESSION)
        bodies = ["\n".join(map(json.dumps, some)).encode() for some in lines]
        bodies += [json.dumps([_OPENAI, _OLDEST]).encode(), json.dumps(_SHAREGPT, indent=1).encode()]
        bodies += [b"\xef\xbb\xbf" + bodies[0].replace(b"\n", b"\r\n\r\n")]
        self.material = Material(seeds=[Case({}, body) for body in bodies], mutators=(damaged, lines_damaged))
        self._file = folder / "chats"

    def fresh(self) -> None:
        """Nothing is kept between files."""

    def attempt(self, case: Case) -> Answer:
        """One file."""
        return imported(self._file, case.body)
