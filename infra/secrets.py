"""`SECRETS`: the settings that come from the environment only, and `masked`, which hides them.

A settings file is copied, shared and committed; so a secret in one is refused, and no event, log or file of ours ever
holds one. Keys for the gateway become digests as they are read (serving/keys.py), and may be given as such: then the
machine that serves never has a key. `client_key` is for a command of ours that is a client of the gateway itself.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schemas.errors import SettingsError
from schemas.identity import DEFAULT_TENANT
from serving.keys import PREFIX, is_digest, key_digest
from serving.launch.server import KEY_VARIABLES
from streams.masking import MASK, mask_text


@dataclass(frozen=True, slots=True)
class Secret:
    """One secret setting and the variable that holds it."""

    path: tuple[str, ...]
    variable: str

    @property
    def setting(self) -> str:
        """The setting's dotted name."""
        return ".".join(self.path)


def _of_kafka(name: str) -> Secret:
    return Secret(("kafka", "client", name), f"NEXTSTATE_KAFKA_{name.replace('.', '_').upper()}")


API_KEYS = Secret(("gateway", "api_keys"), "NEXTSTATE_API_KEYS")  # KEY or TENANT:KEY, separated by commas
ADMIN_KEY = Secret(("gateway", "admin_key"), "NEXTSTATE_ADMIN_KEY")
SECRETS = (
    API_KEYS,
    ADMIN_KEY,
    *(Secret(("engine", setting), variable) for setting, variable in KEY_VARIABLES.items()),
    Secret(("judge", "api_key"), "NEXTSTATE_JUDGE_API_KEY"),
    Secret(("hints", "api_key"), "NEXTSTATE_HINTS_API_KEY"),
    *map(
        _of_kafka,
        (
            "sasl.password",
            "ssl.key.password",
            "ssl.key.pem",
            "ssl.keystore.password",
            "sasl.oauthbearer.client.secret",
            "sasl.oauthbearer.client.credentials.client.secret",
            "sasl.oauthbearer.assertion.private.key.passphrase",
            "sasl.oauthbearer.assertion.private.key.pem",
        ),
    ),
)


def secret_values(environment: Mapping[str, str]) -> list[tuple[Secret, Any]]:
    """The secrets that the environment holds, as settings hold them: keys for the gateway as digests.

    Raises:  SettingsError: what should be a key is none.
    """
    present = [(secret, environment[secret.variable]) for secret in SECRETS if environment.get(secret.variable)]
    return [(secret, _value(secret, text)) for secret, text in present]


def client_key(environment: Mapping[str, str] = os.environ) -> str | None:
    """The first key of NEXTSTATE_API_KEYS, to call the gateway with; None where that is not set.

    Raises:  SettingsError: only digests are there, which open nothing.
    """
    items = _items(environment.get(API_KEYS.variable, ""))
    keys = [item.rpartition(":")[2] for item in items if PREFIX not in item]
    if items and not keys:
        message = f"{API_KEYS.variable} holds digests only, which open nothing: set it to a key for this command."
        raise SettingsError(message)
    return next(iter(keys), None)


def as_variable(secret: Secret, value: Any) -> str:
    """A secret as its variable holds it; "" where it is not set."""
    if secret is API_KEYS:
        return ",".join(f"{tenant}:{digest}" for digest, tenant in value.items())
    return value or ""


def _value(secret: Secret, text: str) -> Any:
    if secret is API_KEYS:
        return dict(_tenants_key(item, number) for number, item in enumerate(_items(text), 1))
    return _digest(text.strip(), ADMIN_KEY.variable) if secret is ADMIN_KEY else text


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _tenants_key(item: str, number: int) -> tuple[str, str]:
    """Digest and tenant of one item."""
    before, prefix, hexadecimal = item.rpartition(PREFIX)
    tenant, _, key = (before.removesuffix(":"), "", PREFIX + hexadecimal) if prefix else item.rpartition(":")
    return _digest(key, f"{API_KEYS.variable}: item {number}"), tenant or DEFAULT_TENANT


def _digest(key: str, where: str) -> str:
    """Raises SettingsError, which does not repeat the key."""
    if key.startswith(PREFIX):
        if is_digest(key.lower()):
            return key.lower()
        raise SettingsError(f"{where} is no digest: write {PREFIX} and 64 hex digits, or the key itself.")
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise SettingsError(f"{where} is no key: take letters, digits and punctuation, without spaces.")
    return key_digest(key)


def refuse_secrets(table: Mapping[str, Any], origin: str) -> None:
    """Checks that a settings table holds no secret.

    Args:    origin: the file or option that the table came from, for the sentence.
    Raises:  SettingsError.
    """
    for secret in SECRETS:
        if lookup(table, secret.path) is not None:
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
    return mask_text(value) if isinstance(value, str) else value


def lookup(table: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """What a settings table holds at a path; None: nothing."""
    value: Any = table
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value
