"""`ReadLog`: how a stage recalls what it has already written, from the log itself.

A stage without tables reads its own output topics before its first record: what is there was done. Blocking; waits for
a broker that is away.
"""

import functools
import logging
import time
from collections.abc import Callable, Iterator, Sequence

from schemas.errors import BrokerUnavailableError
from schemas.events import Event
from streams.config import KafkaConfig
from streams.consumer import read_all
from streams.topics import Topic

MAX_REMEMBERED = 200_000  # ids, about 25 MB; records that repeat come within seconds of the first
RETRY_S = 1.0

ReadLog = Callable[[Sequence[Topic], int | None], Iterator[Event]]  # topics, and since when (epoch ms)

_LOGGER = logging.getLogger(__name__)


def log_of(kafka: KafkaConfig) -> ReadLog:
    """Reads the log on a broker. After an interruption it begins again, so events may come twice."""
    return functools.partial(_read, kafka)


def _read(kafka: KafkaConfig, topics: Sequence[Topic], since_ms: int | None) -> Iterator[Event]:
    while True:
        try:
            yield from (record.event for record in read_all(kafka, topics, since_ms=since_ms) if record.event)
        except BrokerUnavailableError as error:
            _LOGGER.warning("%s", error)
            time.sleep(RETRY_S)
        else:
            return
