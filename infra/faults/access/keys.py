"""`try_keys_and_logins`: right and wrong keys at a real gateway, on a real Kafka that demands TLS and a login.

The gateway is started as `nextstate up` starts it, and only ever given digests of its keys; it logs in to Kafka. Then
everybody else is refused: at the gateway by key, at Kafka by password, certificate and protocol. No supervisor runs, so
what it leaves of a start is made here, of settings in which every secret is set: the file for the components, and the
event in `runs`. At the end no key and no password may be in any file of the home, in any log, or in any record.
"""

import asyncio
import secrets
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import httpx

from infra.bench.gateway import engine
from infra.bench.live import served
from infra.components import ENVIRONMENT, worker
from infra.faults.access.leaks import in_files, in_records, in_start
from infra.faults.outcome import Outcome, Trial
from infra.handover import hand_over, take_over
from infra.home import Home
from infra.kafka.broker import Broker
from infra.kafka.jars import fetch_jars
from infra.kafka.security import MECHANISMS, Security
from infra.ports import HOST, choose_port
from infra.prepare import model_folder, runtime_home
from infra.process import Process
from infra.secrets import ADMIN_KEY, API_KEYS, SECRETS
from infra.settings import Settings, run_configured
from schemas.errors import FatalError, NextstateError
from serving.config import EngineConfig, GatewayConfig, JudgeConfig
from serving.keys import key_digest, new_key
from streams.admin import create_topics, wait_for_broker
from streams.config import KafkaConfig
from streams.consumer import read_all
from streams.producer import EventProducer
from streams.recorded import Recorded
from streams.topics import ACTIONS, RUNS, TOPICS

START_S = 300.0
REFUSAL_S = 60.0  # a refusal that takes longer is none: it waits for something
NUM_ROUNDS, NUM_ROUNDS_SHORT = 25, 2
_PASSWORD = "NEXTSTATE_KAFKA_SASL_PASSWORD"
_OWN = {API_KEYS.variable, ADMIN_KEY.variable, _PASSWORD}
_UNUSED = [secret.variable for secret in SECRETS if secret.variable not in _OWN]  # a start has them, and nobody here


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """All that must never be seen again; and a word that must be."""

    acme: str = field(default_factory=new_key)
    bolt: str = field(default_factory=new_key)
    admin: str = field(default_factory=new_key)
    wrong: str = field(default_factory=new_key)
    in_url: str = field(default_factory=new_key)  # of a judge
    password: str
    word: str = field(default_factory=lambda: f"harmless-{secrets.token_hex()}")
    unused: Mapping[str, str] = field(default_factory=lambda: {name: new_key() for name in _UNUSED})

    @property
    def environment(self) -> Mapping[str, str]:
        """Every secret that a stack can have."""
        own = {API_KEYS.variable: f"acme:{self.acme},bolt:{self.bolt}", ADMIN_KEY.variable: self.admin}
        return {**self.unused, **own, _PASSWORD: self.password}

    @property
    def hidden(self) -> Mapping[str, str]:
        """What must never be seen again, by name."""
        own = {name: getattr(self, name) for name in ("acme", "bolt", "admin", "wrong", "in_url", "password")}
        return {**self.unused, **own}


def try_keys_and_logins(trial: Trial) -> Outcome:
    """One stack of a guarded Kafka and a gateway."""
    security = Security(folder=trial.folder / "security")
    keys = Keys(password=security.password)
    with ExitStack() as stack:
        kafka = stack.enter_context(_guarded_kafka(trial, security))
        url = stack.enter_context(_gateway(trial, kafka, keys))
        wrong = list(_at_the_gateway(url, keys, rounds := NUM_ROUNDS_SHORT if trial.is_short else NUM_ROUNDS))
        refused = list(_at_kafka(kafka, security))
        _start(kafka, Home(trial.folder / "home"), keys)
        records = list(read_all(kafka, TOPICS))
        seen = list(_seen(trial, records, keys))
    # By id: what Kafka acknowledges late lies in the log a second time, by the spool.
    answered = len({record.event.id for record in records if record.topic == ACTIONS.name and record.event is not None})
    requests = rounds * len(_expected(keys))
    expected = rounds * sum(status == 200 and body is not None for _, body, _, status in _expected(keys))
    return Outcome(
        tried=requests + len(_CLIENTS) + len(MECHANISMS),
        lost=max(expected - answered, 0),
        twice=max(answered - expected, 0),
        failed_requests=sum("was answered" in sentence for sentence in wrong),
        wrong=tuple([*wrong, *refused, *seen][:20]),
        note=f"{requests} requests, {len(_CLIENTS)} clients that Kafka refuses, by {' and '.join(MECHANISMS)}, "
        f"one recorded start with {len(keys.environment)} secrets",
    )


@contextmanager
def _guarded_kafka(trial: Trial, security: Security) -> Iterator[KafkaConfig]:
    jars = fetch_jars(runtime_home(trial.settings).jars, trial.report)
    ports = choose_port(None, ""), choose_port(None, "")
    broker = Broker(
        jars=jars, folder=trial.folder / "broker", port=ports[0], controller_port=ports[1], security=security
    )
    broker.prepare()
    process = Process.start("kafka", broker.command(), trial.folder / "logs" / "kafka.log", {})
    try:
        for mechanism in MECHANISMS:
            config = KafkaConfig(bootstrap_servers=broker.bootstrap_servers, client=security.client(mechanism))
            wait_for_broker(config, START_S)
        create_topics(config)
        yield config
    finally:
        process.stop()


@contextmanager
def _gateway(trial: Trial, kafka: KafkaConfig, keys: Keys) -> Iterator[str]:
    model, home, port = (
        str(model_folder(trial.settings, trial.report)),
        Home(trial.folder / "home"),
        choose_port(None, ""),
    )
    engine_port = choose_port(None, "")
    settings = Settings(
        home=home.root,
        kafka=kafka,
        engine=EngineConfig(url=f"http://{HOST}:{engine_port}", model_path=model),
        gateway=GatewayConfig(
            port=port,
            api_keys={key_digest(keys.acme): "acme", key_digest(keys.bolt): "bolt"},
            admin_key=key_digest(keys.admin),
        ),
        judge=JudgeConfig(model=keys.word),
    )
    home.root.mkdir(parents=True)
    hand_over(settings, home.settings_file)
    component = worker("gateway", home, settings)
    command = [sys.executable, "-m", engine.__name__, str(engine_port), model]
    with (
        served("engine", command, home.logs / "engine.log", ENVIRONMENT, f"{settings.engine.url}/health"),
        served("gateway", component.command, component.log_file, component.environment, f"http://{HOST}:{port}/health"),
    ):
        yield f"http://{HOST}:{port}"


_Expected = tuple[str, dict[str, object] | None, str, int]  # path, body (None: GET), key, status


def _expected(keys: Keys) -> list[_Expected]:
    chat, metrics, models = "/v1/chat/completions", "/metrics", "/v1/models"
    said: dict[str, object] = {"model": "assistant", "messages": [{"role": "user", "content": keys.word}]}
    return [
        *((chat, said, key, 200) for key in (keys.acme, keys.bolt)),
        *((chat, said, key, 401) for key in (keys.wrong, keys.admin, key_digest(keys.acme), keys.acme[:-1], "")),
        *((models, None, key, status) for key, status in ((keys.acme, 200), (keys.admin, 401), (keys.wrong, 401))),
        *((metrics, None, key, status) for key, status in ((keys.admin, 200), (keys.acme, 401), (keys.wrong, 401))),
        *((path, {}, keys.wrong, 401) for path in ("/v1/feedback", "/v1/events", "/v1/messages", "/v1/responses")),
    ]


def _at_the_gateway(url: str, keys: Keys, rounds: int) -> Iterator[str]:
    with httpx.Client(base_url=url, timeout=START_S, trust_env=False) as client:
        for number in range(rounds):
            for path, body, key, status in _expected(keys):
                name, value = ("authorization", f"Bearer {key}") if number % 2 else ("x-api-key", key)
                headers = {name: value} if key else {}
                response = client.request("GET" if body is None else "POST", path, json=body, headers=headers)
                if response.status_code != status:
                    yield f"{path} was answered with {response.status_code}, not {status}."
                if any(hidden in response.text for hidden in keys.hidden.values()):
                    yield f"{path} told a key."


_CLIENTS: Mapping[str, tuple[Mapping[str, str | None], str]] = {  # what is changed, and what the refusal speaks of
    "a wrong password": ({"sasl.password": secrets.token_hex()}, "refuses our login"),
    "an unknown user": ({"sasl.username": "nobody"}, "refuses our login"),
    "an authority that it does not trust": ({"ssl.ca.location": None}, "No TLS with Kafka"),
    "no TLS": ({"security.protocol": "SASL_PLAINTEXT", "ssl.ca.location": None}, "speaks TLS only"),
}


def _at_kafka(kafka: KafkaConfig, security: Security) -> Iterator[str]:
    for name, (changed, sentence) in _CLIENTS.items():
        client = {setting: text for setting, text in {**security.client(), **changed}.items() if text is not None}
        started_s = time.monotonic()
        try:
            wait_for_broker(kafka.model_copy(update={"client": client}), START_S)
        except FatalError as error:
            if sentence not in str(error) or time.monotonic() - started_s > REFUSAL_S:
                yield f"A client with {name} was refused late, or with: {error}"
        except NextstateError as error:
            yield f"A client with {name} was not told why: {error}"
        else:
            yield f"A client with {name} was let in."


def _start(kafka: KafkaConfig, home: Home, keys: Keys) -> None:
    """What `nextstate up` leaves of its settings: the file, and the event.

    A judge's url with a password in it goes to the event only: the file is its owner's, and may hold one.
    """
    settings = take_over(home.settings_file, keys.environment)
    hand_over(settings, home.settings_file)
    url = f"http://judge:{keys.in_url}@{HOST}/v1?api_key={keys.in_url}"
    recorded = settings.model_copy(update={"judge": settings.judge.model_copy(update={"url": url})})
    asyncio.run(_record(kafka, recorded))


async def _record(kafka: KafkaConfig, settings: Settings) -> None:
    producer = EventProducer(kafka, instance="supervisor")
    try:
        await producer.send(RUNS, run_configured(settings))
    finally:
        await producer.close()


def _seen(trial: Trial, records: Sequence[Recorded], keys: Keys) -> Iterator[str]:
    """Kafka's own configuration has to hold its users; its log and its records have not.

    Its segments are compressed, so of records only their own search can speak. Logs that are read have a line more.
    """
    home, own = Home(trial.folder / "home"), {trial.folder / "broker" / "server.properties"}
    logs = [home.logs / "gateway.log", trial.folder / "logs" / "kafka.log"]
    for log in logs:
        with log.open("a") as file:
            file.write(f"{keys.word}\n")
    yield from in_records(records, keys.hidden, word=keys.word, holders=[ACTIONS.name, RUNS.name])
    yield from in_files(trial.folder, keys.hidden, own=own, word=keys.word, holders=[home.settings_file, *logs])
    yield from in_start(records)
