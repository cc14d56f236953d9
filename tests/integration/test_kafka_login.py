"""A real broker that demands TLS and a login: every client of ours gets in, and who may not is told why at once."""

import asyncio
import contextlib
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from example_events import ACTION
from processor_world import GOOD, action, next_state

from infra.home import Home
from infra.kafka.broker import Broker
from infra.kafka.jars import fetch_jars
from infra.kafka.security import MECHANISMS, Security
from infra.ports import choose_port
from infra.process import Process
from schemas.errors import BrokerUnavailableError, FatalError, NextstateError
from schemas.events import ActionTrained
from streams.admin import create_topics, verify_topics, wait_for_broker
from streams.archive.archiver import catch_up
from streams.archive.manifest import read_manifest
from streams.config import ArchiveConfig, KafkaConfig
from streams.consumer import GroupConsumer, follow, read_all
from streams.lags import group_lags
from streams.producer import EventProducer
from streams.query import LogQuery
from streams.topics import ACTIONS, NEXT_STATES, TRAINED, VERDICTS
from streams.transactions import TransactionalProducer

pytestmark = pytest.mark.kafka

START_S = 240.0
TESTS = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def guarded(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """One broker for all tests here."""
    folder = tmp_path_factory.mktemp("guarded")
    node = Broker(
        jars=fetch_jars(home.jars, print),
        folder=folder,
        port=choose_port(None, ""),
        controller_port=choose_port(None, ""),
        security=Security(folder=folder / "security"),
    )
    node.prepare()
    process = Process.start("kafka", node.command(), folder / "kafka.log", {})
    try:
        wait_for_broker(reach(node), START_S)
        yield node
    finally:
        process.kill()


def reach(broker: Broker, mechanism: str = MECHANISMS[0], prefix: str = "", **changed: str | None) -> KafkaConfig:
    """The broker, as who may log in; `changed` settings have "_" for ".", and None takes one away."""
    assert broker.security is not None
    client = broker.security.client(mechanism) | {name.replace("_", "."): text for name, text in changed.items()}
    given = {name: text for name, text in client.items() if text is not None}
    return KafkaConfig(bootstrap_servers=broker.bootstrap_servers, topic_prefix=prefix, client=given)


@pytest.fixture(params=MECHANISMS)
def kafka(guarded: Broker, request: pytest.FixtureRequest) -> KafkaConfig:
    """With topics of this test's own, by each way to log in."""
    config = reach(guarded, request.param, f"t{secrets.token_hex(4)}.")
    create_topics(config)
    return config


async def send(config: KafkaConfig, *events: object) -> None:
    producer = EventProducer(config, "test")
    try:
        for event in events:
            await producer.send(NEXT_STATES if type(event).__name__ == "NextStateObserved" else ACTIONS, event)
    finally:
        await producer.close()


async def test_topics_are_made_and_checked_records_sent_read_archived_and_asked_for(
    kafka: KafkaConfig, tmp_path: Path
) -> None:
    verify_topics(kafka)
    await send(kafka, *(replace(ACTION, id=f"a-{number}") for number in range(3)))
    wanted = ["a-0", "a-1", "a-2"]
    assert [record.event.id for record in read_all(kafka, [ACTIONS]) if record.event] == wanted
    seen = []
    async with contextlib.aclosing(follow(kafka, [ACTIONS], from_beginning=True)) as records:
        async for record in records:
            seen.append(record.event.id)
            if len(seen) == 3:
                break
    assert seen == wanted
    catch_up(ArchiveConfig(), kafka, tmp_path / "archive")
    assert sum(file.rows for file in read_manifest(tmp_path / "archive").files) == 3
    assert LogQuery(kafka).sql("SELECT count(*) FROM actions").rows == ((3,),)


async def test_a_transaction_takes_offsets_and_records_together(kafka: KafkaConfig) -> None:
    await send(kafka, ACTION)
    consumer = GroupConsumer(kafka, "workers", [ACTIONS], "0")
    producer = TransactionalProducer(kafka, "worker", instance="worker")
    try:
        producer.init()
        record = polled(consumer)
        with producer.transaction(consumer, record):
            producer.send(
                TRAINED,
                ActionTrained(id="y", time_ms=1, policy="assistant", action_id=ACTION.id, sample_id="s", version=1),
            )
    finally:
        producer.close()
        consumer.close()
    deadline = time.monotonic() + START_S  # a commit is acknowledged before its markers are in the partitions
    while not list(read_all(kafka, [TRAINED])) and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    assert [one.event.id for one in read_all(kafka, [TRAINED]) if one.event] == ["y"]
    assert group_lags(kafka) == {"workers": 0}


def polled(consumer: GroupConsumer) -> object:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if (record := consumer.poll(1.0)) is not None:
            return record
    raise AssertionError("nothing came")


async def test_the_processors_join_their_group_and_judge(kafka: KafkaConfig, tmp_path: Path) -> None:
    await send(kafka, action(), next_state(text=GOOD))
    process = Process.start(
        "processors",
        [sys.executable, str(TESTS / "processor_process.py"), kafka.model_dump_json(), str(tmp_path), "{}"],
        tmp_path / "log",
        {"OMP_NUM_THREADS": "1"},
    )
    try:
        await asyncio.to_thread(until, lambda: any(read_all(kafka, [VERDICTS])), tmp_path / "log", process)
    finally:
        process.kill()


def until(condition: Callable[[], bool], log: Path, process: Process) -> None:
    deadline = time.monotonic() + START_S
    while not condition():
        assert process.is_running(), log.read_text()[-2000:]
        assert time.monotonic() < deadline, log.read_text()[-2000:]
        time.sleep(0.5)


REFUSED = {
    "wrong password": ({"sasl_password": "hunter2"}, r"refuses our login: .*Authentication failed.*SASL_PASSWORD\.$"),
    "unknown user": ({"sasl_username": "nobody"}, r"refuses our login: .*Authentication failed.*SASL_PASSWORD\.$"),
    "other mechanism": ({"sasl_mechanism": "SCRAM-SHA-256"}, r"refuses our login: .*mechanism.*check sasl\.mechanism"),
    "untrusted authority": (
        {"ssl_ca_location": None},
        r"No TLS with Kafka at .*certificate.*check .*ssl\.ca\.location",
    ),
    "plain client": (
        dict.fromkeys(("security_protocol", "sasl_mechanism", "sasl_username", "sasl_password", "ssl_ca_location")),
        r"speaks TLS only, but security\.protocol in \[kafka\.client\] is PLAINTEXT: set it to SASL_SSL",
    ),
    "login without TLS": (
        {"security_protocol": "SASL_PLAINTEXT", "ssl_ca_location": None},
        r"is SASL_PLAINTEXT: set it",
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_who_is_refused_hears_why_in_one_sentence_and_soon(guarded: Broker, why: str) -> None:
    changed, sentence = REFUSED[why]
    started_s = time.monotonic()
    with pytest.raises(FatalError, match=sentence) as refused:
        wait_for_broker(reach(guarded, **changed), START_S)
    assert time.monotonic() - started_s < START_S / 2
    assert "\n" not in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_every_command_that_reads_the_log_says_it_too(guarded: Broker) -> None:
    config = reach(guarded, sasl_password="hunter2")
    for ask in (lambda: list(read_all(config, [ACTIONS])), lambda: verify_topics(config)):
        with pytest.raises(FatalError, match="refuses our login"):
            ask()


async def test_a_producer_that_may_not_log_in_never_says_that_a_record_is_safe(guarded: Broker) -> None:
    producer = EventProducer(reach(guarded, sasl_password="hunter2"), "test")
    try:
        sending = asyncio.create_task(producer.send(ACTIONS, ACTION))
        done, _ = await asyncio.wait({sending}, timeout=5.0)
        assert not done or isinstance(sending.exception(), NextstateError)
        sending.cancel()
    finally:
        await producer.close(0.1)


def test_the_broker_listens_on_loopback_only_and_shows_no_password(guarded: Broker) -> None:
    assert guarded.security is not None
    lines = dict(line.split("=", 1) for line in guarded.properties().splitlines())
    assert all("//127.0.0.1:" in listener for listener in lines["listeners"].split(","))
    assert guarded.security.password not in (guarded.folder / "kafka.log").read_text()
    assert guarded.security.password not in repr(guarded)


def test_a_broker_that_is_down_is_no_refusal() -> None:
    nowhere = KafkaConfig(bootstrap_servers=f"127.0.0.1:{choose_port(None, '')}")
    with pytest.raises(BrokerUnavailableError, match=r"within 1 s; is it running\?"):
        wait_for_broker(nowhere, 1.0)
