"""`up` and `down`: a stack in the foreground, in the background, and its end."""

import asyncio
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from infra.home import Home
from infra.prepare import prepare
from infra.process import last_line
from infra.run_file import RunFile, RunState
from infra.settings import Settings
from schemas.errors import FatalError

Report = Callable[[str], None]

POLL_S = 0.2
END_DEADLINE_S = 40.0  # two stages, each with its own kill deadline, and room
UNHEALTHY = 1


def run_attached(settings: Settings, report: Report) -> int:
    """Runs the stack until Ctrl-C, SIGTERM or `down`."""
    _refuse_open_doors(settings)
    prepare(settings, report)  # before the event loop: Ctrl-C ends a download or a conversion at once
    try:
        asyncio.run(_run(settings, report))
    except (KeyboardInterrupt, asyncio.CancelledError):
        report("stopped")
    return 0


def _refuse_open_doors(settings: Settings) -> None:
    """Before anything is fetched: nobody should wait for minutes to hear that it will not start."""
    from infra.stack import refuse_open_doors

    refuse_open_doors(settings)


async def _run(settings: Settings, report: Report) -> None:
    from infra.stack import running_stack

    task = asyncio.current_task()
    assert task is not None
    for kind in (signal.SIGINT, signal.SIGTERM):  # a second one cuts the stop short; the kernel then ends what is left
        asyncio.get_running_loop().add_signal_handler(kind, task.cancel)
    async with running_stack(settings, report) as stack:
        report(f"Ready: OpenAI clients use {stack.gateway_url}/v1 with model {settings.policy!r}. Ctrl-C stops it.")
        await asyncio.Event().wait()


def run_detached(settings: Settings, report: Report) -> int:
    """Gives the same command, attached, to a process of its own, and returns when the stack is healthy.

    Raises:  FatalError with the last line of its log when it ends before that.
    """
    _refuse_open_doors(settings)
    home = Home(settings.home)
    prepare(settings, report)
    home.logs.mkdir(parents=True, exist_ok=True)
    log_file = home.logs / "supervisor.log"
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "infra.cli", *(argument for argument in sys.argv[1:] if argument != "--detach")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    run_file, said = RunFile(home), dict[str, str]()
    while process.poll() is None:
        state = run_file.read()
        if state is not None and state.pid == process.pid:
            said = _report_changes(state, said, report)
            if state.ready:
                report(f"Ready: OpenAI clients use {state.gateway_url}/v1 with model {state.policy!r}.")
                return 0
        time.sleep(POLL_S)
    raise FatalError(last_line(log_file))


def _report_changes(state: RunState, said: dict[str, str], report: Report) -> dict[str, str]:
    now = {name: component.state for name, component in state.components.items()}
    for name, what in now.items():
        if said.get(name) != what:
            report(f"{name}: {what}")
    return now


def end(settings: Settings, report: Report) -> int:
    """Stops the stack of this home and waits for its end; 1 where none runs."""
    run_file = RunFile(Home(settings.home))
    state = run_file.read()
    if state is None:
        report(f"No stack runs in {settings.home}.")
        return UNHEALTHY
    supervisor = os.pidfd_open(state.pid)  # a handle, not a number that another process may have by then
    signal.pidfd_send_signal(supervisor, signal.SIGTERM)
    if not _ended(supervisor):
        signal.pidfd_send_signal(supervisor, signal.SIGKILL)  # the kernel takes its children with it
        _ended(supervisor)
    report("stopped")
    return 0


def _ended(process: int) -> bool:
    return bool(select.select([process], [], [], END_DEADLINE_S)[0])
