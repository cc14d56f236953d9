"""`read_tool_result`: what a tool's or terminal's output says of the action that called it, by exit code and patterns.

A successful result is evidence for the action: it exists because the action asked for it. An error speaks against it.
Silence says nothing, so it is an abstention.
"""

import re
from typing import Final

import orjson

from schemas.events import Message, Score
from schemas.judgement import Judgement

# Each is a form in which tools report failure, wherever in their output it stands.
_FAILED: Final = re.compile(
    r"Traceback \(most recent call last\)"
    r"|^\s*(?:\w+\.)*\w*(?:Error|Exception)\b\s*[:(]"
    r"|^\s*(?:fatal|error|panic|ERR!)\b[:\[ ]"
    r"|\bcommand not found\b|\bNo such file or directory\b|\bPermission denied\b|\bSegmentation fault\b"
    r"|\b(?:exit|return)(?:ed)?(?: with)?(?: code| status)?[ :=]+[1-9]\d*\b"
    r"|\b[1-9]\d* (?:failed|failures?|errors?)\b"
    r"|\bHTTP(?:/\d(?:\.\d)?)?[ :]+[45]\d\d\b|\b(?:status|code)[\"']?[ :=]+[45]\d\d\b",
    re.MULTILINE,
)
_ERROR_KEYS: Final = ("error", "errors", "exception")


def read_tool_result(messages: tuple[Message, ...], exit_code: int | None) -> Judgement:
    """The verdict of tool messages alone.

    Args:    exit_code: of the command, where there was one; it outweighs any text.
    """
    texts = [message.content.strip() for message in messages if message.role == "tool"]
    if exit_code is not None:
        return _certain(1 if exit_code == 0 else -1)
    if any(_reports_failure(text) for text in texts):
        return _certain(-1)
    if not any(texts):
        return Judgement(score=None, votes=(None,), abstention="the tool returned nothing")
    return _certain(1)


def _reports_failure(text: str) -> bool:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return _FAILED.search(text) is not None
    if not isinstance(value, dict):
        return False
    failed = value.get("success") is False or value.get("ok") is False or value.get("isError") is True
    exit_code = value.get("exit_code", value.get("exitCode", value.get("returncode", 0)))
    return failed or exit_code not in {0, None} or any(value.get(key) for key in _ERROR_KEYS)


def _certain(score: Score) -> Judgement:
    return Judgement(score=score, votes=(score,), confidence=1.0)
