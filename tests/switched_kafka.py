"""A Kafka that acknowledges exactly when the test says so."""

import asyncio

from schemas.errors import MalformedEventError, NextstateError
from streams.codec import Encoded, decode
from streams.config import KafkaConfig
from streams.producer import EventProducer, Placed
from streams.topics import Topic


class SwitchedKafka(EventProducer):
    """Law: while `up`, a record is acknowledged at once, in order; while down, when it comes up again, if ever."""

    def __init__(self) -> None:
        super().__init__(KafkaConfig(), "test")
        self.up = True
        self.refusal: NextstateError | None = None
        self.delivered: list[str] = []
        self.stamps: list[int] = []  # of what is delivered
        self.unwanted: set[str] = set()
        self._waiting: list[tuple[asyncio.Future[Placed], Encoded]] = []

    def send_nowait(self, topic: Topic, encoded: Encoded) -> "asyncio.Future[Placed]":
        if self.refusal is not None:
            raise self.refusal
        if decode(encoded.headers, encoded.value).id in self.unwanted:
            raise MalformedEventError("The record is too large.")
        sent: asyncio.Future[Placed] = asyncio.get_running_loop().create_future()
        self._waiting.append((sent, encoded))
        if self.up:
            self.come_up()
        return sent

    def come_up(self) -> None:
        self.up = True
        for sent, encoded in self._waiting:
            self.delivered.append(decode(encoded.headers, encoded.value).id)
            self.stamps.append(int(dict(encoded.headers).get("ns_seq", b"-1")))
            if not sent.done():
                sent.set_result(Placed(topic="actions", partition=0, offset=len(self.delivered)))
        self._waiting.clear()
