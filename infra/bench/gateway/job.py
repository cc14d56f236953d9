"""`bench_gateway`: what a call through the gateway adds to the engine's own answer, and what OpenClaw-RL's proxy adds.

    client ──┬────────────────────────────────────────► scripted engine    straight: what any proxy adds to
             ├──► gateway (records to a real Kafka) ──► scripted engine    ours
             └──► OpenClaw-RL's API server ───────────► scripted engine    the reference, where a checkout is named

Measured, from the client: time to the first words and to the end of an answer; and the processor time of each side's
processes. The engine answers with a model's exact tokens at a set pace (engine.py), so that all else is the proxies'
own work. Clients hold conversations of some turns and resend all of it each time, as they do; behind no system prompt,
as the demo's user, and behind an agent's, which is long and says other things in each call. They ask one at a time, and
in 64 streams at once, which begin apart; streaming, and not. All sides take turns, each round in another order, so that
a drift of the machine hits all alike; a first round of each case is not counted.

The gateway gets no header from which it could tell conversations; the reference records nothing without, so it does. At
the end the log must hold every turn with its next state, the record file every turn, and the engine must have written
what was read: else there are no figures. What recording costs an agent that calls another model: infra/bench/recorder.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from infra.bench.gateway.figures import Case, case_figures, case_ratios
from infra.bench.gateway.load import Spoken, SystemPrompt, Talk, caller
from infra.bench.gateway.proof import prove
from infra.bench.gateway.rounds import Measured, Pace, Rounds
from infra.bench.gateway.script import NUM_TOKENS, Script
from infra.bench.gateway.sides import Reference, Sides, running_sides
from infra.bench.prompts import agent_prompt
from infra.settings import Settings
from schemas.events import Message
from serving.rendering import ChatRenderer

# A model answers one quickly and many slowly; at a lone stream's pace 64 would keep the machine busy with the engine.
ALONE = Pace(first_token_s=0.005, token_s=0.002)
TOGETHER = Pace(first_token_s=0.005, token_s=0.020)
PROMPTS: dict[str, SystemPrompt] = {"none": lambda _: None, "agent's": agent_prompt}  # "none": as the demo's user
WITHOUT_REFERENCE = (
    "Without OpenClaw-RL. For its columns: git clone https://github.com/Gen-Verse/OpenClaw-RL, then --reference "
    "OpenClaw-RL (--reference-python: one with fastapi, uvicorn, httpx, transformers and torch; this one has them)."
)
WITH_REFERENCE = (
    "OpenClaw-RL: its openclaw_api_server.py as it is, with slime's own tokenizer loading and samples: it forwards, "
    "tokenises, makes a sample, logs, and writes its record file. Left out, in its favour: its judge (three requests "
    "per turn by the same process), Ray and slime's rollout loop, pauses for weight updates, wandb. It answers streams "
    "in one piece, once the engine is done."
)
THE_ENGINE = (
    "The engine is scripted and renders no prompt, which SGLang does for its chat door: the gateway's own rendering "
    "counts in full. Answers of {tokens} tokens: the first after {first:g} ms, then one every {alone:g} ms alone, and "
    "every {together:g} ms where many stream at once. Kafka's processor time is apart."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured. Rounds are per case and side: of one conversation alone, of one in each stream together."""

    rounds_alone: int = 50
    rounds_together: int = 5
    num_streams: int = 64
    num_turns: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayTable:
    """All cases. `notes` say what runs on each side, and what of it does not."""

    num_cores: int
    num_turns: int
    cases: tuple[Case, ...]
    notes: tuple[str, ...]


def bench_gateway(
    settings: Settings,
    plan: Plan,
    reference: Reference | None,
    *,
    jars: tuple[Path, ...],
    folder: Path,
    report: Callable[[str], None],
) -> GatewayTable:
    """Starts all sides, measures every case, and checks that all of it was real.

    Args:    settings: `engine.model_path` names the policy's model; reference: None: without; jars: Kafka's class path
             (infra/kafka/jars.py); folder: for what they write, empty; report: told about progress.
    Raises:  FatalError: a side did not start, did not answer, or did not record what it should have.
    """
    renderer = ChatRenderer(Path(str(settings.engine.model_path)))
    report("Starting Kafka, the engine and the proxies")
    with running_sides(settings, reference, jars=jars, folder=folder) as sides:
        script = Script.of(renderer)
        cases, num_answers = asyncio.run(_measure(sides, plan, script, renderer, report))
        prove(sides, num_answers, plan.num_turns)
    engine = THE_ENGINE.format(
        tokens=NUM_TOKENS,
        first=1000 * ALONE.first_token_s,
        alone=1000 * ALONE.token_s,
        together=1000 * TOGETHER.token_s,
    )
    return GatewayTable(
        num_cores=psutil.cpu_count() or 0,
        num_turns=plan.num_turns,
        cases=cases,
        notes=(engine, WITHOUT_REFERENCE if reference is None else WITH_REFERENCE),
    )


async def _measure(
    sides: Sides, plan: Plan, script: Script, renderer: ChatRenderer, report: Callable[[str], None]
) -> tuple[tuple[Case, ...], int]:
    """The cases, and how many answers each side gave."""
    cases = []
    async with caller(script) as client:
        rounds = Rounds(sides, client)
        for load in _loads(plan):
            await client.set_pace(sides.engine, load.pace.first_token_s, load.pace.token_s)
            for prompt, system_prompt in PROMPTS.items():
                for is_streaming in (True, False):
                    report(f"System prompt: {prompt}; streams: {load.num_streams}; streaming: {is_streaming}")
                    talk = Talk(system_prompt=system_prompt, num_turns=plan.num_turns, is_streaming=is_streaming)
                    measured = await rounds.measure(talk, load.num_streams, load.num_rounds, load.pace)
                    cases.append(_case(prompt, load.num_streams, talk, measured, renderer))
        return tuple(cases), client.num_answers // len(list(sides))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Load:
    num_streams: int
    num_rounds: int
    pace: Pace


def _loads(plan: Plan) -> tuple[_Load, _Load]:
    return (
        _Load(num_streams=1, num_rounds=plan.rounds_alone, pace=ALONE),
        _Load(num_streams=plan.num_streams, num_rounds=plan.rounds_together, pace=TOGETHER),
    )


def _case(prompt: str, num_streams: int, talk: Talk, measured: Measured, renderer: ChatRenderer) -> Case:
    bare = measured.timings["engine"]
    figures = {name: case_figures(timings, measured.spent[name], bare) for name, timings in measured.timings.items()}
    gateway, reference = figures["gateway"], figures.get("reference")
    return Case(
        prompt=prompt,
        prompt_tokens=len(renderer.render(_opening(talk), "[]", "{}")),
        num_streams=num_streams,
        is_streaming=talk.is_streaming,
        engine=figures["engine"],
        gateway=gateway,
        reference=reference,
        ratios=None if reference is None else case_ratios(gateway, reference),
    )


def _opening(talk: Talk) -> tuple[Message, ...]:
    said = talk.messages(0, [Spoken(role="user", content=talk.question(0, 0))])
    return tuple(Message(role=message["role"], content=message["content"]) for message in said)
