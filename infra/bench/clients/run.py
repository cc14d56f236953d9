"""`bench_clients`: each client installed, run through one conversation, and its part of the log checked.

Consumes the programs of infra/connect/programs, unmodified but for the address. Produces a row per client.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from infra.bench.clients.checks import Ran, checked, matched
from infra.bench.clients.engine import Engine
from infra.bench.clients.stage import Logged, Stage, standing
from infra.connect.clients import Check, Client
from infra.connect.install import installed, own_environment
from infra.connect.lines import connecting, program
from infra.kafka.running import running_broker
from schemas.errors import MissingRuntimeError

RUN_S = 600.0  # most take seconds; OpenClaw prepares half a minute before each message on two busy cores
TOOK_TOO_LONG = -1
SETTLE_S = 20.0  # until the answer that a client has left is in the log
LOOK_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One client.

    `missing`: why it could not be run; `wrong`: what each check found, "" where all is well; `not_asked`: which checks
    cannot be made of it, or of this engine, and why.
    """

    client: str
    packages: tuple[str, ...]
    missing: str = ""
    wrong: dict[Check, str] = field(default_factory=dict)
    not_asked: dict[Check, str] = field(default_factory=dict)
    num_matched: int = 0
    num_continuing: int = 0
    seconds: float = 0.0

    @property
    def is_well(self) -> bool:
        """Whether it ran and nothing is wrong."""
        return not self.missing and not any(self.wrong.values())


def bench_clients(
    clients: Sequence[Client],
    *,
    jars: tuple[Path, ...],
    engine: AbstractContextManager[Engine],
    model_path: Path,
    folder: Path,
    report: Callable[[str], None],
) -> list[Row]:
    """Runs each client in turn.

    Args:    jars: Kafka's class path; engine: what draws; model_path: of the model whose tokenizer and template are
             used; folder: for the clients, which stay there, and for `run`, which is to be empty; report: told about
             progress.
    Raises:  FatalError, BrokerUnavailableError: Kafka, the engine or the gateway did not start.
    """
    run = folder / "run"
    with (
        running_broker(jars, run / "broker", run / "kafka.log") as kafka,
        engine as drawing,
        standing(kafka, drawing, model_path, run / "gateway", [client.name for client in clients]) as stage,
    ):
        rows = []
        for client in clients:
            rows.append(_row(client, stage, folder / client.name, report))
            report(_sentence(rows[-1]))
        return rows


def run_client(client: Client, command: Sequence[str], stage: Stage, folder: Path) -> Ran:
    """One run of a client's program, and what it left behind.

    Args:    command: that runs a program, but for the program's name; folder: the client's own, where the program gets
             a home that remembers nothing of earlier runs.
    """
    address = stage.address(client.name)
    home = folder / "home"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    file = home / client.program
    file.write_text(program(client, address))
    stage.engine.begin()
    environment = own_environment(folder, home, connecting(client, address).environment)
    exit_code, output = _output([*command, str(file)], home, environment)
    return Ran(
        exit_code=exit_code,
        output=output,
        logged=_settled(stage, client.name),
        drawn=stage.engine.drawn,
        num_failures=stage.engine.num_failures,
        streams=client.streams,
    )


def _row(client: Client, stage: Stage, folder: Path, report: Callable[[str], None]) -> Row:
    report(f"{client.name}: {', '.join(client.packages) or 'as this machine has it'}")
    try:
        command = installed(client, folder)
    except MissingRuntimeError as error:
        return Row(client=client.name, packages=client.packages, missing=str(error))
    started_s = time.monotonic()
    ran = run_client(client, command, stage, folder)
    seconds, not_asked = time.monotonic() - started_s, {**dict(client.lacks), **stage.engine.not_asked}
    num_matched, num_continuing = matched(ran.logged)
    return Row(
        client=client.name,
        packages=client.packages,
        wrong={name: wrong for name, wrong in checked(ran).items() if name not in not_asked},
        not_asked=not_asked,
        num_matched=num_matched,
        num_continuing=num_continuing,
        seconds=seconds,
    )


def _output(command: Sequence[str], home: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Exit code and output of a program, which is ended with all that it started."""
    log_file = home / "output.log"
    with log_file.open("wb") as log:
        started = subprocess.Popen(
            command, cwd=home, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        try:
            exit_code = started.wait(RUN_S)
        except subprocess.TimeoutExpired:
            exit_code = TOOK_TOO_LONG
        finally:
            with suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)  # with all that it started
            started.wait()
    return exit_code, log_file.read_text(errors="replace")


def _settled(stage: Stage, client: str) -> Logged:
    """The client's part of the log, once every reply that was begun is in it, and nothing comes any more."""
    end_s, before = time.monotonic() + SETTLE_S, None
    while True:
        logged = stage.logged(client)
        has_all = len(logged.actions) >= len(stage.engine.drawn)
        if (has_all and logged == before) or time.monotonic() > end_s:
            return logged
        before = logged
        time.sleep(LOOK_S)


def _sentence(row: Row) -> str:
    if row.missing:
        return f"{row.client}: not run. {row.missing}"
    wrong = [f"{name}: {reason}" for name, reason in row.wrong.items() if reason]
    return f"{row.client}: {'; '.join(wrong) or 'as it should be'} ({row.seconds:.0f} s)"
