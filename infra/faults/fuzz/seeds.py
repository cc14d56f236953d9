"""`golden_records` and `recorded_spans`: valid input that the tests hold: every event form, payloads of real clients.

The suite is run from a checkout, where they lie beside the code.
"""

from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import orjson

import infra
from schemas.errors import SettingsError

DATA = Path(infra.__file__).parents[1] / "tests" / "data"


class GoldenRecord(NamedTuple):
    """A record as it was once written."""

    headers: dict[str, str]
    value: bytes

    @property
    def type(self) -> str:
        """Its event type."""
        return self.headers["ce_type"]

    @property
    def is_batch(self) -> bool:
        """Whether its value is Arrow."""
        return self.type.startswith("nextstate.batch.sealed")


def golden_records() -> list[GoldenRecord]:
    """A record of every form in which an event was ever written."""
    return [_golden(orjson.loads(file.read_bytes())) for file in _files("golden", "*.json")]


def recorded_spans() -> Iterator[tuple[str, bytes]]:
    """Name and body of every recorded OTLP payload."""
    for file in (*_files("otlp", "*.pb"), *_files("otlp", "*.json")):
        yield file.name, file.read_bytes()


def _golden(record: dict[str, object]) -> GoldenRecord:
    value, packed = record.get("value"), record.get("value_base64")
    headers = record["headers"]
    assert isinstance(headers, dict)
    return GoldenRecord(headers, str(value).encode() if value is not None else b64decode(str(packed)))


def _files(folder: str, pattern: str) -> list[Path]:
    files = sorted((DATA / folder).glob(pattern))
    if not files:
        raise SettingsError(f"{DATA / folder} holds no recorded input; run the fault suite from a checkout.")
    return files
