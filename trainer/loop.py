"""`run_trainer`: sealed batches in, published versions out, each action at most once. Start reading the trainer here.

Consumes `batches` of one policy, in order, and what others say of it (news.py). Waits for nothing but the next batch:
who serves, judges or reloads meets it only through topics. Produces, per batch, one new version, or none where nothing
in it trains.

A start:
  1. fence: `init` of the transactional producer shuts out an older trainer of this policy and settles what it left open
  2. read what is committed (resume.py), and remove the folder that a crash may have left
  3. load weights, optimizer and random generator of the newest version that the gate has not refused; without one,
     begin from the base model

A batch, and why `kill -9` is harmless at any point of it:
  4. poll the record behind the committed offset                        a kill: polled again
  5. sort its samples (batches.py): train, skip, reject                 a kill: sorted again; alike, but for erasures
  6. train (step.py); the weights move in memory only                   a kill: the weights of step 3, trained again
  7. save the version's folder, fsynced and renamed (checkpoint.py)     a kill: step 2 removes it
  8. one transaction (publish.py): checkpoint, trained entries, skips,  a kill: step 1 commits or aborts it as a whole
     rejections and the consumed offset
  9. only now the version counts here too; old folders go               a kill: they go after a later commit
Any failure from 6 on ends the process, because memory is then ahead of the log; the next start is step 1.

Before step 5 and before step 8 it hears what the gate said, and whether somebody rolled back (who does so fences it
out, trainer/rollback.py). Where that moves the version to continue from, what is in memory is thrown away and it starts
again from step 1. A batch that was under way then trains from there; one that was committed stays spent: its actions do
not train again.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from streams import topics
from streams.checkpoints import identify_base
from streams.client import FencedError
from streams.config import KafkaConfig
from streams.consumer import GroupConsumer, Recorded
from streams.heartbeat import Heartbeat
from streams.transactions import TransactionalProducer
from trainer.backends.torch import TorchBackend
from trainer.checkpoint import CheckpointStore
from trainer.config import TrainerConfig
from trainer.news import News
from trainer.objectives.registry import check_vocabulary
from trainer.publish import Publication, publish
from trainer.resume import read_committed, writer_of
from trainer.trainer import Trainer

_LOGGER = logging.getLogger(__name__)
_POLL_S = 1.0


class _Stopped(Exception):  # noqa: N818 - not an error
    """The step was abandoned because the trainer is to stop."""


def run_trainer(
    config: TrainerConfig,
    kafka: KafkaConfig,
    policy: str,
    *,
    model_path: Path,
    home: Path,
    heartbeat: Path,
    stop: threading.Event,
    ends_when_done: bool = False,
) -> None:
    """Trains `policy` until `stop` is set; a step under way is then abandoned before its next forward or backward pass.

    Args:    model_path: folder of the frozen base; home: where `checkpoints/` lies; heartbeat: touched from when it can
             train until it ends; ends_when_done: stop by itself when every sealed batch is trained.
    Raises:  FatalError: for the user to mend, or another trainer took over; RestartNeededError: start again now;
             BrokerUnavailableError: start again later.
    """
    is_done = False
    try:
        while not is_done:
            with _session(config, kafka, policy, model_path=model_path, home=home) as session:
                is_done = session.run(heartbeat, stop, ends_when_done=ends_when_done)
    except _Stopped:
        _LOGGER.info("policy %s stops; a batch that was under way stays in the log", policy)


@contextmanager
def _session(
    config: TrainerConfig, kafka: KafkaConfig, policy: str, *, model_path: Path, home: Path
) -> Iterator["_Session"]:
    """Steps 1 to 3."""
    backend = TorchBackend.load(model_path, config)
    check_vocabulary(config.objective, backend.vocab_size)
    producer = TransactionalProducer(kafka, writer_of(policy), instance=f"trainer-{policy}")
    consumer = GroupConsumer(kafka, writer_of(policy), (topics.BATCHES,), instance="0")
    news = News(kafka, policy)
    try:
        producer.init()  # 1
        trainer = Trainer(
            config=config,
            policy=policy,
            base_model=identify_base(model_path),
            backend=backend,
            store=CheckpointStore(home, policy),
            committed=read_committed(kafka, policy),  # 2
        )
        trainer.resume()
        yield _Session(trainer=trainer, producer=producer, consumer=consumer, news=news)
    finally:
        news.close()
        consumer.close()
        producer.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Session:
    """A trainer from one start to the next."""

    trainer: Trainer
    producer: TransactionalProducer
    consumer: GroupConsumer
    news: News

    def run(self, heartbeat: Path, stop: threading.Event, *, ends_when_done: bool) -> bool:
        """Returns: False where it has to start again from another version; True: every batch is trained."""
        trainer = self.trainer
        with Heartbeat(heartbeat) as pulse:  # only now: a trainer that cannot begin must not look healthy
            for recorded in self._batches(pulse, stop, ends_when_done=ends_when_done):  # 4
                if self._has_moved():
                    return False
                erasures = self.news.erasures()
                publication = trainer.train(recorded, lambda: _go_on(pulse, stop), erasures=erasures)
                if not self._published(recorded, publication):  # 8
                    return False
                trainer.adopt(publication)  # 9
                trainer.prune(self.news.served_version)
        return True

    def _published(self, recorded: Recorded, publication: Publication) -> bool:
        """Step 8, unless the version that was trained from is no longer the one to continue from."""
        if self._has_moved():
            self.trainer.abandon(publication)
            return False
        try:
            publish(self.producer, self.consumer, recorded, publication)
        except FencedError:
            if self._has_moved():  # whoever rolled back has fenced this one out; a folder is left to step 2
                return False
            raise
        return True

    def _has_moved(self) -> bool:
        return self.trainer.hear(self.news.decisions())

    def _batches(self, pulse: Heartbeat, stop: threading.Event, *, ends_when_done: bool) -> Iterator[Recorded]:
        while True:
            _go_on(pulse, stop)
            recorded = self.consumer.poll(_POLL_S)
            if recorded is None and ends_when_done and self.consumer.num_left() == 0:
                return
            if recorded is not None and self.trainer.concerns(recorded):
                yield recorded


def _go_on(pulse: Heartbeat, stop: threading.Event) -> None:
    pulse.progress()
    if stop.is_set():
        raise _Stopped
