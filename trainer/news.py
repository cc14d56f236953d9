"""`News`: what others have said of a policy while it trains: the gate, the reloader, and who has people's words erased.

Consumes `promotions`, `reloads` and `erasures`, each record once and only when it is asked; produces what they say.
Owns a reader per topic, and what it has learnt. These topics are kept for ever: read from the beginning for each batch,
they would cost more with every version.
"""

import threading
from collections.abc import Iterator

from schemas.events import Event, PolicyLoaded, SubjectErased
from streams import topics
from streams.config import KafkaConfig
from streams.consumer import ANSWER_TIMEOUT_S
from streams.erasures import Erasure, Erasures
from streams.recorded import recorded
from streams.tail import LogTail
from streams.topics import Topic


class News:
    """Blocking, for one thread. What a look that failed had read is not told again: after an error begin anew."""

    def __init__(self, kafka: KafkaConfig, policy: str) -> None:
        self._kafka = kafka
        self._policy = policy
        self._erasures = Erasures()
        self._served: int | None = None
        self._tails = {
            topic: LogTail(kafka, topic, max_records=None, timeout_s=ANSWER_TIMEOUT_S, stop=threading.Event())
            for topic in (topics.PROMOTIONS, topics.RELOADS, topics.ERASURES)
        }

    def decisions(self) -> list[Event]:
        """What `promotions` says of the policy that was not told yet, the first time all.

        Raises:  BrokerUnavailableError, FatalError: as `LogTail`; the same for the others.
        """
        return [event for event in self._new(topics.PROMOTIONS) if event.policy == self._policy]

    def served_version(self) -> int | None:
        """The newest version that an engine has taken; None where none has. A restarted engine takes it first."""
        for event in self._new(topics.RELOADS):
            if isinstance(event, PolicyLoaded) and event.policy == self._policy:
                self._served = max(event.version, self._served or 0)
        return self._served

    def erasures(self) -> Erasures:
        """All there are."""
        for event in self._new(topics.ERASURES):
            if isinstance(event, SubjectErased):
                self._erasures.add(Erasure.of(event))
        return self._erasures

    def close(self) -> None:
        """Let go of Kafka."""
        for tail in self._tails.values():
            tail.close()

    def _new(self, topic: Topic) -> Iterator[Event]:
        for message in self._tails[topic].new_records(range(topic.partitions)):
            event = recorded(self._kafka, message).event
            if event is not None:
                yield event
