"""`SECRETS`: the settings that come from the environment only, and `masked`, which hides them.

A settings file is copied, shared and committed; so a secret in one is refused, and no event, log or file of ours ever
holds one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schemas.errors import SettingsError

MASK = "***"
_PASSWORD_IN_URL = re.compile(r"(?<=://)[^/@\s]+@")


@dataclass(frozen=True, slots=True)
class Secret:
    """One secret setting and the variable that holds it."""

    path: tuple[str, ...]
    variable: str

    @property
    def setting(self) -> str:
        """The setting's dotted name."""
        return ".".join(self.path)


API_KEYS = Secret(("gateway", "api_keys"), "NEXTSTATE_API_KEYS")  # KEY or TENANT:KEY, separated by commas
SECRETS = (
    API_KEYS,
    Secret(("engine", "api_key"), "NEXTSTATE_ENGINE_API_KEY"),
    Secret(("engine", "admin_api_key"), "NEXTSTATE_ENGINE_ADMIN_API_KEY"),
    Secret(("judge", "api_key"), "NEXTSTATE_JUDGE_API_KEY"),
    Secret(("hints", "api_key"), "NEXTSTATE_HINTS_API_KEY"),
    Secret(("kafka", "client", "sasl.password"), "NEXTSTATE_KAFKA_SASL_PASSWORD"),
    Secret(("kafka", "client", "ssl.key.password"), "NEXTSTATE_KAFKA_SSL_KEY_PASSWORD"),
    Secret(("kafka", "client", "ssl.keystore.password"), "NEXTSTATE_KAFKA_SSL_KEYSTORE_PASSWORD"),
    Secret(("kafka", "client", "sasl.oauthbearer.client.secret"), "NEXTSTATE_KAFKA_SASL_OAUTHBEARER_CLIENT_SECRET"),
)


def parse_api_keys(text: str) -> dict[str, str]:
    """Tenant by key, from `KEY` (tenant "default") and `TENANT:KEY` items separated by commas."""
    items = [item.strip().rpartition(":") for item in text.split(",") if item.strip()]
    return {key: tenant or "default" for tenant, _, key in items}


def secret_values(environment: Mapping[str, str]) -> list[tuple[Secret, Any]]:
    """The secrets that the environment holds."""
    present = [(secret, environment[secret.variable]) for secret in SECRETS if environment.get(secret.variable)]
    return [(secret, parse_api_keys(text) if secret is API_KEYS else text) for secret, text in present]


def refuse_secrets(table: Mapping[str, Any], origin: str) -> None:
    """Checks that a settings table holds no secret.

    Args:    origin: the file or option that the table came from, for the sentence.
    Raises:  SettingsError.
    """
    for secret in SECRETS:
        if _lookup(table, secret.path) is not None:
            raise SettingsError(
                f"{origin}: {secret.setting} is a secret and comes from the environment only: "
                f"remove it there and set {secret.variable}."
            )


def masked(table: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a settings table with secrets, and passwords inside urls, hidden; empty ones stay empty."""
    return {name: _masked(value, (name,)) for name, value in table.items()}


def without_secrets(table: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a settings table in which no secret is set."""
    return _without_secrets(table, ())


def _without_secrets(table: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    kept = {name: value for name, value in table.items() if all((*path, name) != secret.path for secret in SECRETS)}
    return {
        name: _without_secrets(value, (*path, name)) if isinstance(value, Mapping) else value
        for name, value in kept.items()
    }


def _masked(value: Any, path: tuple[str, ...]) -> Any:
    if value and any(path == secret.path for secret in SECRETS):
        return MASK
    if isinstance(value, Mapping):
        return {name: _masked(inner, (*path, name)) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(inner, path) for inner in value]
    return _PASSWORD_IN_URL.sub(f"{MASK}@", value) if isinstance(value, str) else value


def _lookup(table: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = table
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value
