"""`LiveWorld`: the world as a user has it: Kafka, SGLang, gateway, Faust processors, trainer and reloader.

Each run starts a stack of its own with an empty log, so that its version 0 is the base model, and ends it. A round is
over when all that was said in it is accounted for and the newest version serves, as in the other world; what differs is
that a batch which is full before the round ends trains while the users talk on, and that SGLang draws other tokens.
Consumes the log, to know that; produces nothing in it but what users say.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path

import httpx
import orjson

from infra.experiment.drift import Drift, measure_drift
from infra.experiment.llama import read_stop_ids
from infra.experiment.methods import Method
from infra.experiment.pipeline import POLICY
from infra.experiment.world import processors_config, side_answers, trainer_config
from infra.fresh import empty, fresh
from infra.home import Home
from infra.ports import choose_port
from infra.settings import Settings
from infra.stack import Report, Stack, running_stack
from infra.watch import Observed, watching
from processors.recall import ReadLog, log_of
from schemas.errors import FatalError
from schemas.events import ActionTaken, CheckpointPublished
from serving.config import GatewayConfig
from serving.rendering import ChatRenderer
from streams.checkpoints import identify_base
from streams.topics import ACTIONS
from trainer.backends.torch import TorchBackend
from trainer.checkpoint import CheckpointStore

POLL_S = 0.2
ANSWER_S = 300.0  # for one request; a busy machine takes its time
MAX_QUIET_S = 300.0  # without a new event, while some are due: an update takes a tenth of it
NEVER_S = 1e6
_LOOK_AT_THE_CLOCK = ("next_state_timeout_s", "seal_after_s")  # which stands still in the other world

Connect = Callable[[], httpx.AsyncClient]


class LiveWorld:
    """A `World`. Args: connect: makes clients of the gateway; read: reads the log."""

    def __init__(self, settings: Settings, observed: Observed, connect: Connect, read: ReadLog) -> None:
        self._settings = settings
        self._observed = observed
        self._connect = connect
        self._read = read
        self._num_turns = 0  # that were answered
        self._num_next_states = 0  # of them, those that reply to an answer before
        self._num_learnt = 0  # checkpoints

    def client(self) -> httpx.AsyncClient:
        """A client whose requests are counted, to know what must turn up in the log."""
        client = self._connect()
        client.event_hooks = {"response": [self._count]}
        return client

    def seats(self, count: int) -> list[AbstractContextManager[None]]:
        """SGLang answers whoever is there."""
        return [nullcontext()] * count

    async def learn(self) -> list[CheckpointPublished]:
        """Wait for the stack.

        Raises:  FatalError: it stands still.
        """
        await self._settle()
        new = self._observed.checkpoints[self._num_learnt :]
        self._num_learnt += len(new)
        return new

    async def side_answers(self) -> list[ActionTaken]:
        """From the log on the broker."""
        await self._settle()
        return await asyncio.to_thread(lambda: side_answers(self._read((ACTIONS,), None)))

    async def drift(self, answers: Sequence[ActionTaken]) -> Drift:
        """Of the newest version that was not refused, from its folder."""
        return await asyncio.to_thread(self._measure, answers)

    async def _count(self, response: httpx.Response) -> None:
        messages = orjson.loads(response.request.content)["messages"]
        self._num_turns += 1
        self._num_next_states += any(message["role"] == "assistant" for message in messages)

    async def _settle(self) -> None:
        num_events, since_s = -1, time.monotonic()
        async with self._connect() as client:
            while not (self._is_settled() and await self._is_served(client)):
                if self._observed.events.total() != num_events:
                    num_events, since_s = self._observed.events.total(), time.monotonic()
                if time.monotonic() - since_s > MAX_QUIET_S:
                    raise FatalError(self._what_is_missing())
                await asyncio.sleep(POLL_S)

    def _is_settled(self) -> bool:
        seen = self._observed.events
        is_recorded = seen["actions"] >= self._num_turns and seen["next-states"] >= self._num_next_states
        return is_recorded and self._observed.is_settled

    async def _is_served(self, client: httpx.AsyncClient) -> bool:
        """Whether new requests go to the newest version by now: the gateway reads of it when we do, or later."""
        try:
            health = (await client.get("/health")).json()
        except httpx.HTTPError:  # it is being started again
            return False
        return bool(health["versions"][POLICY] == self._observed.serving_version)

    def _what_is_missing(self) -> str:
        seen, observed = self._observed.events, self._observed
        return (
            f"The stack stands still: {seen['actions']} of {self._num_turns} turns and {seen['next-states']} of "
            f"{self._num_next_states} next states are recorded, {observed.waiting_for_sample} turns and "
            f"{observed.waiting_for_training} batches wait, version {observed.serving_version} serves; look into "
            f"{Home(self._settings.home).logs}."
        )

    def _measure(self, answers: Sequence[ActionTaken]) -> Drift:
        model_path = Path(str(self._settings.engine.model_path))
        backend = TorchBackend.load(model_path, self._settings.trainer)
        checkpoint = self._observed.line.weights(self._observed.line.head)
        if checkpoint is not None:
            store = CheckpointStore(self._settings.home, POLICY)
            store.load(checkpoint, identify_base(model_path), backend)
        return measure_drift(backend, ChatRenderer(model_path), read_stop_ids(model_path), answers)


@asynccontextmanager
async def open_live(method: Method, seed: int, *, settings: Settings, report: Report) -> AsyncIterator[LiveWorld]:
    """Starts a stack, and ends it. Args: settings: of this machine; what the outcome depends on is the method's.

    Raises:  FatalError: the stack cannot run here, or another live run goes on in its home.
    """
    own = live_settings(settings, method, seed)
    empty(Home(own.home), "live run")
    async with running_stack(own, report) as stack, watching(stack.kafka, own.processors.batch_size) as observed:
        yield LiveWorld(stack.settings, observed, _connector(stack), log_of(stack.kafka))


def live_settings(settings: Settings, method: Method, seed: int) -> Settings:
    """The stack of one run: broker and engine of the machine, the method's trainer and batches, defaults for the rest.

    No clock decides what is learnt: a turn without a next state stays open, and a batch waits until it is full.
    """
    own = fresh(settings, "live")
    return Settings(
        policy=POLICY,
        home=own.home,
        runtime_home=own.runtime_home,
        kafka=own.kafka,
        broker=own.broker,
        engine=own.engine,
        gateway=GatewayConfig(port=choose_port(None, "gateway.port")),
        processors=processors_config(method).model_copy(update=dict.fromkeys(_LOOK_AT_THE_CLOCK, NEVER_S)),
        trainer=trainer_config(method, seed),
    )


def _connector(stack: Stack) -> Connect:
    return partial(httpx.AsyncClient, base_url=stack.gateway_url, timeout=ANSWER_S, trust_env=False)
