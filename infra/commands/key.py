"""`key`: a new key for the gateway: the client gets it, the server its digest."""

import click
import orjson

from infra.secrets import API_KEYS
from serving.keys import key_digest, new_key


def show_key(tenant: str, *, as_json: bool) -> int:
    """Prints a key that there has never been, and what a server needs to know of it."""
    key = new_key()
    server = f"{tenant}:{key_digest(key)}"
    if as_json:
        click.echo(orjson.dumps({"key": key, "server": server}).decode())
        return 0
    click.echo(f"for the client, shown this once:  {key}")
    click.echo(f"for the machine that serves:      {API_KEYS.variable}={server}")
    return 0
