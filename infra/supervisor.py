"""`Supervisor`: starts components in stages, keeps them, and stops them in reverse order.

Owns every child process of a stack. Whatever ends it takes them with it: a stop asks them first and kills after a
deadline; if it is itself killed, the kernel kills them (infra/tether.py).
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace

from infra.keeper import Component, Keeper
from infra.run_file import ComponentState, RunFile, RunState


class Supervisor:
    """The components of one run. `start` one stage after the other, then `stop`."""

    def __init__(self, run_file: RunFile, state: RunState, report: Callable[[str], None]) -> None:
        self._run_file = run_file
        self._state = replace(state, pid=os.getpid())
        self._report = report
        self._stages: list[list[tuple[Keeper, asyncio.Task[None]]]] = []

    async def start(self, components: Sequence[Component]) -> None:
        """Starts one stage, and returns when all of it is healthy.

        Raises:  FatalError when a component cannot run; what was started goes on until `stop`.
        """
        keepers = [Keeper(component, self._note) for component in components]
        stage = [(keeper, asyncio.create_task(keeper.keep())) for keeper in keepers]
        self._stages.append(stage)
        await asyncio.gather(*(keeper.ready(keeping) for keeper, keeping in stage))

    def mark_ready(self) -> None:
        """The whole stack is up."""
        self._state = replace(self._state, ready=True)
        self._run_file.write(self._state)

    async def stop(self) -> None:
        """Ends all components, the last stage first."""
        for stage in reversed(self._stages):
            for _, task in stage:
                task.cancel()
            await asyncio.gather(*(task for _, task in stage), return_exceptions=True)
            await asyncio.gather(*(keeper.stop() for keeper, _ in stage))
        self._stages.clear()

    def _note(self, keeper: Keeper) -> None:
        name = keeper.component.name
        state = ComponentState(
            state=keeper.state,
            pid=keeper.process.pid if keeper.process else None,
            num_starts=keeper.num_starts,
            log_file=str(keeper.component.log_file),
        )
        self._state = replace(self._state, components={**self._state.components, name: state})
        again = f" (start {keeper.num_starts})" if keeper.num_starts > 1 else ""
        self._say(f"{name}: {keeper.last_words() if keeper.state == 'failed' else keeper.state}{again}")
        try:
            self._run_file.write(self._state)
        except OSError as error:  # what is written at the next change holds this one, too
            self._say(f"{self._run_file.path} is out of date, as it cannot be written: {error.strerror}; make room.")

    def _say(self, line: str) -> None:
        with contextlib.suppress(OSError):  # whoever listened has left, which is no reason to stop
            self._report(line)
