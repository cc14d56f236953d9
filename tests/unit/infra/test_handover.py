from pathlib import Path

import orjson
import pytest

from infra.components import WORKERS, worker
from infra.handover import hand_over, secrets_of, take_over
from infra.home import Home
from infra.secrets import SECRETS
from infra.settings import Settings
from infra.settings_file import load_settings

GIVEN = {
    "NEXTSTATE_API_KEYS": "acme:hunter2, hunter3",
    "NEXTSTATE_ADMIN_KEY": "hunter4",
    "NEXTSTATE_ENGINE_API_KEY": "hunter2-of-users",
    "NEXTSTATE_ENGINE_ADMIN_API_KEY": "hunter2-of-admins",
    "NEXTSTATE_JUDGE_API_KEY": "hunter2-of-the-judge",
    "NEXTSTATE_KAFKA_SASL_PASSWORD": "hunter2-of-kafka",
}
COMPONENTS = ("kafka", "engine", *WORKERS, "archiver")


def load(folder: Path) -> Settings:
    (folder / "nextstate.toml").write_text("[kafka.client]\n'security.protocol' = 'SASL_SSL'\n[trainer]\nseed = 7\n")
    return load_settings(folder / "nextstate.toml", ["gateway.port=1"], GIVEN)


def test_components_get_the_settings_of_the_run(tmp_path: Path) -> None:
    settings = load(tmp_path)
    hand_over(settings, tmp_path / "settings.json")
    assert take_over(tmp_path / "settings.json", GIVEN) == settings


def test_a_component_has_the_secrets_that_it_works_with_and_no_other(tmp_path: Path) -> None:
    settings = load(tmp_path)
    hand_over(settings, tmp_path / "settings.json")
    gateway = take_over(tmp_path / "settings.json", secrets_of("gateway", settings))
    assert (gateway.gateway, gateway.kafka) == (settings.gateway, settings.kafka)
    assert (gateway.engine.api_key, gateway.engine.admin_api_key) == ("hunter2-of-users", None)
    assert gateway.judge.api_key is None
    processors = take_over(tmp_path / "settings.json", secrets_of("processors", settings))
    assert (processors.judge, processors.kafka) == (settings.judge, settings.kafka)
    assert not processors.gateway.api_keys
    assert not any(secrets_of("kafka", settings).values())


@pytest.mark.parametrize("component", COMPONENTS)
def test_what_is_not_a_components_own_does_not_reach_it_by_our_environment_either(
    component: str, tmp_path: Path
) -> None:
    assert secrets_of(component, load(tmp_path)).keys() == {secret.variable for secret in SECRETS}


@pytest.mark.parametrize("component", COMPONENTS)
def test_no_component_ever_has_a_key_for_the_gateway_in_clear(component: str, tmp_path: Path) -> None:
    given = secrets_of(component, load(tmp_path))
    assert not {"hunter2", "hunter3", "hunter4"} & {part for text in given.values() for part in text.split(":")}


def test_workers_are_started_with_their_own_secrets(tmp_path: Path) -> None:
    settings = load(tmp_path)
    for name in WORKERS:
        component = worker(name, Home(tmp_path), settings)
        assert secrets_of(name, settings).items() <= component.environment.items()


def test_the_file_between_them_holds_no_secret_and_is_its_owners_only(tmp_path: Path) -> None:
    hand_over(load(tmp_path), tmp_path / "settings.json")
    text = (tmp_path / "settings.json").read_text()
    assert "hunter2" not in text
    assert "sha256" not in text
    assert orjson.loads(text)["trainer"]["seed"] == 7
    assert (tmp_path / "settings.json").stat().st_mode & 0o077 == 0
