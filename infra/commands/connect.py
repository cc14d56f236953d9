"""`connect`: the lines that connect a client to this stack's gateway, with its address, key and policy in them."""

import click
import orjson

from infra.connect.clients import CLIENTS, Client, client_named
from infra.connect.lines import Address, connecting
from infra.handover import last_settings
from infra.home import Home
from infra.run_file import RunFile
from infra.secrets import client_key
from infra.settings import Settings
from infra.stack import gateway_url

ANY_KEY = "none"  # without configured keys the gateway takes any; SDKs insist on one


def list_clients() -> int:
    """Prints which clients there are."""
    width = max(len(client.name) for client in CLIENTS)
    for client in CLIENTS:
        click.echo(f"{client.name:<{width}}  {client.title}")
    click.echo("\nnextstate connect NAME prints what connects one. Any other client of these APIs needs the same.")
    return 0


def show_lines(settings: Settings, name: str, *, as_json: bool) -> int:
    """Prints the lines for one client.

    Raises:  SettingsError: there is no such client.
    """
    client = client_named(name)
    lines = connecting(client, _address(settings))
    if as_json:
        click.echo(orjson.dumps({"client": name, "shell": lines.shell, "code": lines.code}).decode())
        return 0
    comment = "//" if client.file.suffix == ".mjs" and not lines.shell else "#"
    click.echo(f"{comment} {client.title}; {_tested(client)}")
    for part in filter(None, (lines.shell, lines.code)):
        click.echo("\n".join(part) + "\n")
    return 0


def _tested(client: Client) -> str:
    return f"tested with {', '.join(client.packages)}" if client.packages else "tested with this machine's"


def _address(settings: Settings) -> Address:
    """Of the stack that runs in this home; of the one that would, where none does."""
    state = RunFile(Home(settings.home)).read()
    engine = last_settings(settings).engine if state else settings.engine
    return Address(
        url=state.gateway_url if state else gateway_url(settings),
        key=client_key() or ANY_KEY,
        model=state.policy if state else settings.policy,
        context_tokens=engine.context_length,
    )
