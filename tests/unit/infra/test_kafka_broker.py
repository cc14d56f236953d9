"""How a Kafka node is set up: alone, and as one of several that keep each other's records."""

from pathlib import Path

import pytest

from infra.kafka.broker import Broker, Cluster
from schemas.errors import SettingsError


def properties(**more: object) -> dict[str, str]:
    broker = Broker(jars=(), folder=Path("here"), port=9001, controller_port=9002, **more)  # type: ignore[arg-type]
    return dict(line.split("=", 1) for line in broker.properties().splitlines())


def test_a_node_alone_is_its_own_quorum_and_keeps_the_only_copy() -> None:
    alone = properties()
    assert (alone["node.id"], alone["controller.quorum.voters"]) == ("1", "1@127.0.0.1:9002")
    copies = {value for name, value in alone.items() if "replication.factor" in name or "min.i" in name}
    assert copies == {"1"}


def test_of_three_nodes_each_knows_all_and_any_one_may_be_lost() -> None:
    third = properties(node_id=3, cluster=Cluster("abc", {1: 9102, 2: 9202, 3: 9302}))
    assert third["node.id"] == "3"
    assert third["controller.quorum.voters"] == "1@127.0.0.1:9102,2@127.0.0.1:9202,3@127.0.0.1:9302"
    assert {value for name, value in third.items() if name.endswith("replication.factor")} == {"3"}
    assert {value for name, value in third.items() if name.endswith(("min.isr", "insync.replicas"))} == {"2"}


def test_a_folder_that_kafka_would_take_for_two_is_refused(tmp_path: Path) -> None:
    broker = Broker(jars=(), folder=tmp_path / "one, two", port=9001, controller_port=9002)
    with pytest.raises(SettingsError, match="a comma ends a path in its settings; set home to another one"):
        broker.prepare()
    assert not (tmp_path / "one, two").exists()
