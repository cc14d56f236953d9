"""`kill -9` of each component in turn before real SGLang and the real small model, while people talk."""

import asyncio
import random
import time
from pathlib import Path
from typing import Any

import pytest

from infra.faults.account import accounted
from infra.faults.ledger import Ledger
from infra.faults.load import people
from infra.faults.stage import RunningStack
from infra.faults.victims import Victim
from infra.home import Home
from infra.ports import choose_port
from infra.settings import Settings, archive_folder
from infra.stack import running_stack

pytestmark = [pytest.mark.kafka, pytest.mark.engine, pytest.mark.timeout(900)]

VICTIMS = ("processors", "trainer", "reloader", "gateway")
BACK_WITHIN_S = 60.0  # 30 is promised to a machine with two free cores; tests may share theirs
LIFE_S = 2.0
SETTLED_WITHIN_S = 300.0  # the gate looks at the newest version, too


def settings(engine: Any, home: Home, folder: Path) -> Settings:
    table = {
        "home": folder,
        "runtime_home": home.root,
        "engine": {"url": engine.url, "model_path": str(engine.model_path)},
        "gateway": {"port": choose_port(None, "")},
        "processors": {"batch_size": 8, "next_state_timeout_s": 5.0, "seal_after_s": 5.0},
        "trainer": {"max_staleness": 1000},
    }
    return Settings.model_validate(table)


async def test_each_component_comes_back_and_loses_and_repeats_nothing(engine: Any, home: Home, tmp_path: Path) -> None:
    ledger, chance = Ledger(), random.Random(0)
    async with running_stack(settings(engine, home, tmp_path / "home"), print) as stack:
        running, took_s = RunningStack(stack), {}
        async with people(ledger, stack.gateway_url, count=2, seed=0, max_tokens=6):
            for name in VICTIMS:
                await asyncio.sleep(LIFE_S)
                victim = Victim(running, name)
                assert victim.strike(chance)
                struck_s = time.monotonic()
                assert await victim.back(), f"{name} did not come back"
                took_s[name] = time.monotonic() - struck_s
            await asyncio.sleep(LIFE_S)
        account = await accounted(stack.kafka, ledger, archive_folder(stack.settings), SETTLED_WITHIN_S)
    outcome = account.outcome(tried=len(took_s), recovery_s=tuple(took_s.values()), wrong=[], note="")
    assert outcome.holds, outcome
    assert account.found.num_trained, "nothing trained"
    assert max(took_s.values()) < BACK_WITHIN_S, took_s
