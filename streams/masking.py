"""`mask_text` and `hide_in_logs`: no text that leaves a process holds a secret.

Owns what is hidden (the values it is told, passwords inside URLs, keys in their queries) and how that looks. Consumes
text, produces text; for logs it stands where every record is made, so also in front of what libraries write.
"""

import logging
import re
import traceback
from collections.abc import Iterable, Sequence
from typing import Any

MASK = "***"
MIN_CHARS = 4  # a shorter "secret" is in every other word, and hides nothing
# Up to the last "@" before a space: a password that should have been percent-encoded hides whole, too.
_PASSWORD_IN_URL = re.compile(r"(?<=://)[^\s\"'<>]*@")
_KEY_IN_QUERY = re.compile(r"(?<=[?&;])([^=&;\s]*(?:key|token|secret|passw|sig)[^=&;\s]*)=[^&;\s\"'<>]+", re.IGNORECASE)


def mask_text(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without these values, passwords inside URLs, and keys in the queries of URLs."""
    for secret in sorted({each for each in secrets if len(each) >= MIN_CHARS}, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return _KEY_IN_QUERY.sub(rf"\1={MASK}", _PASSWORD_IN_URL.sub(f"{MASK}@", text)) if "://" in text else text


def hide_in_logs(secrets: Iterable[str]) -> None:
    """From now on, no record that this process logs holds these values: not its text, and not its traceback."""
    make, hidden = logging.getLogRecordFactory(), tuple(secrets)

    def made(*args: Any, **kwargs: Any) -> logging.LogRecord:
        return _masked(make(*args, **kwargs), hidden)

    logging.setLogRecordFactory(made)


def _masked(record: logging.LogRecord, secrets: Sequence[str]) -> logging.LogRecord:
    try:
        said = record.getMessage()
    except (TypeError, ValueError):  # arguments that do not fit: logging itself says so, with where it happened
        return record
    if (clean := mask_text(said, secrets)) != said:
        record.msg, record.args = clean, None
    if record.exc_info and record.exc_info[0] is not None:
        lines = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        record.exc_text = mask_text(lines, secrets)  # what formatters print where it is there
    return record
