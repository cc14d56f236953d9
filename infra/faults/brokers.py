"""`brokers`: Kafka nodes of the suite's own, which nobody starts again but the fault that has ended them.

The stack takes them for an external Kafka (`kafka.bootstrap_servers`). They keep their ports while they are away.
"""

import asyncio
import os
import resource
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.faults.outcome import Trial
from infra.health import kafka_answers
from infra.kafka.broker import Broker, Cluster, new_cluster_id
from infra.kafka.jars import fetch_jars
from infra.ports import choose_lasting_port
from infra.prepare import runtime_home
from infra.process import Process, last_line
from schemas.errors import FatalError
from streams.config import KafkaConfig

START_WITHIN_S = 180.0  # 7 s on two idle cores
STOP_WITHIN_S = 60.0  # a node that is asked to stop hands its leadership over first
FULL_DISK_BYTES = 4096  # a file may not grow beyond it: every log segment is longer, its own report is not
_POLL_S = 0.1


@dataclass(slots=True)
class Node:
    """One broker, and what can happen to it. Nothing here waits for it to be up."""

    broker: Broker
    process: Process | None = None

    @property
    def log_file(self) -> Path:
        """What it says."""
        return self.broker.folder / "kafka.log"

    @property
    def is_running(self) -> bool:
        """Whether there is a process, frozen or not."""
        return self.process is not None and self.process.is_running()

    def start(self) -> None:
        """Begins a life."""
        self.process = Process.start(self.log_file.stem, self.broker.command(), self.log_file, {})

    def stop(self) -> None:
        """In order. Blocking."""
        self._living().stop(STOP_WITHIN_S)

    def kill(self) -> None:
        """`kill -9`."""
        self._living().kill()

    def freeze(self) -> None:
        """It keeps its connections, and answers nothing."""
        os.kill(self._living().pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on as if no time had passed."""
        os.kill(self._living().pid, signal.SIGCONT)

    def fill_disk(self) -> None:
        """From now on the kernel refuses its writes, as on a full disk: by the limit that each process has on files.

        The errno is EFBIG instead of ENOSPC; to Java both are an IOException, after which Kafka gives up the folder.
        """
        pid = self._living().pid
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (FULL_DISK_BYTES, hard))

    def _living(self) -> Process:
        if self.process is None:
            raise FatalError(f"Kafka node {self.broker.node_id} was never started.")
        return self.process


@dataclass(frozen=True, slots=True)
class Brokers:
    """Nodes that make one Kafka."""

    nodes: Mapping[int, Node]  # by id

    @property
    def kafka(self) -> KafkaConfig:
        """How to reach it; topics are on as many nodes as there are, but no more than 3."""
        servers = ",".join(node.broker.bootstrap_servers for node in self.nodes.values())
        return KafkaConfig(bootstrap_servers=servers, replication_factor=min(len(self.nodes), 3))

    async def until_up(self) -> None:
        """Returns when each of them answers.

        Raises:  FatalError: one has ended, or takes too long.
        """
        await asyncio.gather(*(_until_up(node) for node in self.nodes.values()))


@asynccontextmanager
async def brokers(trial: Trial, count: int = 1) -> AsyncIterator[Brokers]:
    """So many nodes, up and one Kafka for the length of the `async with`; their files lie in the trial's folder.

    Raises:  MissingRuntimeError: Kafka's jars or Java cannot be had; FatalError: a node does not come up.
    """
    made = Brokers(await asyncio.to_thread(_prepared, trial, count))
    try:
        for node in made.nodes.values():
            node.start()
        await made.until_up()
        yield made
    finally:
        for node in made.nodes.values():
            if node.is_running:
                node.kill()


def _prepared(trial: Trial, count: int) -> dict[int, Node]:
    jars = fetch_jars(runtime_home(trial.settings).jars, trial.report)
    controllers = {number: choose_lasting_port() for number in range(1, count + 1)}
    cluster = Cluster(new_cluster_id(), controllers) if count > 1 else None
    nodes = {}
    for number, controller_port in controllers.items():
        broker = Broker(
            jars=jars,
            folder=trial.folder / f"broker-{number}",
            port=choose_lasting_port(),
            controller_port=controller_port,
            node_id=number,
            cluster=cluster,
        )
        broker.prepare()
        nodes[number] = Node(broker)
    return nodes


async def _until_up(node: Node) -> None:
    is_up = kafka_answers(KafkaConfig(bootstrap_servers=node.broker.bootstrap_servers))
    end_s = time.monotonic() + START_WITHIN_S
    while not await is_up():
        if not node.is_running or time.monotonic() > end_s:
            said = last_line(node.log_file)
            raise FatalError(f"Kafka node {node.broker.node_id} does not come up; {node.log_file} ends: {said}")
        await asyncio.sleep(_POLL_S)
