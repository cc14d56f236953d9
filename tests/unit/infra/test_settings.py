import os
from pathlib import Path

import orjson
import pytest

from infra.settings import Settings, run_configured
from infra.settings_file import load_settings
from schemas.errors import SettingsError
from serving.keys import key_digest


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def load(text: str, *options: str, **environment: str) -> Settings:
    Path("nextstate.toml").write_text(text)
    return load_settings(None, options, environment)


def refusal(text: str, *options: str, **environment: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(text, *options, **environment)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def test_without_a_file_the_defaults_hold() -> None:
    assert load_settings(None, (), {}) == Settings()


def test_what_one_table_asks_of_another_is_said_in_a_sentence() -> None:
    assert refusal("[trainer]\nkeep_checkpoints = 2") == (
        "trainer.keep_checkpoints is 2, but reload.keep_versions is 3: an engine that restarts loads that many from "
        "disk; set trainer.keep_checkpoints to at least 3."
    )


def test_the_file_beats_defaults_and_options_beat_the_file() -> None:
    settings = load("policy = 'mine'\n[gateway]\nport = 1\nmax_choices = 2", "gateway.port=3")
    assert (settings.policy, settings.gateway.port, settings.gateway.max_choices) == ("mine", 3, 2)


def test_option_values_are_toml_or_plain_text() -> None:
    settings = load("", "policy=plain", "engine.extra_args=['--tp', '2']", "gateway.default_top_p=0.5")
    assert settings.policy == "plain"
    assert settings.engine.extra_args == ("--tp", "2")
    assert settings.gateway.default_top_p == 0.5


def test_librdkafka_settings_keep_their_dots() -> None:
    assert load("", "kafka.client.security.protocol=SASL_SSL").kafka.client == {"security.protocol": "SASL_SSL"}


def test_an_unknown_key_names_the_file_and_the_closest_key() -> None:
    assert refusal("[gateway]\nprot = 1") == (
        "nextstate.toml: there is no setting gateway.prot; did you mean gateway.port?"
    )


def test_an_unknown_key_far_from_all_lists_what_is_known() -> None:
    assert refusal("[broker]\nzzz = 1") == "nextstate.toml: there is no setting broker.zzz; known here are port."


def test_an_unknown_key_of_an_option_names_the_option() -> None:
    assert refusal("", "gatewey.port=1").startswith("--set: there is no setting gatewey; did you mean gateway?")


def test_a_wrong_type_names_the_key_and_what_was_found() -> None:
    sentence = refusal("[gateway]\nport = 'http'")
    assert sentence.startswith("nextstate.toml: gateway.port is 'http', but input should be a valid integer")


def test_broken_toml_names_file_and_line() -> None:
    sentence = refusal("[gateway\nport = 1")
    assert sentence.startswith("nextstate.toml is not valid TOML: ")
    assert "line 1" in sentence


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(SettingsError, match=r"missing\.toml cannot be read"):
        load_settings(Path("missing.toml"), (), {})


def test_an_option_without_a_value_shows_how_to_write_it() -> None:
    assert "--set gateway.port=8001" in refusal("", "gateway.port")


def test_an_option_below_a_single_setting_is_refused() -> None:
    assert "policy is a single setting" in refusal("policy = 'a'", "policy.name=b")


@pytest.mark.parametrize("line", ["[judge]\napi_key = 'x'", "[kafka.client]\n'sasl.password' = 'x'"])
def test_a_secret_in_the_file_is_refused_and_not_repeated(line: str) -> None:
    sentence = refusal(line)
    assert "environment only" in sentence
    assert "'x'" not in sentence


def test_secrets_come_from_the_environment() -> None:
    settings = load("", NEXTSTATE_API_KEYS="k1, acme:k2", NEXTSTATE_KAFKA_SASL_PASSWORD="pw")
    assert settings.gateway.api_keys == {key_digest("k1"): "default", key_digest("k2"): "acme"}
    assert settings.kafka.client == {"sasl.password": "pw"}


def test_the_recorded_run_holds_no_secret() -> None:
    settings = load(
        "[judge]\nurl = 'http://user:hunter2@host/v1'",
        NEXTSTATE_API_KEYS="acme:hunter2",
        NEXTSTATE_ENGINE_API_KEY="hunter2",
        NEXTSTATE_KAFKA_SASL_PASSWORD="hunter2",
    )
    event = run_configured(settings)
    assert "hunter2" not in event.settings
    assert orjson.loads(event.settings)["judge"]["url"] == "http://***@host/v1"
    assert {"python", "nextstate", "torch"} <= event.versions.keys()


def test_a_policy_name_that_cannot_be_a_folder_is_refused() -> None:
    assert "policy is '../x'" in refusal("policy = '../x'")


def test_home_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(os.environ, "NEXTSTATE_HOME", str(tmp_path / "elsewhere"))
    assert load_settings(None, (), {}).home == tmp_path / "elsewhere"


@pytest.mark.parametrize(
    "text", ["port = " + "9" * 5000, "x = " + "[" * 5000, "x = " + "{a=" * 2000 + "1" + "}" * 2000]
)
def test_toml_that_ends_the_parser_is_a_sentence_too(text: str) -> None:
    assert refusal(text).startswith("nextstate.toml is not valid TOML: ")


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 5000])
def test_an_option_that_ends_the_parser_is_plain_text(value: str) -> None:
    sentence = refusal("", f"gateway.port={value}")
    assert sentence.startswith(f"--set: gateway.port is '{value[:5]}")
    assert len(sentence) < 300


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (f"[gateway]\nmax_body_bytes = {2**63}", "gateway.max_body_bytes is a number of more than 64 bits"),
        ("[gateway]\nmax_open_age_s = inf", "gateway.max_open_age_s is inf"),
        ("[gateway]\nmax_open_age_s = nan", "gateway.max_open_age_s is nan"),
    ],
)
def test_what_the_recorded_run_could_not_hold_is_refused(line: str, told: str) -> None:
    assert refusal(line).startswith(told)


def test_bytes_that_are_no_utf8_are_refused_and_a_secret_among_them_is_not_repeated() -> None:
    assert refusal("", "judge.model=\udcff").startswith("judge.model holds bytes that are no UTF-8")
    sentence = refusal("", NEXTSTATE_API_KEYS="hunter2\udcff")
    assert "NEXTSTATE_API_KEYS" in sentence
    assert "hunter2" not in sentence


def test_a_long_key_or_value_is_not_repeated_whole() -> None:
    assert len(refusal(f"{'x' * 5000} = 1")) < 1000
    assert len(refusal("", f"gateway.port={'x' * 70_000}")) < 300
    assert len(refusal("", "a\n" * 5000)) < 300


def test_printed_settings_show_no_secret() -> None:
    assert "hunter2" not in repr(load("", NEXTSTATE_KAFKA_SASL_PASSWORD="hunter2", NEXTSTATE_API_KEYS="hunter2"))
