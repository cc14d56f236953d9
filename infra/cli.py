"""`nextstate`: the command line. It parses and imports; the work is in infra/commands/ and the jobs beside it.

Exit codes: 0 done, 1 the check failed, 2 bad usage or input. An error of ours is one sentence on stderr, never a
traceback. Nothing heavy is imported here: `--help` answers in under 0.3 s.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra.cli_bench import bench
from infra.cli_history import HISTORY
from infra.cli_import import import_chats
from infra.cli_options import configured, os_refusal, report
from schemas.errors import NextstateError

if TYPE_CHECKING:
    from infra.settings import Settings

BAD_INPUT = 2


def main() -> None:
    """The entry point."""
    try:
        sys.exit(nextstate.main(standalone_mode=False))  # what the command returned
    except click.ClickException as error:
        error.show()
        sys.exit(BAD_INPUT)
    except NextstateError as error:
        _fail(str(error))
    except (KeyboardInterrupt, click.Abort):
        sys.exit(0)
    except BrokenPipeError:  # the reader of our output has left, as `head` does
        sys.stderr.close()
    except OSError as error:
        _fail(os_refusal(error))


def _fail(sentence: str) -> None:
    click.echo(sentence, err=True)
    sys.exit(BAD_INPUT)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def nextstate() -> None:
    """Trains any agent from the next states of its own actions, while it serves."""


@nextstate.command()
@click.option("--seed", default=0, show_default=True, help="Of everything that is drawn at random.")
@click.option(
    "--through",
    metavar="CLIENT",
    default="openai",
    show_default=True,
    help="What the users talk through: the SDK, openai-agents or pydantic-ai.",
)
@configured
def demo(settings: Settings, seed: int, through: str) -> int:
    """Start everything, let scripted users talk, and show that the model learned."""
    from infra.demo import run_demo

    return run_demo(settings, seed=seed, through=through)


@nextstate.command()
@click.option("--detach", is_flag=True, help="Leave it running in the background.")
@configured
def up(settings: Settings, detach: bool) -> int:
    """Start the stack; Ctrl-C, or `down`, stops it."""
    from infra.commands.up import run_attached, run_detached

    return run_detached(settings, report) if detach else run_attached(settings, report)


@nextstate.command()
@configured
def down(settings: Settings) -> int:
    """Stop the stack of this home."""
    from infra.commands.up import end

    return end(settings, report)


@nextstate.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@configured
def status(settings: Settings, as_json: bool) -> int:
    """Health, versions, counts, lags, and whether the policy is learning. Exits 1 if something is not healthy."""
    from infra.commands.status import show_status

    return show_status(settings, as_json)


@nextstate.command()
@configured
def chat(settings: Settings) -> int:
    """Talk to the policy; what you reply teaches it."""
    from infra.commands.chat import talk

    return talk(settings)


@nextstate.command()
@click.argument("client", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@configured
def connect(settings: Settings, client: str | None, as_json: bool) -> int:
    """The lines that connect a CLIENT to this stack; without one, which clients there are."""
    from infra.commands.connect import list_clients, show_lines

    return list_clients() if client is None else show_lines(settings, client, as_json=as_json)


@nextstate.command()
@click.option("--tenant", default="default", show_default=True, help="Whose it is to be.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def key(tenant: str, as_json: bool) -> int:
    """A new API key, and its digest for the machine that serves; the key is kept nowhere."""
    from infra.commands.key import show_key

    return show_key(tenant, as_json=as_json)


@nextstate.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
@configured
def judge(settings: Settings, file: Path, as_json: bool) -> int:
    """Judge replies of your own: `question`, `answer` and `reply` in a JSON line each. Needs no running stack."""
    from infra.commands.judge import judge_file

    return judge_file(settings, file, as_json)


@nextstate.group()
def experiment() -> None:
    """Which method learns fastest, measured on simulated users."""


@experiment.command()
@click.option("--methods", help="Names with commas, see infra/experiment/methods.py.  [default: those of the table]")
@click.option("--seeds", default="0-4", show_default=True, help="A range, or numbers with commas.")
@click.option(
    "--mode",
    type=click.Choice(["joint", "apart"]),
    default="joint",
    show_default=True,
    help="One policy for all users, or one each.",
)
@click.option(
    "--cap",
    default=20,
    show_default=True,
    type=click.IntRange(min=3),
    help="Most sessions per user; the paper's is 72.",
)
@click.option("--live", is_flag=True, help="Through a whole stack, with Kafka and SGLang; one run at a time.")
@click.option("--jobs", default=2, show_default=True, type=click.IntRange(min=1), help="Runs side by side.")
@click.option(
    "--out",
    default="experiments/users",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Where runs, table and curves go.",
)
@click.option("--questions", type=click.Path(path_type=Path), help="JSON lines with `question`, asked by all users.")
@click.option("--run-only", metavar="ID", help="One run, in this process: METHOD.joint.SEED, say.")
@configured
def users(
    settings: Settings,
    *,
    methods: str | None,
    seeds: str,
    mode: str,
    live: bool,
    run_only: str | None,
    jobs: int,
    cap: int,
    out: Path,
    questions: Path | None,
) -> int:
    """How many sessions until three users are satisfied three times in a row. Resumes; needs no running stack."""
    from infra.commands.experiment import default_methods, run_single, run_users, wanted_runs
    from infra.experiment.run import RunSettings
    from infra.experiment.run_log import RunId

    shared = RunSettings(cap=cap, out=out, questions=questions)
    if run_only is not None:
        return run_single(settings, RunId.parse(run_only), shared, report)
    run_ids = wanted_runs(methods or default_methods(live=live), seeds, mode, live=live)
    return run_users(settings, run_ids, shared, jobs=jobs, report=report)


@nextstate.command()
@click.argument("parts", nargs=-1, metavar="[PART]...")
@click.option("--list", "lists", is_flag=True, help="Say which parts there are.")
@click.option("--only", metavar="TEXT", default="", help="Only rows with this in their name, in any case.")
@click.option("--short", "is_short", is_flag=True, help="The size that `make test` runs: minutes, not hours.")
@click.option("--seed", default=0, show_default=True, help="Of everything that is drawn at random.")
@click.option(
    "--out",
    default="faults",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Where results go, and what a fault leaves that did not hold, until it is tried again.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@configured
def faults(
    settings: Settings,
    *,
    parts: tuple[str, ...],
    lists: bool,
    only: str,
    is_short: bool,
    seed: int,
    out: Path,
    as_json: bool,
) -> int:
    """Kill, freeze, fill up, poison: prove that nothing is lost or done twice. Resumes; needs no running stack."""
    from infra.commands.faults import list_parts, show_faults

    if lists:
        return list_parts()
    return show_faults(settings, parts, report, only=only, seed=seed, is_short=is_short, out=out, as_json=as_json)


@nextstate.command()
@configured
def prepare(settings: Settings) -> None:
    """Fetch Kafka and convert the small model now, instead of at the first start."""
    from infra.prepare import prepare as prepare_all

    prepare_all(settings, report)
    report(f"Everything is in {settings.home}")


for command in (*HISTORY, import_chats, bench):
    nextstate.add_command(command)


@nextstate.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as version_of

    click.echo(version_of("nextstate"))


if __name__ == "__main__":
    main()
