"""A full spool: Kafka is away, and the gateway has no room to keep what it is told. It does what the setting says.

    when_unrecordable = "serve"   every reply is served, and the client, /health, the log and a metric say: unrecorded
    when_unrecordable = "refuse"  503 with one sentence, and nothing that was acknowledged is missing afterwards

Room ends by `gateway.spool_max_bytes`, or on the disk: then by a failpoint where the spool is synced.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from infra.faults.account import accounted, failures
from infra.faults.brokers import Node, brokers
from infra.faults.gateway_watch import GatewayWatch, counted, watched
from infra.faults.kafka_away import EMPTIED_WITHIN_S
from infra.faults.ledger import Ledger
from infra.faults.load import people
from infra.faults.outcome import Fault, Outcome, Trial
from infra.faults.stage import Stage, staged, until
from infra.settings import archive_folder
from streams.failpoints import order, was_hit, withdraw

FULL_WITHIN_S = 120.0
NUM_PEOPLE, PAUSE_S = 4, 0.1
BEFORE_S = 3.0
SPOOL_MAX_BYTES = 64 * 1024  # some dozens of turns
PLACE = "spool.before-fsync"
_AGAIN_S = 0.01
SENTENCE = "The spool "  # how the one sentence begins that a client is told
LOST_LINE = "is lost: "  # in the gateway's log
LOST_METRIC = 'nextstate_events_total{place="nowhere"'


@dataclass(frozen=True, slots=True)
class Room:
    """How it ends, and what the setting says then."""

    when_unrecordable: str
    ends_on_disk: bool

    @property
    def settings(self) -> dict[str, object]:
        """Of the gateway."""
        limit = {} if self.ends_on_disk else {"spool_max_bytes": SPOOL_MAX_BYTES}
        return {"when_unrecordable": self.when_unrecordable, **limit}


def _tried(room: Room, trial: Trial) -> Outcome:
    return asyncio.run(_outcome(room, trial))


FAULTS = tuple(
    Fault(name=name, run=partial(_tried, room))
    for name, room in {
        "full spool, set to refuse": Room("refuse", ends_on_disk=False),
        "full spool, set to serve": Room("serve", ends_on_disk=False),
        "no room on the gateway's disk, set to refuse": Room("refuse", ends_on_disk=True),
        "no room on the gateway's disk, set to serve": Room("serve", ends_on_disk=True),
    }.items()
)


async def _outcome(room: Room, trial: Trial) -> Outcome:
    ledger, full_s = Ledger(), 3.0 if trial.is_short else 60.0
    async with brokers(trial) as own:
        [node] = own.nodes.values()
        tables = {"kafka": own.kafka.model_dump(), "gateway": room.settings}
        async with staged(trial, tables) as stage, watched(stage) as watch:
            url = stage.stack.gateway_url
            async with people(ledger, url, count=NUM_PEOPLE, seed=trial.seed, pause_s=PAUSE_S):
                wrong = await _without_room(room, node, watch, full_s)
                returned_s = time.monotonic()
                node.start()
                is_back = await until(
                    lambda: any(look.is_recovered for look in watch.since(returned_s)), EMPTIED_WITHIN_S
                )
                recovery_s = time.monotonic() - returned_s
                await asyncio.sleep(BEFORE_S)
            account = await accounted(stage.stack.kafka, ledger, archive_folder(stage.stack.settings))
    largest = max(look.file_bytes for look in watch.looks)
    is_too_large = not room.ends_on_disk and largest > SPOOL_MAX_BYTES
    return account.outcome(
        tried=int(any(look.place == "nowhere" for look in watch.looks)),
        recovery_s=(recovery_s,) if is_back else (),
        wrong=[
            *wrong,
            *([f"The spool's file grew to {largest} bytes, over its {SPOOL_MAX_BYTES}."] if is_too_large else []),
            *([] if is_back else [f"The spool was not empty after {EMPTIED_WITHIN_S:g} s."]),
            *(_of_refusing if room.when_unrecordable == "refuse" else _of_serving)(ledger),
        ],
        note=f"{len(ledger.unrecorded):,} replies served as unrecorded.",
    )


async def _without_room(room: Room, node: Node, watch: GatewayWatch, full_s: float) -> list[str]:
    """Kafka goes, then the room. Returns: what was not said of it."""
    await asyncio.sleep(BEFORE_S)
    await asyncio.to_thread(node.kill)
    async with _no_room_on_disk(watch.stage) if room.ends_on_disk else contextlib.nullcontext():
        await until(lambda: any(look.place == "nowhere" for look in watch.looks), FULL_WITHIN_S)
        await asyncio.sleep(full_s)
        num_lost = await counted(watch.stage, LOST_METRIC)
    looks = [look for look in watch.looks if look.place == "nowhere"]
    status = 503 if room.when_unrecordable == "refuse" else 200
    said = await asyncio.to_thread(Path(watch.stage.component("gateway").log_file).read_text)
    return [
        *([] if all(look.trouble for look in looks) else ["/health does not say why nothing is recorded."]),
        *([] if all(look.status == status for look in looks) else [f"/health does not answer with {status}."]),
        *([] if num_lost else ["The metric counts no event that went nowhere."]),
        *([] if LOST_LINE in said else ["The gateway's log names no event that is lost."]),
    ]


@asynccontextmanager
async def _no_room_on_disk(stage: Stage) -> AsyncIterator[None]:
    """Each sync of the spool fails with ENOSPC, but for those that come within some milliseconds of one that did."""
    filling = asyncio.create_task(_keep_full(stage))
    try:
        yield
    finally:
        filling.cancel()
        await asyncio.wait({filling})
        withdraw(stage.orders, PLACE)


async def _keep_full(stage: Stage) -> None:
    while True:
        order(stage.orders, PLACE, "fail", 1, "ENOSPC")
        while not was_hit(stage.orders, PLACE):  # noqa: ASYNC110 - another process tells it, by a file
            await asyncio.sleep(_AGAIN_S)


def _of_refusing(ledger: Ledger) -> list[str]:
    """What clients were not told."""
    refused = [one.error for one in ledger.requests if one.error is not None]
    other = [error for error in refused if SENTENCE not in error]
    return [
        *([] if any("503" in error for error in refused) else ["No request was refused with 503."]),
        *([f"A request failed for another reason: {other[0]}"] if other else []),
        *([f"{len(ledger.unrecorded)} replies were served unrecorded."] if ledger.unrecorded else []),
    ]


def _of_serving(ledger: Ledger) -> list[str]:
    return [*([] if ledger.unrecorded else ["Nobody was told of a reply that is not recorded."]), *failures(ledger)]
