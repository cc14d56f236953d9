"""`try_keys_and_logins`: right and wrong keys at a real gateway, on a real Kafka that demands TLS and a login.

The gateway is started as `nextstate up` starts it, and only ever given digests of its keys; it logs in to Kafka. Then
everybody else is refused: at the gateway by key, at Kafka by password, certificate and protocol. At the end no key and
no password may be in any file of the home, in any log, or in any record.
"""

import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from infra.bench.gateway import engine
from infra.bench.live import served
from infra.components import ENVIRONMENT, worker
from infra.faults.outcome import Outcome, Trial
from infra.handover import hand_over
from infra.home import Home
from infra.kafka.broker import Broker
from infra.kafka.jars import fetch_jars
from infra.kafka.security import MECHANISMS, Security
from infra.ports import HOST, choose_port
from infra.prepare import model_folder, runtime_home
from infra.process import Process
from infra.settings import Settings
from schemas.errors import FatalError, NextstateError
from serving.config import EngineConfig, GatewayConfig
from serving.keys import key_digest, new_key
from streams.admin import create_topics, wait_for_broker
from streams.config import KafkaConfig
from streams.consumer import read_all
from streams.topics import ACTIONS, TOPICS

START_S = 300.0
REFUSAL_S = 60.0  # a refusal that takes longer is none: it waits for something
NUM_ROUNDS, NUM_ROUNDS_SHORT = 25, 2
KEPT = {".jar", ".gguf", ".safetensors"}  # files that nobody writes a key to; large


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """All that must never be seen again."""

    acme: str
    bolt: str
    admin: str
    wrong: str
    password: str

    @property
    def all(self) -> Mapping[str, str]:
        """By name."""
        return {name: getattr(self, name) for name in self.__slots__}


def try_keys_and_logins(trial: Trial) -> Outcome:
    """One stack of a guarded Kafka and a gateway."""
    security = Security(folder=trial.folder / "security")
    keys = Keys(acme=new_key(), bolt=new_key(), admin=new_key(), wrong=new_key(), password=security.password)
    with ExitStack() as stack:
        kafka = stack.enter_context(_guarded_kafka(trial, security))
        url = stack.enter_context(_gateway(trial, kafka, keys))
        wrong = list(_at_the_gateway(url, keys, rounds := NUM_ROUNDS_SHORT if trial.is_short else NUM_ROUNDS))
        refused = list(_at_kafka(kafka, security))
        answered = _count_answers(kafka)
        seen = [*_in_records(kafka, keys), *_in_files(trial.folder, keys)]
    requests = rounds * len(_expected(keys))
    expected = rounds * sum(status == 200 and body is not None for _, body, _, status in _expected(keys))
    return Outcome(
        tried=requests + len(_CLIENTS) + len(MECHANISMS),
        lost=max(expected - answered, 0),
        twice=max(answered - expected, 0),
        failed_requests=sum("was answered" in sentence for sentence in wrong),
        wrong=tuple([*wrong, *refused, *seen][:20]),
        note=f"{requests} requests, {len(_CLIENTS)} clients that Kafka refuses, by {' and '.join(MECHANISMS)}",
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


_SAY: dict[str, object] = {"model": "assistant", "messages": [{"role": "user", "content": "Hello."}]}
_Expected = tuple[str, dict[str, object] | None, str, int]  # path, body (None: GET), key, status


def _expected(keys: Keys) -> list[_Expected]:
    chat, metrics, models = "/v1/chat/completions", "/metrics", "/v1/models"
    return [
        *((chat, _SAY, key, 200) for key in (keys.acme, keys.bolt)),
        *((chat, _SAY, key, 401) for key in (keys.wrong, keys.admin, key_digest(keys.acme), keys.acme[:-1], "")),
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
                if any(hidden in response.text for hidden in keys.all.values()):
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


def _count_answers(kafka: KafkaConfig) -> int:
    return sum(1 for record in read_all(kafka, [ACTIONS]) if record.event is not None)


def _in_records(kafka: KafkaConfig, keys: Keys) -> Iterator[str]:
    for record in read_all(kafka, TOPICS):
        raw = repr((record.key, record.value, record.headers))
        yield from (f"{name} is in {record.topic}." for name, hidden in keys.all.items() if hidden in raw)


def _in_files(folder: Path, keys: Keys) -> Iterator[str]:
    """Kafka's own configuration has to hold its users; its log and its records have not."""
    own = {folder / "broker" / "server.properties"}
    for file in folder.rglob("*"):
        if not file.is_file() or file in own or file.suffix in KEPT:
            continue
        raw = file.read_bytes()
        yield from (f"{name} is in {file}." for name, hidden in keys.all.items() if hidden.encode() in raw)
