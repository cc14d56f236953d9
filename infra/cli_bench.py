"""`bench`: the commands that measure. Parsing only, as in infra/cli.py."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra.cli_options import archive_option, configured, report

if TYPE_CHECKING:
    from infra.settings import Settings

LOG_PARTS = ("questions", "archiving", "growth", "replay")
RECORDER_PARTS = ("telling", "hearing")


@click.group()
def bench() -> None:
    """Measure against a named alternative, in one run."""


@bench.command()
@click.option("--rounds", default=30, show_default=True, type=click.IntRange(min=1), help="Answers from each side.")
@click.option("--max-tokens", default=24, show_default=True, type=click.IntRange(min=1), help="Of each answer.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@configured
def serve(settings: Settings, rounds: int, max_tokens: int, as_json: bool) -> int:
    """Time to first token through the gateway of the running stack, and straight from its SGLang."""
    from infra.commands.bench import show_serve

    return show_serve(settings, rounds=rounds, max_tokens=max_tokens, as_json=as_json)


@bench.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@configured
def train(settings: Settings, as_json: bool) -> int:
    """An optimizer step on a 10-turn conversation: shared prefixes, turn by turn, and TRL's GRPO. Needs no stack."""
    from infra.commands.bench import show_train

    return show_train(settings, report, as_json=as_json)


@bench.command()
@click.option(
    "--part", "parts", multiple=True, type=click.Choice(LOG_PARTS), help="Only this; repeatable.  [default: all]"
)
@click.option("--events", default=1_000_000, show_default=True, type=click.IntRange(min=10_000), help="To ask about.")
@click.option("--folder", type=click.Path(path_type=Path), help="For what is written: kept, and gone on with.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@archive_option
@configured
def log(
    settings: Settings,
    *,
    parts: tuple[str, ...],
    events: int,
    folder: Path | None,
    archive: Path | None,
    as_json: bool,
) -> int:
    """What the log costs and how fast it answers, on later history like this home's. Needs no running stack."""
    from infra.commands.bench_log import show_log

    return show_log(
        settings,
        parts=parts or LOG_PARTS,
        num_events=events,
        folder=folder,
        archive=archive,
        as_json=as_json,
        report=report,
    )


@bench.command()
@click.option("--rounds", default=50, show_default=True, type=click.IntRange(min=1), help="Conversations, one by one.")
@click.option(
    "--rounds-together", default=5, show_default=True, type=click.IntRange(min=1), help="Conversations in each stream."
)
@click.option("--streams", default=64, show_default=True, type=click.IntRange(min=2), help="At once.")
@click.option("--reference", type=click.Path(path_type=Path), help="A checkout of Gen-Verse/OpenClaw-RL, beside us.")
@click.option("--reference-python", help="The Python that runs it.  [default: this one]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@configured
def gateway(
    settings: Settings,
    *,
    rounds: int,
    rounds_together: int,
    streams: int,
    reference: Path | None,
    reference_python: str | None,
    as_json: bool,
) -> int:
    """What the gateway adds to an engine's answers, and what OpenClaw-RL's proxy adds. Needs no running stack."""
    from infra.bench.gateway.job import Plan
    from infra.bench.gateway.sides import Reference
    from infra.commands.bench_gateway import show_gateway

    plan = Plan(rounds_alone=rounds, rounds_together=rounds_together, num_streams=streams)
    rival = Reference(checkout=reference, python=reference_python or sys.executable) if reference else None
    return show_gateway(settings, plan, rival, as_json=as_json, report=report)


@bench.command()
@click.option(
    "--clients",
    metavar="NAMES",
    help="Only these, with commas.  [default: all that connect lists; openai,anthropic on sglang]",
)
@click.option(
    "--engine",
    type=click.Choice(["scripted", "sglang"]),
    default="scripted",
    show_default=True,
    help="What draws: a script that calls tools, or the small model.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@configured
def clients(settings: Settings, clients: str | None, engine: str, as_json: bool) -> int:
    """Real SDKs and agents against a gateway of its own, installed from the registries. Needs no running stack."""
    from infra.commands.bench_clients import show_clients

    return show_clients(settings, clients, report, on_sglang=engine == "sglang", as_json=as_json)


@bench.command()
@click.option(
    "--part", "parts", multiple=True, type=click.Choice(RECORDER_PARTS), help="Only this; repeatable.  [default: both]"
)
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(min=1), help="Of each measurement.")
@click.option("--collector", type=click.Path(path_type=Path), help="An OpenTelemetry Collector, beside our receiver.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@configured
def recorder(settings: Settings, *, parts: tuple[str, ...], rounds: int, collector: Path | None, as_json: bool) -> int:
    """What recording costs another model's agent, beside OpenTelemetry, and how fast its spans are taken."""
    from infra.bench.recorder.hearing import HearingPlan
    from infra.bench.recorder.job import Plan
    from infra.bench.recorder.telling import TellingPlan
    from infra.commands.bench_recorder import show_recorder

    plan = Plan(
        parts=parts or RECORDER_PARTS,
        telling=TellingPlan(rounds=rounds),
        hearing=HearingPlan(rounds=rounds),
        collector=collector,
    )
    return show_recorder(settings, plan, as_json=as_json, report=report)
