"""`epoch_ms`: the times that exports write, in their several ways, as milliseconds since 1970."""

from datetime import UTC, datetime
from typing import Any

_MILLISECONDS_FROM = 1e11  # as seconds this is the year 5138, as milliseconds 1973
_END_MS = 253_402_300_799_999  # of the year 9999: the last that RFC 3339 can write
_KEYS = ("timestamp", "time", "created_at", "created", "create_time")


def time_of(raw: dict[str, Any]) -> int | None:
    """The time that an object gives under one of the usual keys; None where there is none that can be read."""
    found = (epoch_ms(raw[key]) for key in _KEYS if key in raw)
    return next((time_ms for time_ms in found if time_ms is not None), None)


def epoch_ms(value: object) -> int | None:
    """Seconds, milliseconds (told apart by size) or ISO 8601 (UTC where it names no zone); None for anything else."""
    match value:
        case bool():
            return None
        case int() | float():
            return _writable(value if value >= _MILLISECONDS_FROM else value * 1000)
        case str():
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:
                return None
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return _writable(moment.timestamp() * 1000)
        case _:
            return None


def _writable(time_ms: float) -> int | None:
    return int(time_ms) if 0 < time_ms <= _END_MS else None  # no comparison holds for NaN
