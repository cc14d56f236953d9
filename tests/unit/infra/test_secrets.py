"""Secrets come from the environment, are kept as little as can be, and leave the process nowhere."""

import io
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from string import ascii_letters, digits

import orjson
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from infra.cli import nextstate
from infra.commands.connect import show_lines
from infra.secrets import ADMIN_KEY, API_KEYS, SECRETS, Secret, client_key, masked, refuse_secrets
from infra.settings import Settings, private, run_configured
from infra.settings_file import load_settings
from infra.stack import gateway_url, refuse_open_doors
from schemas.errors import SettingsError
from serving.config import EngineConfig, GatewayConfig
from serving.keys import key_digest
from streams.masking import hide_in_logs, mask_text

DIGEST = key_digest("k1")
Words = st.text(alphabet=ascii_letters + digits + "-_", min_size=12, max_size=40).map("s3cret-".__add__)


def keys(text: str) -> dict[str, str]:
    return load_settings(None, (), {API_KEYS.variable: text}).gateway.api_keys


@pytest.mark.parametrize(
    ("item", "kept"),
    [
        ("k1", {DIGEST: "default"}),
        (" acme:k1 ,", {DIGEST: "acme"}),
        (DIGEST, {DIGEST: "default"}),
        (f"acme:{DIGEST}", {DIGEST: "acme"}),
        (f"acme:{DIGEST.upper().replace('SHA', 'sha')}", {DIGEST: "acme"}),
        ("a:b:k1", {DIGEST: "a:b"}),
        (f"k2,bolt:{DIGEST}", {key_digest("k2"): "default", DIGEST: "bolt"}),
    ],
)
def test_a_key_is_kept_as_its_digest_which_may_be_given_instead(item: str, kept: dict[str, str]) -> None:
    assert keys(item) == kept


@pytest.mark.parametrize("item", ["sha256:12", "acme:sha256:" + "g" * 64, "acme:", "a key", "kl\u00e9", "acme:sha256:"])
def test_what_is_neither_is_refused_and_not_repeated(item: str) -> None:
    with pytest.raises(SettingsError, match=r"NEXTSTATE_API_KEYS: item 2 is no (key|digest): ") as refused:
        keys(f"k1,{item}")
    assert item.rpartition(":")[2] == "" or item.rpartition(":")[2] not in str(refused.value)


def test_a_configuration_cannot_hold_a_key_in_clear() -> None:
    for settings in ({"api_keys": {"k1": "acme"}}, {"admin_key": "k1"}):
        with pytest.raises(ValueError, match="never in clear") as refused:
            GatewayConfig.model_validate(settings)
        assert "k1" not in str(refused.value)


def test_admins_have_a_key_of_their_own() -> None:
    with pytest.raises(SettingsError, match="take another key for admins"):
        load_settings(None, (), {API_KEYS.variable: "k1", ADMIN_KEY.variable: "k1"})


def test_a_client_of_ours_has_its_key_from_the_environment_or_says_that_it_has_none() -> None:
    assert client_key({}) is None
    assert client_key({API_KEYS.variable: f"bolt:{DIGEST}, acme:k2, k3"}) == "k2"
    with pytest.raises(SettingsError, match="digests only"):
        client_key({API_KEYS.variable: f"bolt:{DIGEST}"})


def test_connect_needs_a_key_that_opens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(API_KEYS.variable, DIGEST)
    with pytest.raises(SettingsError, match="set it to a key for this command"):
        show_lines(Settings(home=tmp_path), "openai", as_json=False)


def test_a_new_key_is_printed_once_with_what_a_server_is_given() -> None:
    shown = [CliRunner().invoke(nextstate, ["key", "--tenant", "acme", "--json"]).stdout for _ in range(2)]
    told = [orjson.loads(line) for line in shown]
    assert told[0]["key"] != told[1]["key"]
    assert keys(told[0]["server"]) == {key_digest(told[0]["key"]): "acme"}
    assert len(told[0]["key"]) > 40


OPEN = ("0.0.0.0", "::", "", "192.168.1.7", "fe80::1", "example.org")


@pytest.mark.parametrize("host", OPEN)
def test_a_gateway_that_others_reach_is_refused_without_keys(host: str) -> None:
    settings = Settings(gateway=GatewayConfig(host=host))
    with pytest.raises(SettingsError, match=r"gateway\.host is .* set NEXTSTATE_API_KEYS .* 127\.0\.0\.1\.$"):
        refuse_open_doors(settings)
    refuse_open_doors(Settings(gateway=GatewayConfig(host=host, api_keys={DIGEST: "acme"})))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_on_loopback_no_key_is_needed(host: str) -> None:
    refuse_open_doors(Settings(gateway=GatewayConfig(host=host)))


@pytest.mark.parametrize(
    "extra", [("--host", "0.0.0.0"), ("--host=::",), ("--tp", "2", "--host", "10.0.0.1"), ("--host",)]
)
def test_an_engine_that_others_reach_is_refused_without_a_key(extra: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError, match=r"engine\.extra_args .* NEXTSTATE_ENGINE_API_KEY"):
        refuse_open_doors(Settings(engine=EngineConfig(extra_args=extra)))
    refuse_open_doors(Settings(engine=EngineConfig(extra_args=extra, api_key="k")))
    refuse_open_doors(Settings(engine=EngineConfig(extra_args=extra, url="http://engine:1")))  # not ours


@pytest.mark.parametrize("extra", [("--api-key", "hunter2"), ("--admin-api-key=hunter2",)])
def test_an_engines_key_on_its_command_line_is_refused_and_not_repeated(extra: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError, match="everybody on this machine can see") as refused:
        refuse_open_doors(Settings(engine=EngineConfig(extra_args=extra)))
    assert "hunter2" not in str(refused.value)


def test_a_stack_of_our_own_is_on_loopback_and_asks_for_no_key() -> None:
    open_to_all = GatewayConfig(host="0.0.0.0", port=1, api_keys={DIGEST: "a"}, admin_key=key_digest("k2"))
    assert private(Settings(gateway=open_to_all)).gateway == GatewayConfig(port=1)


@pytest.mark.parametrize(
    ("host", "url"),
    [("::1", "http://[::1]:1"), ("::", "http://127.0.0.1:1"), ("10.0.0.1", "http://10.0.0.1:1")],
)
def test_an_address_of_version_6_is_a_url_too(host: str, url: str) -> None:
    assert gateway_url(Settings(gateway=GatewayConfig(host=host, port=1))) == url


@given(st.sets(st.sampled_from(SECRETS)), Words, Words, st.sampled_from("@:#/?&= é"))
def test_the_recorded_run_holds_no_secret_of_any_kind(set_ones: set[Secret], word: str, in_url: str, odd: str) -> None:
    environment = {secret.variable: f"{word}{number}" for number, secret in enumerate(set_ones)}
    settings = load_settings(None, ["judge.url=http://h/v1"], environment)
    judge = settings.judge.model_copy(
        update={"url": f"http://user:{in_url}{odd.strip()}{in_url}@host/v1?api_key={in_url}&x=1"}
    )
    recorded = run_configured(settings.model_copy(update={"judge": judge})).settings
    for hidden in (*environment.values(), *map(key_digest, environment.values()), in_url):
        assert hidden not in recorded
    assert "host/v1" in recorded


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret.setting)
def test_no_secret_may_stand_in_a_file(secret: Secret) -> None:
    table = (
        {"kafka": {"client": {secret.path[-1]: "s3cret"}}}
        if secret.path[0] == "kafka"
        else {secret.path[0]: {secret.path[1]: "s3cret"}}
    )
    with pytest.raises(SettingsError, match=secret.variable) as refused:
        refuse_secrets(table, "nextstate.toml")
    assert "s3cret" not in str(refused.value)
    assert "s3cret" not in str(masked(table))


@contextmanager
def logging_to(stream: io.StringIO) -> Iterator[logging.Logger]:
    """A logger as a component's is, without its secrets told to the rest of this process."""
    make, logger, handler = logging.getLogRecordFactory(), logging.getLogger("masked"), logging.StreamHandler(stream)
    logger.addHandler(handler)
    try:
        yield logger
    finally:
        logger.removeHandler(handler)
        logging.setLogRecordFactory(make)


@given(Words, st.text())
def test_no_line_of_a_log_holds_a_secret_whatever_is_logged(secret: str, other: str) -> None:
    stream = io.StringIO()
    with logging_to(stream) as logger:
        hide_in_logs([secret])
        logger.warning("%s and %s", secret, other)
        logger.warning(f"{other}{secret}{other}".replace("%", "%%"))
        logger.warning({"password": secret})
        try:
            int(f"{secret} is no number")
        except ValueError:
            logger.exception("it failed: http://user:%s@host", secret)
    assert secret not in stream.getvalue()
    assert stream.getvalue().count("***") >= 4
    assert "Traceback" in stream.getvalue()


def test_what_holds_no_secret_is_logged_as_it_is() -> None:
    stream = io.StringIO()
    with logging_to(stream) as logger:
        hide_in_logs(["s3cret", ""])
        logger.warning("%d of %s", 1, "an@b.org")
    assert stream.getvalue() == "1 of an@b.org\n"


@given(Words, Words)
def test_a_url_keeps_all_but_its_password(user: str, password: str) -> None:
    assert mask_text(f"at https://{user}:{password}@h:1/v1?q=1 now") == "at https://***@h:1/v1?q=1 now"
    assert mask_text(f"https://h/v1?api_key={password}&x=1") == "https://h/v1?api_key=***&x=1"


def test_a_component_hides_its_own_secrets_also_in_its_last_words(tmp_path: Path) -> None:
    """A settings file that cannot be taken over says so with the value that is wrong: here a secret's."""
    (tmp_path / "settings.json").write_bytes(orjson.dumps(Settings(home=tmp_path).model_dump(mode="json")))
    code = """
import sys, logging
from pathlib import Path
import infra.component as component
from schemas.errors import FatalError

def fail(settings, heartbeat):
    logging.getLogger("aiokafka").error("login as %s", settings.kafka.client["sasl.password"])
    raise FatalError(f"No login with {settings.kafka.client['sasl.password']}.")

component.COMPONENTS = {"gateway": fail}
sys.exit(component.main("gateway", Path(sys.argv[1]), Path(sys.argv[2])))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "settings.json"), str(tmp_path / "heartbeat")],
        env={"PYTHONPATH": ".", "NEXTSTATE_KAFKA_SASL_PASSWORD": "hunter2-of-kafka"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.count("***")) == (2, 2)
    assert "hunter2" not in done.stderr + done.stdout


def test_a_secret_that_stands_in_an_option_too_is_not_repeated() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(None, ["a-key-that-is-long"], {"NEXTSTATE_ENGINE_API_KEY": "a-key-that-is-long"})
    assert "***" in str(caught.value)
    assert "a-key-that-is-long" not in str(caught.value)
