"""`GatewayWatch`: what a gateway says of its recording, asked over and over, and what its spool has on the disk."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from infra.faults.stage import Stage
from serving.gateway_process import INSTANCE

_LOOK_S = 0.1
_ANSWER_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One answer of GET /health."""

    at_s: float  # monotonic
    status: int
    place: str  # where the next event goes: kafka, spool, nowhere
    trouble: str | None
    spooled_bytes: int
    file_bytes: int  # what the spool's file has on the disk

    @property
    def is_recovered(self) -> bool:
        """Whether events go straight to Kafka, and nothing is left behind."""
        return self.place == "kafka" and self.spooled_bytes == 0


@dataclass(slots=True)
class GatewayWatch:
    """All looks, in order."""

    stage: Stage
    looks: list[Look] = field(default_factory=list)

    def since(self, at_s: float) -> list[Look]:
        """Those from a time on."""
        return [look for look in self.looks if look.at_s >= at_s]

    def first(self, at_s: float, place: str) -> float | None:
        """When events were first seen to go to a place, from a time on; None: never."""
        return next((look.at_s for look in self.since(at_s) if look.place == place), None)

    async def keep_looking(self) -> None:
        """Until cancelled. A gateway that does not answer is not seen: its clients tell of that."""
        spool = self.stage.home.root / "spool" / INSTANCE
        async with httpx.AsyncClient(
            base_url=self.stage.stack.gateway_url, timeout=_ANSWER_S, trust_env=False
        ) as client:
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    answer = await client.get("/health")
                    size = spool.stat().st_size if spool.exists() else 0
                    self.looks.append(_look(answer, size))
                await asyncio.sleep(_LOOK_S)


@asynccontextmanager
async def watched(stage: Stage) -> AsyncIterator[GatewayWatch]:
    """It looks for the length of the `async with`."""
    watch = GatewayWatch(stage)
    looking = asyncio.create_task(watch.keep_looking())
    try:
        yield watch
    finally:
        looking.cancel()
        await asyncio.wait({looking})


async def counted(stage: Stage, name: str) -> float:
    """The sum of a counter on GET /metrics over the series that a text like `events_total{place="nowhere"` begins."""
    async with httpx.AsyncClient(base_url=stage.stack.gateway_url, timeout=_ANSWER_S, trust_env=False) as client:
        lines = (await client.get("/metrics")).text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def _look(answer: httpx.Response, file_bytes: int) -> Look:
    said: dict[str, Any] = answer.json()
    return Look(
        at_s=time.monotonic(),
        status=answer.status_code,
        place=said["recording"],
        trouble=said["trouble"],
        spooled_bytes=said["spooled_bytes"],
        file_bytes=file_bytes,
    )
