"""The embedded broker as a process: what it keeps, and what it says when it cannot."""

import dataclasses
from pathlib import Path

import pytest

from infra.home import Home
from infra.kafka.broker import Broker
from infra.kafka.jars import fetch_jars
from infra.ports import choose_port
from infra.process import Process
from schemas.errors import MissingRuntimeError
from streams.admin import create_topics, verify_topics, wait_for_broker
from streams.config import KafkaConfig
from streams.topics import MAX_RECORD_BYTES

START_S = 60.0

pytestmark = pytest.mark.kafka


def on_new_ports(home: Home, folder: Path) -> Broker:
    jars = fetch_jars(home.jars, print)
    return Broker(jars=jars, folder=folder, port=choose_port(None, ""), controller_port=choose_port(None, ""))


def start(broker: Broker) -> Process:
    broker.prepare()
    process = Process.start("kafka", broker.command(), broker.folder / "kafka.log", {})
    wait_for_broker(KafkaConfig(bootstrap_servers=broker.bootstrap_servers), START_S)
    return process


def test_topics_survive_a_kill_and_other_ports(home: Home, tmp_path: Path) -> None:
    first = on_new_ports(home, tmp_path / "broker")
    process = start(first)
    create_topics(KafkaConfig(bootstrap_servers=first.bootstrap_servers))
    process.kill()
    second = on_new_ports(home, tmp_path / "broker")
    process = start(second)
    try:
        verify_topics(KafkaConfig(bootstrap_servers=second.bootstrap_servers))
    finally:
        process.stop()
    assert process.popen.returncode == 143  # Java's way to say: ended by SIGTERM, in order


def test_a_folder_that_cannot_be_formatted_is_one_sentence(home: Home, tmp_path: Path) -> None:
    broker = on_new_ports(home, tmp_path)
    (tmp_path / "data").write_text("a file where a folder should be")
    with pytest.raises(MissingRuntimeError, match=r"^Kafka could not format its folder .*data") as caught:
        broker.prepare()
    assert "\n" not in str(caught.value)


def test_the_broker_takes_records_as_large_as_the_topics_allow(home: Home, tmp_path: Path) -> None:
    broker = dataclasses.replace(on_new_ports(home, tmp_path), jars=())
    assert f"message.max.bytes={MAX_RECORD_BYTES}\n" in broker.properties()
