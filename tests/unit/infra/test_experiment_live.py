"""The live world waits for its stack, and is measured like the one in this process.

The stack is the pipeline in this process, at work by itself while the users talk, and seen through its log only.
"""

import asyncio
import contextlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from experiment_world import small_config, small_world
from round_events import batch, checkpoint, loaded, next_state, sample

from infra.experiment import live
from infra.experiment.live import LiveWorld, live_settings
from infra.experiment.methods import METHODS
from infra.experiment.pipeline import POLICY
from infra.experiment.rig import Rig, open_rig
from infra.experiment.run import RunSettings, run_one
from infra.experiment.run_log import RunId, read_run, run_path
from infra.experiment.talk import Caller
from infra.experiment.users import Wanted
from infra.home import Home
from infra.settings import Settings
from infra.tiny_model import make_tiny_model
from infra.watch import WATCHED, Observed
from schemas.errors import EngineUnavailableError, FatalError
from schemas.events import CheckpointPublished
from serving.config import EngineConfig, JudgeConfig
from tests.example_events import ACTION

RUN = RunId(method="hybrid_paper", user=None, seed=1, live=True)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "POLL_S", 0.005)


class Door(httpx.AsyncBaseTransport):
    """The way to a rig's gateway, which knows who waits for an answer."""

    def __init__(self, rig: Rig) -> None:
        self._gateway = httpx.ASGITransport(app=rig.pipeline.app)
        self.num_waiting = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.num_waiting += 1
        try:
            return await self._gateway.handle_async_request(request)
        finally:
            self.num_waiting -= 1

    def connect(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=self, base_url="http://gateway")


async def work(rig: Rig, door: Door, observed: Observed) -> None:
    """What the processes of a stack do, and what a follower of its log sees, for ever."""
    num_seen = Counter[str]()
    while True:
        await asyncio.sleep(0.002)
        await rig.pipeline.settle()
        if not door.num_waiting:  # this engine cannot change its adapter while somebody waits
            rig.pipeline.train()
        for topic in WATCHED:
            for record in rig.pipeline.log.records[topic.name][num_seen[topic.name] :]:
                num_seen[topic.name] += 1
                assert record.event is not None
                observed.see(record.event, topic.name)
                if isinstance(record.event, CheckpointPublished):
                    await asyncio.sleep(0.002)
                    observed.see(loaded(record.event.version), "reloads")


@contextlib.asynccontextmanager
async def stack_of(rig: Rig, settings: Settings):
    door, observed = Door(rig), Observed(batch_size=METHODS["hybrid_paper"].batch_size)
    working = asyncio.create_task(work(rig, door, observed))
    yield LiveWorld(settings, observed, door.connect, rig.pipeline.log.read)
    working.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await working


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("live") / "tiny")


def test_a_live_run_learns_round_by_round_and_is_measured_like_the_other(folder, tmp_path):
    drifts, asked = [], []

    @contextlib.asynccontextmanager
    async def open_world(method, seed):
        engine = EngineConfig(model_path=str(folder))
        settings = Settings(home=tmp_path, engine=engine, trainer=small_config(method, seed))
        async with (
            open_rig(method, seed, model_path=folder, home=Home(folder)) as rig,
            stack_of(rig, settings) as world,
        ):
            yield world
            asked.extend(await world.side_answers())
            drifts.extend([await world.drift(asked), await rig.drift(asked)])

    with small_world():
        settings = RunSettings(cap=3, out=tmp_path, questions=None)
        run_one(RUN, settings, open_world)
    found = read_run(run_path(tmp_path, RUN))
    assert found.run["id"] == "hybrid_paper.joint.1.live"
    assert [update["version"] for update in found.updates] == list(range(1, len(found.updates) + 1))
    assert len(found.sessions) == 9
    versions = [session["version"] for session in found.sessions]
    assert versions[0] == 0
    assert max(versions) >= 1
    assert len(asked) == 24
    assert all(action.base_action_id is None for action in asked)
    assert drifts[0] == drifts[1]
    assert found.done["drift"]["kl"] == drifts[0].kl > 0
    assert found.done["cpu_seconds"] > 0


class Gateway:
    """Answers everybody with a word."""

    version = 0
    is_away = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.is_away:
            raise httpx.ConnectError("refused")
        if request.url.path == "/health":
            return httpx.Response(503, json={"versions": {POLICY: self.version}})
        message = {"role": "assistant", "content": "ok"}
        body = {"choices": [{"message": message}], "usage": {"completion_tokens": 1}}
        return httpx.Response(200, json=body, headers={"x-policy-version": str(self.version)})

    def connect(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(self), base_url="http://gateway")


async def spoken_with(gateway: Gateway, observed: Observed) -> LiveWorld:
    """Somebody has asked, and replied to the answer."""
    world = LiveWorld(Settings(), observed, gateway.connect, lambda topics, since_ms: iter(()))
    said = [{"role": "user", "content": "Why?"}]
    async with world.client() as client:
        for messages in (said, [*said, {"role": "assistant", "content": "ok"}, *said]):
            await Caller(client).say(Wanted(user="ta", messages=messages, max_tokens=5, seed=1))
    return world


async def test_a_round_ends_when_all_of_it_is_accounted_for_and_not_before():
    gateway, observed = Gateway(), Observed(batch_size=1)
    world = await spoken_with(gateway, observed)
    learning = asyncio.create_task(world.learn())
    for topic, event in (
        ("actions", replace(ACTION, id="a")),
        ("actions", replace(ACTION, id="b")),
        ("next-states", next_state("a")),
        ("samples", sample("a")),
        ("batches", batch("a")),
        ("checkpoints", checkpoint(1, "a")),
        ("reloads", loaded(1)),
    ):
        await asyncio.sleep(0.03)
        assert not learning.done()
        observed.see(event, topic)
    await asyncio.sleep(0.03)
    assert not learning.done()  # the gateway still sends requests to the version before
    gateway.version = 1
    assert [one.version for one in await learning] == [1]
    assert await world.learn() == []


async def test_a_stack_that_stands_still_ends_the_run_with_what_it_lacks(monkeypatch):
    monkeypatch.setattr(live, "MAX_QUIET_S", 0.03)
    observed = Observed(batch_size=1)
    world = await spoken_with(Gateway(), observed)
    observed.see(replace(ACTION, id="a"), "actions")
    with pytest.raises(FatalError, match=r"1 of 2 turns and 0 of 1 next states are recorded.*look into .*logs"):
        await world.learn()


async def test_a_gateway_that_is_started_again_is_waited_for_but_not_while_users_talk():
    gateway = Gateway()
    world = LiveWorld(Settings(), Observed(batch_size=1), gateway.connect, lambda topics, since_ms: iter(()))
    gateway.is_away = True
    learning = asyncio.create_task(world.learn())
    await asyncio.sleep(0.03)
    assert not learning.done()
    with pytest.raises(EngineUnavailableError, match="did not answer: ConnectError refused"):
        await spoken_with(gateway, Observed(batch_size=1))
    gateway.is_away = False
    assert await learning == []


def test_a_stack_is_set_up_as_the_method_says_and_otherwise_as_in_one_process(tmp_path):
    engine, judge = EngineConfig(num_threads=2), JudgeConfig(max_text_chars=5)
    settings = Settings(home=tmp_path / "out", runtime_home=tmp_path / "runtime", engine=engine, judge=judge)
    method = METHODS["hybrid_paper"]
    own = live_settings(settings, method, 7)
    assert (own.home, own.runtime_home) == (tmp_path / "out" / "live", tmp_path / "runtime")
    assert own.engine == engine
    assert own.judge == JudgeConfig()
    assert own.trainer.objective == method.objective
    assert (own.trainer.learning_rate, own.trainer.seed) == (method.learning_rate, 7)
    assert own.processors.batch_size == method.batch_size
    assert not (tmp_path / "out").exists()
