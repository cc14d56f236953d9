"""`read_tool_results`: what the output of tools and terminals says of the action that called them.

A result exists because the action asked for it, so a successful one is evidence for the action and an error evidence
against it. The strongest evidence decides: an exit code, then what the output states about itself (JSON fields, an
exit status, a test summary, an HTTP status), then the look of an error. Nothing, or an error deep inside a long text
that may only quote it, is an abstention; so are statuses that contradict each other, since anything may be quoted in an
output, and nothing there tells which of them is the command's own. One vote per result; one failure among parallel
results is a failure.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

import orjson

from schemas.events import Score
from schemas.judgement import Judgement

_EDGE_LINES: Final = 8  # tools put their status first or last; what stands between is what they were asked for
_EDGE_CHARS: Final = (
    50_000  # of each end of a text: patterns cost microseconds per character, and outputs are megabytes
)
_EXIT_STATUS: Final = re.compile(
    r"(?:\bexit(?:ed)?(?: with)?(?: code| status)?|\breturn ?code)[\"'>:= ]+(-?[0-9]+)", re.IGNORECASE
)
_FAILED_TESTS: Final = re.compile(
    r"\b[1-9]\d* (?:tests? )?(?:failed|failing|failures?|errors?)\b|\b(?:failures|errors|failed)[=: ]+[1-9]"
    r"|\btest result: FAILED|^--- FAIL\b",
    re.IGNORECASE | re.MULTILINE,
)
_PASSED_TESTS: Final = re.compile(r"\b[1-9]\d* (?:tests? )?(?:passed|passing)\b|\btest result: ok\b", re.IGNORECASE)
_HTTP_STATUS: Final = re.compile(
    r"\b(?:HTTP(?:/\d(?:\.\d)?)?(?: status)?(?: code)?|status code)[ :=]+(\d{3})\b", re.IGNORECASE
)
_ERROR: Final = re.compile(
    r"Traceback \(most recent call last\)"  # below, no `^\s*`: it would read all blank lines again from each of them
    r"|^[^\S\n]*(?:[\w.]+\.)?[A-Z]\w*(?:Error|Exception)\b(?::|$)"
    r"|^[^\S\n]*(?:[\w./-]+: )*(?:fatal(?: error)?|(?i:error)|panic)(?:\[\w+\])?:|\bERR!"
    r"|\bcommand not found\b|\bNo such file or directory\b|\bPermission denied\b|\bSegmentation fault\b"
    r"|\bcannot (?:access|open|stat|find)\b|\bConnection refused\b|\b(?:timed out|ENOENT|EACCES)\b",
    re.MULTILINE,
)
_ERROR_FIELDS: Final = ("error", "errors", "exception", "isError", "is_error")
_SUCCESS_FIELDS: Final = ("success", "ok")
_EXIT_FIELDS: Final = ("exit_code", "exitCode", "returncode", "return_code")
_STATUS_FIELDS: Final = ("status", "status_code", "statusCode")
_FAILED_STATES: Final = frozenset({"error", "failed", "failure", "fail"})


def read_tool_results(texts: Sequence[str], exit_code: int | None) -> Judgement:
    """The verdict of results alone, without a confidence: these are rules, not estimates.

    Args:    texts: one per result. exit_code: of the command, where there was one; it outweighs any text.
    """
    if exit_code is not None:
        return _judgement((1 if exit_code == 0 else -1,), "")
    if not any(text.strip() for text in texts):
        return _judgement((None,), "the tool returned nothing")
    return _judgement(tuple(map(_read, texts)), "the tool's result does not show whether the call worked")


def _judgement(votes: tuple[Score | None, ...], abstention: str) -> Judgement:
    cast = [vote for vote in votes if vote is not None]
    if not cast:
        return Judgement(score=None, votes=votes, abstention=abstention)
    return Judgement(score=min(cast), votes=votes)


def _read(text: str) -> Score | None:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return _read_text(text)
    return _read_fields(value) if isinstance(value, dict) else _read_value(value)


def _read_fields(fields: dict[str, Any]) -> Score | None:
    """A JSON object: what it says of itself, else that there is something."""
    failed = (
        any(fields.get(name) for name in _ERROR_FIELDS)
        or any(fields.get(name) is False for name in _SUCCESS_FIELDS)
        or any(_is_failure_code(fields.get(name)) for name in _EXIT_FIELDS)
        or any(_is_failed_state(fields.get(name)) for name in _STATUS_FIELDS)
    )
    return -1 if failed else 1 if fields else None


def _is_failure_code(value: object) -> bool:
    return isinstance(value, int) and value != 0


def _is_failed_state(value: object) -> bool:
    if isinstance(value, str):
        return value.lower() in _FAILED_STATES
    return isinstance(value, int) and value >= 400


def _read_value(value: object) -> Score | None:
    return None if value in (None, "", []) else 1


def _read_text(text: str) -> Score | None:
    text = text if len(text) <= 2 * _EDGE_CHARS else f"{text[:_EDGE_CHARS]}\n{text[-_EDGE_CHARS:]}"
    lines = text.strip().splitlines()
    if not lines:
        return None
    edges = "\n".join(lines if len(lines) <= 2 * _EDGE_LINES else lines[:_EDGE_LINES] + lines[-_EDGE_LINES:])
    if codes := _EXIT_STATUS.findall(edges):
        return _agreed([code.strip("-0") == "" for code in codes])
    if codes := _HTTP_STATUS.findall(edges):
        return _agreed([int(code) < 400 for code in codes])
    if _FAILED_TESTS.search(edges) or _ERROR.search(edges):
        return -1
    if _PASSED_TESTS.search(edges):
        return 1
    return None if _ERROR.search(text) else 1


def _agreed(successes: Sequence[bool]) -> Score | None:
    return 1 if all(successes) else None if any(successes) else -1
