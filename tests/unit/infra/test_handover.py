from pathlib import Path

from infra.handover import hand_over, take_over
from infra.settings_file import load_settings

SECRETS = {
    "NEXTSTATE_API_KEYS": "acme:hunter2",
    "NEXTSTATE_ENGINE_ADMIN_API_KEY": "hunter2",
    "NEXTSTATE_KAFKA_SASL_PASSWORD": "hunter2",
}


def test_components_get_the_settings_of_the_run(tmp_path: Path) -> None:
    (tmp_path / "nextstate.toml").write_text("[kafka.client]\n'security.protocol' = 'SASL_SSL'\n[trainer]\nseed = 7\n")
    settings = load_settings(tmp_path / "nextstate.toml", ["gateway.port=1"], SECRETS)
    hand_over(settings, tmp_path / "settings.json")
    assert take_over(tmp_path / "settings.json", SECRETS) == settings


def test_the_file_between_them_holds_no_secret(tmp_path: Path) -> None:
    hand_over(load_settings(None, (), SECRETS), tmp_path / "settings.json")
    assert "hunter2" not in (tmp_path / "settings.json").read_text()
