"""`key_digest`: how keys for the gateway are kept; and who may not listen without one.

A key is kept as `sha256:` and its SHA-256, nowhere in clear: who reads a file, an event or a process's memory of ours
cannot use what is there. A plain hash is right because keys are long and random (`nextstate key` makes them): there is
nothing to guess, so nothing for salt or a slow hash to make harder. For a word of a dictionary it would be wrong.

Owns the form of a digest and the rule for listeners. Pure.
"""

import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Sequence

from schemas.errors import SettingsError

PREFIX = "sha256:"
KEY_BYTES = 32  # 256 bits
_DIGEST = re.compile(f"{PREFIX}[0-9a-f]{{64}}")


def new_key() -> str:
    """A key that nobody guesses."""
    return f"ns-{secrets.token_urlsafe(KEY_BYTES)}"


def key_digest(key: str) -> str:
    """The form in which a key is kept."""
    return PREFIX + hashlib.sha256(key.encode()).hexdigest()


def is_digest(text: str) -> bool:
    """Whether this is a key as it is kept."""
    return _DIGEST.fullmatch(text) is not None


def opens(key: str, digest: str) -> bool:
    """Whether a key is the one that is kept so; takes the same time for every key."""
    return hmac.compare_digest(key_digest(key), digest)


def refuse_open_gateway(host: str, api_keys: Sequence[str]) -> None:
    """Raises SettingsError where anybody who reaches this machine could use the gateway."""
    if not is_loopback(host) and not api_keys:
        raise SettingsError(
            f"gateway.host is {host!r}, which other machines may reach, but there are no API keys: set "
            "NEXTSTATE_API_KEYS (`nextstate key` makes one), or leave gateway.host at 127.0.0.1."
        )


def refuse_open_engine(extra_args: Sequence[str], api_key: str | None) -> None:
    """Raises SettingsError where our own engine would listen to other machines without a key, or shows one to all."""
    for number, argument in enumerate(extra_args):
        name, equals, value = argument.partition("=")
        if name in {"--api-key", "--admin-api-key"}:
            variable = "NEXTSTATE_ENGINE_API_KEY" if name == "--api-key" else "NEXTSTATE_ENGINE_ADMIN_API_KEY"
            raise SettingsError(
                f"engine.extra_args holds {name}, which everybody on this machine can see: remove it there and set "
                f"{variable}."
            )
        host = value if equals else next(iter(extra_args[number + 1 :]), "")
        if name == "--host" and not is_loopback(host) and not api_key:
            raise SettingsError(
                f"engine.extra_args lets the engine listen on {host!r}, which other machines may reach, but it has no "
                "key: set NEXTSTATE_ENGINE_API_KEY, or take --host out of engine.extra_args."
            )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address. Of names only "localhost": another may become anything."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
