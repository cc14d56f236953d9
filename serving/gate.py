"""`Gate`: decides whether a version may serve, from what it answers before anybody is routed to it.

    version on the engine ──► measure ──► find_fault ──► PolicyPromoted
                                               └───────► PolicyRefused, with the reason and the numbers

Consumes a version that the engine has under a name which gateways do not route to, and the one that serves. Produces
one decision; the reloader records it and acts on it. A decision is recorded, not derived: measured again it would have
other numbers, so its id is random, and the first one on a version counts (streams/version_line.py).
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from schemas.clock import now_ms
from schemas.errors import TokenMismatchError
from schemas.events import CheckpointPublished, PolicyPromoted, PolicyRefused
from schemas.identity import new_id
from serving.config import GateConfig
from serving.held_out import HeldOut
from serving.measurement import Measurement, Renderer, Speaker, measure

Decision = PolicyPromoted | PolicyRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The gate of one engine."""

    config: GateConfig
    engine: Speaker
    renderer: Renderer
    questions: Sequence[HeldOut]

    async def decide(
        self, checkpoint: CheckpointPublished, adapter: str, *, good_version: int, good_adapter: str | None
    ) -> Decision:
        """Measures a version.

        Args:    adapter: its name in the engine; good_version, good_adapter: the one that serves; None: the base model.
        Raises:  EngineUnavailableError, EngineRefusedError, TimeoutError: nothing was decided, ask again.
        """
        started_s = time.monotonic()
        try:
            async with asyncio.timeout(self.config.timeout_s):
                measured = await measure(
                    self.engine,
                    self.renderer,
                    self.questions,
                    adapter=adapter,
                    serving=good_adapter,
                    num_tokens=self.config.answer_tokens,
                )
        except TokenMismatchError as error:
            return refused(checkpoint, str(error))
        metrics = {**measured.metrics(), "seconds": time.monotonic() - started_s}
        faults = " ".join(find_faults(measured, self.config))
        if faults:
            return refused(checkpoint, faults, compared_with=good_version, metrics=metrics)
        return PolicyPromoted(
            id=new_id(),
            time_ms=now_ms(),
            policy=checkpoint.policy,
            version=checkpoint.version,
            checkpoint_id=checkpoint.id,
            compared_with=good_version,
            metrics=metrics,
        )


def find_faults(measured: Measurement, config: GateConfig) -> Iterator[str]:
    """A sentence for each bound that is passed, naming the setting; none: the version may serve."""
    within = (
        ("kl", measured.kl, None, config.max_kl, "moved {value:.2f} nats per token from the version that serves"),
        ("kl_base", measured.kl_base, None, config.max_kl_base, "moved {value:.2f} nats per token from the base model"),
        ("entropy", measured.entropy, config.min_entropy, config.max_entropy, "has {value:.2f} nats of entropy"),
        ("repeated", measured.repeated, None, config.max_repeated, "repeats {value:.0%} of its 4-grams"),
        ("tokens", measured.tokens, config.min_tokens, None, "answers with {value:.1f} tokens"),
        ("compliance", measured.compliance, config.min_compliance, None, "is as wanted in {value:.0%} of its answers"),
    )
    for name, value, lowest, highest, said in within:
        if value is not None and highest is not None and not value <= highest:
            yield f"It {said.format(value=value)}; gate.max_{name} is {highest:g}."
        if value is not None and lowest is not None and not value >= lowest:
            yield f"It {said.format(value=value)}; gate.min_{name} is {lowest:g}."


def refused(
    checkpoint: CheckpointPublished,
    reason: str,
    *,
    compared_with: int | None = None,
    metrics: dict[str, float] | None = None,
) -> PolicyRefused:
    """The event of a version that will not serve."""
    return PolicyRefused(
        id=new_id(),
        time_ms=now_ms(),
        policy=checkpoint.policy,
        version=checkpoint.version,
        checkpoint_id=checkpoint.id,
        reason=reason,
        compared_with=compared_with,
        metrics=metrics or {},
    )
