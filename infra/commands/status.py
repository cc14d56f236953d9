"""`status`: what runs in this home, how far it is, and whether the policy is learning."""

from dataclasses import asdict, replace
from typing import Any

import click
import orjson
from rich.console import Console
from rich.table import Table

from infra.home import Home
from infra.run_file import RunFile, RunState
from infra.settings import Settings, archive_folder
from schemas.clock import now_ms
from streams.archive.manifest import read_complete_ms
from streams.archive.reading import Archive
from streams.columns import view_name
from streams.config import KafkaConfig
from streams.lags import group_lags
from streams.learning import Learning, explain_learning
from streams.query import LogQuery
from streams.topics import TOPICS

UNHEALTHY = 1

Facts = dict[str, Any]


def show_status(settings: Settings, as_json: bool) -> int:
    """Prints it; 1 where no stack runs or a component is not healthy."""
    state = RunFile(Home(settings.home)).read()
    facts = {"running": False, "home": str(settings.home)} if state is None else _facts(settings, state)
    if as_json:
        click.echo(orjson.dumps(facts, option=orjson.OPT_INDENT_2).decode())
    elif state is None:
        click.echo(f"No stack runs in {settings.home}: start one with nextstate up.")
    else:
        _draw(facts)
    healthy = state is not None and all(component.state == "healthy" for component in state.components.values())
    return 0 if healthy else UNHEALTHY


def _facts(settings: Settings, state: RunState) -> Facts:
    facts: Facts = {"running": True, "home": str(settings.home), **asdict(state)}
    broker = state.components.get("kafka")
    if broker is not None and broker.state != "healthy":
        return facts  # without the log there is no more to say
    kafka = settings.kafka.model_copy(
        update={"bootstrap_servers": state.bootstrap_servers, "topic_prefix": state.topic_prefix}
    )
    return facts | _log_facts(kafka, Archive.find(archive_folder(settings)), state)


def _log_facts(kafka: KafkaConfig, archive: Archive | None, state: RunState) -> Facts:
    query = LogQuery(kafka, archive=archive)
    names = [view_name(topic) for topic in TOPICS]
    counts = query.sql("SELECT " + ", ".join(f"(SELECT count(*) FROM {name})" for name in names))
    return {
        "serving_version": _serving_version(query, state.policy),
        "learning": asdict(_learning(query, state)),
        "counts": dict(zip(names, counts.rows[0], strict=True)),
        "lags": group_lags(kafka),
        "archive": None if archive is None else _archive_facts(archive),
    }


def _archive_facts(archive: Archive) -> Facts:
    complete_ms = read_complete_ms(archive.folder)
    return {
        "records": sum(file.rows for file in archive.manifest.files),
        "bytes": sum(file.size for file in archive.manifest.files),
        "age_s": (now_ms() - complete_ms) / 1000 if complete_ms else None,
    }


def _learning(query: LogQuery, state: RunState) -> Learning:
    """What the log says, unless a component that it takes is not there to do its part."""
    learning = explain_learning(query, state.policy)
    absent = [f"{name} is {one.state}" for name, one in state.components.items() if one.state != "healthy"]
    return replace(learning, is_learning=False, because=" and ".join(absent)) if absent else learning


_NEWEST_OF_THE_NEWEST_ENGINE = """
    SELECT max(version) FROM reloads WHERE policy = $1
    GROUP BY engine ORDER BY min("offset") DESC LIMIT 1
"""


def _serving_version(query: LogQuery, policy: str) -> int:
    """As `serving.routing.Routes` has it."""
    rows = query.sql(_NEWEST_OF_THE_NEWEST_ENGINE, [policy]).rows
    return int(str(rows[0][0])) if rows else 0


def _draw(facts: Facts) -> None:
    click.echo(f"gateway {facts['gateway_url']}, engine {facts['engine_url']}, logs in {facts['home']}/logs")
    click.echo(f"Kafka {facts['bootstrap_servers']}{_prefix(facts['topic_prefix'])}")
    table = Table("component", "state", "process", "starts", box=None, padding=(0, 2, 0, 0))
    for name, component in facts["components"].items():
        color = "green" if component["state"] == "healthy" else "red"
        state = f"[{color}]{component['state']}[/{color}]"
        table.add_row(name, state, str(component["pid"]), str(component["num_starts"]))
    Console().print(table)
    if "learning" not in facts:
        click.echo("Kafka is not healthy, so the log cannot be read.")
        return
    learning = facts["learning"]
    click.echo(f"policy {facts['policy']}: version {facts['serving_version']} serves")
    click.echo(f"learning: {'yes' if learning['is_learning'] else 'no'}, because {learning['because']}")
    counts = {name: count for name, count in facts["counts"].items() if count}
    click.echo(f"records in the log: {_listed(counts)}")
    click.echo(f"records still to read: {_listed(facts['lags'])}")
    if (archive := facts["archive"]) is not None:
        age = "not complete yet" if archive["age_s"] is None else f"complete up to {archive['age_s']:.0f} s ago"
        click.echo(f"archive: {archive['records']:,} records, {archive['bytes'] / 2**20:.1f} MiB, {age}")


def _prefix(prefix: str) -> str:
    return f", topics begin with {prefix}" if prefix else ""


def _listed(numbers: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in numbers.items()) or "none"
