"""Three brokers: the leader is killed under load, again and again, and nothing acknowledged is lost.

    all copies in sync ──► kill -9 of the broker that leads a partition of `actions` ──► the other two elect leaders
                       ──► the gateway's events go to Kafka again ──► the killed one starts, and catches up

Each record is on 3 brokers and acknowledged when 2 have it, so that a leader's death loses none; from its death to the
election the gateway spools.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from infra.faults.account import accounted, failures
from infra.faults.brokers import START_WITHIN_S, Brokers, brokers
from infra.faults.gateway_watch import GatewayWatch, watched
from infra.faults.ledger import Ledger
from infra.faults.load import people
from infra.faults.outcome import Fault, Outcome, Trial
from infra.faults.stage import staged
from infra.settings import archive_folder
from schemas.errors import BrokerUnavailableError, FatalError
from streams.admin import Partition, partitions_of
from streams.config import KafkaConfig
from streams.topics import ACTIONS

NUM_BROKERS = 3
NUM_KILLS, NUM_KILLS_SHORT = 20, 1
NUM_PEOPLE, PAUSE_S = 4, 2.0  # what is due must get done on two cores, too
LONGEST_LIFE_S = 5.0  # between full health and the next kill
ELECTED_WITHIN_S = 60.0  # a broker counts as dead 9 s after its last word
IN_SYNC_WITHIN_S = 60.0 + START_WITHIN_S
_LOOK_S = 0.2


@dataclass(slots=True)
class _Kills:
    """What came of them."""

    victims: list[int] = field(default_factory=list)  # node ids
    recovery_s: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def _tried(trial: Trial) -> Outcome:
    return asyncio.run(_outcome(trial))


FAULTS = (Fault(name="three brokers, the leader killed", run=_tried),)


async def _outcome(trial: Trial) -> Outcome:
    ledger, kills, chance = Ledger(), _Kills(), random.Random(trial.seed)
    async with (
        brokers(trial, NUM_BROKERS) as cluster,
        staged(trial, {"kafka": cluster.kafka.model_dump()}) as stage,
        watched(stage) as watch,
    ):
        url = stage.stack.gateway_url
        async with people(ledger, url, count=NUM_PEOPLE, seed=trial.seed, pause_s=PAUSE_S):
            for _ in range(NUM_KILLS_SHORT if trial.is_short else NUM_KILLS):
                await asyncio.sleep(chance.uniform(1.0, LONGEST_LIFE_S))
                await _kill_leader(cluster, watch, chance, kills)
            await _whole(cluster.kafka)
            await asyncio.sleep(LONGEST_LIFE_S)
        account = await accounted(stage.stack.kafka, ledger, archive_folder(stage.stack.settings))
    spooled = max(look.spooled_bytes for look in watch.looks)
    deaths = ", ".join(f"{kills.victims.count(number)} of broker {number}" for number in sorted(set(kills.victims)))
    return account.outcome(
        tried=len(kills.victims),
        recovery_s=tuple(kills.recovery_s),
        wrong=[*kills.wrong, *failures(ledger)],
        note=f"Deaths: {deaths}. Recovered when each partition had a leader, and the spool, at most "
        f"{spooled / 1e3:.0f} kB, was empty.",
    )


async def _kill_leader(cluster: Brokers, watch: GatewayWatch, chance: random.Random, kills: _Kills) -> None:
    """One death, and all that follows until the three are whole again."""
    kafka = cluster.kafka
    victim = chance.choice([one.leader for one in await _whole(kafka) if one.topic == ACTIONS.name])
    cluster.nodes[victim].kill()
    killed_s = time.monotonic()
    kills.victims.append(victim)
    if await _comes_to_be(kafka, lambda found: _all_led_by_others(found, victim), ELECTED_WITHIN_S):
        await _until_recorded(watch, killed_s, kills)
    else:
        kills.wrong.append(f"Without broker {victim}, not every partition had a leader within {ELECTED_WITHIN_S:g} s.")
    cluster.nodes[victim].start()


async def _whole(kafka: KafkaConfig) -> list[Partition]:
    """The partitions, when all copies of each are in sync.

    Raises:  FatalError: they do not get there, so that there is nothing to try.
    """
    if not await _comes_to_be(kafka, _is_whole, IN_SYNC_WITHIN_S):
        raise FatalError(f"Not all copies were in sync within {IN_SYNC_WITHIN_S:g} s; see the brokers' logs.")
    return await _partitions(kafka)


async def _until_recorded(watch: GatewayWatch, killed_s: float, kills: _Kills) -> None:
    elected_s = time.monotonic()
    while time.monotonic() < elected_s + ELECTED_WITHIN_S:
        if any(look.is_recovered for look in watch.since(elected_s)):
            kills.recovery_s.append(time.monotonic() - killed_s)
            return
        await asyncio.sleep(_LOOK_S)
    kills.wrong.append(f"The gateway's events did not go to Kafka again within {ELECTED_WITHIN_S:g} s of the election.")


async def _comes_to_be(kafka: KafkaConfig, holds: Callable[[Sequence[Partition]], bool], timeout_s: float) -> bool:
    """Whether the partitions come to be so before the deadline."""
    end_s = time.monotonic() + timeout_s
    while not holds(await _partitions(kafka)):
        if time.monotonic() > end_s:
            return False
        await asyncio.sleep(_LOOK_S)
    return True


async def _partitions(kafka: KafkaConfig) -> list[Partition]:
    """None, where no broker tells of them now."""
    try:
        return await asyncio.to_thread(partitions_of, kafka)
    except BrokerUnavailableError:
        return []


def _is_whole(partitions: Sequence[Partition]) -> bool:
    return bool(partitions) and all(len(one.in_sync) == NUM_BROKERS for one in partitions)


def _all_led_by_others(partitions: Sequence[Partition], victim: int) -> bool:
    return bool(partitions) and all(one.leader not in {-1, victim} for one in partitions)
