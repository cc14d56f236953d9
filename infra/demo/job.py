"""`run_demo`: measure version 0, let users talk until enough versions were learnt, measure again, prove it.

Owns a home of its own, emptied at the start, so that each demo begins with version 0. The measurements are always made
through the openai SDK, whatever the users talk through. Exits 0 only if the version advanced, held-out compliance rose
enough, and no request failed.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import openai
from rich.console import Console
from rich.live import Live

from infra.connect.lines import Address
from infra.demo.display import LinePrinter, table
from infra.demo.evaluate import Evaluation, evaluate
from infra.demo.framework import Framework, install_framework, talks_by_framework
from infra.demo.report import Findings, count_matched, print_log, print_verdict
from infra.demo.sdk import talks_by_sdk
from infra.demo.talk import OpenTalk
from infra.demo.user import ScriptedUser, Tally
from infra.fresh import empty, fresh
from infra.home import Home
from infra.prepare import prepare
from infra.settings import Settings, private
from infra.stack import Report, Stack, running_stack
from infra.watch import Observed, watching
from schemas.errors import RetryableError

SDK = "openai"  # what the users talk through where nothing else is asked for
ANY_KEY = "none"  # SDKs insist on one
NUM_USERS = 12  # talking at once: the engine writes faster side by side, and each more makes samples staler
NUM_UPDATES = 6  # versions to learn before the second measurement
TEMPERATURE = 0.4  # near the greedy answers that are measured: they break the rule as often, so there is more to say
MAX_LEARNING_S = 600.0  # on two cores six versions take about half of it
MAX_START_COMPLIANCE = 0.7  # above it there is too little left to show
MAX_SETTLING_S = 120.0
QUIET_S = 3.0  # with no new event in any topic; a join takes a fraction of it
SHOW_EVERY_S = 1.0
WIDTH_IN_A_FILE = 120  # characters; a terminal says its own


@dataclass(frozen=True, slots=True)
class _Stage:
    """What every step of the demo needs."""

    stack: Stack
    client: openai.AsyncOpenAI
    open_talk: OpenTalk
    observed: Observed
    tally: Tally
    console: Console
    seed: int

    @property
    def model(self) -> str:
        return self.stack.settings.policy


def run_demo(settings: Settings, *, seed: int, through: str = SDK) -> int:
    """Run the main job.

    Args:    through: the client that the users talk through: the SDK, or one of `infra.demo.framework.FRAMEWORKS`.
    Returns: 0 when the model learnt and nothing failed, else 1.
    Raises:  FatalError: the stack or that client cannot run here, or a demo is running in this home already.
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH_IN_A_FILE)
    started_s = time.monotonic()

    def report(line: str) -> None:
        console.print(f"[{time.monotonic() - started_s:4.0f} s] {line}", highlight=False, markup=False)

    framework = None if through == SDK else install_framework(through, Home(settings.home).clients, report)
    own = demo_settings(prepare(settings, report).settings, seed)
    empty(Home(own.home), "demo")
    try:
        return asyncio.run(_run(own, seed, framework, console, report))
    except KeyboardInterrupt:
        report("stopped")
        return 1


def demo_settings(prepared: Settings, seed: int) -> Settings:
    """The settings of one demo, whose log is empty: its version 0 is the base model."""
    own = private(fresh(prepared, "demo"))
    return own.model_copy(update={"trainer": own.trainer.model_copy(update={"seed": seed})})


async def _run(settings: Settings, seed: int, framework: Framework | None, console: Console, report: Report) -> int:
    async with running_stack(settings, report) as stack, _stage(stack, console, seed, framework) as stage:
        report(f"everything is up; OpenAI clients could use {stack.gateway_url}/v1 now")
        before = await _measure(stage)
        if before.compliance > MAX_START_COMPLIANCE:
            report(
                f"{before.compliance:.2f} of version 0's held-out answers are already right "
                f"(more than {MAX_START_COMPLIANCE}): nothing could be shown"
            )
            return 1
        learning_started_s = time.monotonic()
        await _learn(stage)
        await _settle(stage)
        learning_s = time.monotonic() - learning_started_s
        after = await _measure(stage)
        findings = Findings(
            through=", ".join(framework.client.packages) if framework else f"openai=={openai.__version__}",
            before=before,
            after=after,
            version=stage.observed.serving_version,
            num_updates=stage.observed.events["checkpoints"],
            learning_s=learning_s,
            num_requests=stage.tally.requests + len(before.answers) + len(after.answers),
            num_continuing=stage.tally.num_continuing,
            num_matched=await asyncio.to_thread(count_matched, stack),
            failures=(*before.failures, *stage.tally.failures, *after.failures),
        )
        await asyncio.to_thread(print_log, console, stack, findings.version)
        return print_verdict(console, stack, findings, seed)


@contextlib.asynccontextmanager
async def _stage(stack: Stack, console: Console, seed: int, framework: Framework | None) -> AsyncIterator[_Stage]:
    # No retries by the SDK: a failed request must show as one.
    client = openai.AsyncOpenAI(base_url=f"{stack.gateway_url}/v1", api_key=ANY_KEY, max_retries=0, timeout=300.0)
    async with (
        client,
        watching(stack.kafka, stack.settings.processors.batch_size) as observed,
        _talking(stack, client, framework) as open_talk,
    ):
        yield _Stage(stack, client, open_talk, observed, Tally(), console, seed)


def _talking(
    stack: Stack, client: openai.AsyncOpenAI, framework: Framework | None
) -> contextlib.AbstractAsyncContextManager[OpenTalk]:
    """Opens conversations, through the framework or, without one, the SDK."""
    model = stack.settings.policy
    if framework is None:
        return contextlib.nullcontext(talks_by_sdk(client, model, TEMPERATURE))
    home = stack.settings.home / framework.client.name
    home.mkdir()
    address = Address(stack.gateway_url, ANY_KEY, model, stack.settings.engine.context_length)
    return talks_by_framework(framework, address, TEMPERATURE, home)


async def _measure(stage: _Stage) -> Evaluation:
    version = stage.observed.serving_version
    with stage.console.status("") as status:

        def progress(done: int, total: int) -> None:
            status.update(f"held-out questions, answered greedily by version {version}: {done} of {total}")

        evaluation = await evaluate(stage.client, stage.model, progress)
    stage.console.print(
        f"held-out compliance of version {version}: {evaluation.compliance:.2f}", highlight=False, markup=False
    )
    return evaluation


async def _learn(stage: _Stage) -> None:
    """Let users talk until the target version serves, or time is up; they finish their conversations.

    Raises:  FatalError: they cannot talk any more.
    """
    enough = asyncio.Event()
    try:
        async with asyncio.TaskGroup() as users:  # cancels them all where the demo is stopped
            for number in range(NUM_USERS):
                users.create_task(_talk(stage, number, enough))
            await _show_until_learnt(stage)
            enough.set()
    except ExceptionGroup as group:  # what ends one user's talk ends them all, for the same reason
        raise group.exceptions[0] from None


async def _settle(stage: _Stage) -> None:
    """Wait until what the users said last is learnt, so that the second measurement is of one version, the last."""
    deadline_s = time.monotonic() + MAX_SETTLING_S
    quiet_since_s, num_events = time.monotonic(), -1
    with stage.console.status("the users have left; what they said last is being learnt"):
        while (now_s := time.monotonic()) < deadline_s and now_s - quiet_since_s < QUIET_S:
            if not stage.observed.is_settled or stage.observed.events.total() != num_events:
                quiet_since_s, num_events = now_s, stage.observed.events.total()
            await asyncio.sleep(SHOW_EVERY_S)


async def _talk(stage: _Stage, number: int, enough: asyncio.Event) -> None:
    name = f"user-{number}"
    user = ScriptedUser(stage.open_talk, stage.tally, name=name, seed=stage.seed)
    while not enough.is_set():
        with contextlib.suppress(RetryableError):  # the tally has it; the demo will exit 1 and say so
            await user.converse()


async def _show_until_learnt(stage: _Stage) -> None:
    started_s = time.monotonic()
    printer = LinePrinter(stage.console)
    live = Live(console=stage.console, auto_refresh=False, transient=False)
    with live if stage.console.is_terminal else contextlib.nullcontext():
        while True:
            elapsed_s = time.monotonic() - started_s
            if stage.console.is_terminal:
                live.update(table(stage.observed, stage.tally, elapsed_s), refresh=True)
            else:
                printer.update(stage.observed, stage.tally, elapsed_s)
            if stage.observed.serving_version >= NUM_UPDATES or elapsed_s > MAX_LEARNING_S:
                return
            await asyncio.sleep(SHOW_EVERY_S)
