"""`run_gateway`: the gateway as a process, from its configuration to its end.

Start: spool and producer, the open actions and routes as the spool and the log have them, then the socket; so the first
request is served like the last one before a restart. Without Kafka it starts on the spool alone: until the log can be
read, the base model serves, and requests that continue an older conversation open a new one; what they say of the older
one is found afterwards, if they were answered (streams/late.py).

End (serving/shutdown.py): no new requests, those under way to their recorded end, then the spool.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from schemas.clock import now_ms
from schemas.errors import MissingRuntimeError, RetryableError, SpoolFullError
from schemas.events import ActionTaken, Event, FeedbackGiven, NextStateObserved, PolicyLoaded
from serving.chat import Served
from serving.config import EngineConfig, GatewayConfig
from serving.engine import SGLangEngine
from serving.gateway import create_app
from serving.keys import refuse_open_gateway
from serving.lifetime import beat, run_until_stopped
from serving.rendering import ChatRenderer
from serving.routing import Routes, follow_reloads
from serving.shutdown import FLUSH_S, GRACE_S
from streams.config import KafkaConfig
from streams.consumer import read_all
from streams.conversation import ConversationIndex
from streams.late import late_next_states
from streams.producer import EventProducer
from streams.recorder import Recorder
from streams.spool import Spool
from streams.topics import ACTIONS, FEEDBACK, NEXT_STATES, RELOADS

_RESTORED = (ACTIONS, NEXT_STATES, FEEDBACK, RELOADS)
_LOGGER = logging.getLogger(__name__)
INSTANCE = "gateway"
RETRY_PAUSE_S = 1.0
BACKLOG = 512  # connections that may wait to be accepted


async def run_gateway(
    config: GatewayConfig,
    kafka: KafkaConfig,
    engine: EngineConfig,
    *,
    engine_url: str,
    model_path: Path,
    policy: str,
    home: Path,
    heartbeat: Path,
) -> None:
    """Serve until cancelled or told to stop by SIGTERM or SIGINT.

    Args:    engine_url, model_path: of the engine that runs, and of its base model; home: folder for the spool;
             heartbeat: touched every second while the process is alive.
    Raises:  SettingsError: others could use it, and there are no keys; MissingRuntimeError: the address is taken;
             FatalError: topics, spool or model are not usable;
             RestartNeededError: this process's Kafka client can go no further.
    """
    refuse_open_gateway(config.host, tuple(config.api_keys))
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(_listener(config.host, config.port))
        recorder = await stack.enter_async_context(_recorder(config, kafka, home))
        memory = Memory(ConversationIndex.of(config, now_ms), Routes(policy), recorder, kafka)
        is_restored = await memory.restore()
        served = Served(
            renderer=await asyncio.to_thread(ChatRenderer, model_path),
            base_model=model_path.name,
            context_length=engine.context_length,
        )
        client = SGLangEngine(engine_url, engine.model_copy(update={"model_path": str(model_path)}))
        stack.push_async_callback(client.close)
        app = create_app(
            config, engine=client, recorder=recorder, index=memory.index, routes=memory.routes, served=served
        )
        works = [serve(app, listener), follow_reloads(kafka, memory.routes), recorder.until_failed(), beat(heartbeat)]
        await run_until_stopped(*works, *([] if is_restored else [memory.restore_later()]))


@dataclass(frozen=True, slots=True)
class Memory:
    """What an earlier gateway knew, and where that is written down."""

    index: ConversationIndex
    routes: Routes
    recorder: Recorder
    kafka: KafkaConfig

    async def restore(self) -> bool:
        """Read it back from the spool and the log; False: from the spool alone, since the log cannot be read now."""
        spooled = await asyncio.to_thread(self.recorder.pending)  # first: what leaves it now is in the log by then
        try:
            logged = await asyncio.to_thread(recorded_events, self.kafka)
        except RetryableError as error:
            _LOGGER.warning("older conversations are not known yet: %s", error)
            restore(spooled, self.index, self.routes)
            return False
        events = [*logged, *spooled]  # of an id the first record counts
        restore(events, self.index, self.routes)
        await self._tell_late(events)
        return True

    async def restore_later(self) -> None:
        """Try until it has worked."""
        for _ in range(2):  # once more, since some requests were recorded while the log was read
            is_restored = False
            while not is_restored:
                await asyncio.sleep(RETRY_PAUSE_S)
                is_restored = await self.restore()

    async def _tell_late(self, events: Sequence[Event]) -> None:
        actions = [event for event in events if isinstance(event, ActionTaken)]
        next_states = [event for event in events if isinstance(event, NextStateObserved)]
        late = list(late_next_states(actions, next_states, self.index))
        try:
            for state in late:
                await self.recorder.record(NEXT_STATES, state)
        except SpoolFullError as error:
            _LOGGER.warning("what was said of older answers waits for another start: %s", error)
        if late:
            _LOGGER.info("%d requests followed answers that were not known when they came", len(late))


def recorded_events(kafka: KafkaConfig) -> list[Event]:
    """What the log holds of open actions and routes. Blocking.

    Raises:  BrokerUnavailableError: Kafka does not answer; FatalError: a topic is missing.
    """
    return [record.event for record in read_all(kafka, _RESTORED) if record.event is not None]


def restore(events: Sequence[Event], index: ConversationIndex, routes: Routes) -> None:
    """Take in what was recorded, in any order and with duplicates; reloads in the log's order."""
    actions = [event for event in events if isinstance(event, ActionTaken)]
    next_states = [event for event in events if isinstance(event, NextStateObserved)]
    feedback = [event for event in events if isinstance(event, FeedbackGiven)]
    for event in events:
        if isinstance(event, PolicyLoaded):
            routes.apply(event)
    num_open = index.restore(actions, next_states, feedback)
    _LOGGER.info("restored %d open actions of %d recorded", num_open, len(actions))


@asynccontextmanager
async def _recorder(config: GatewayConfig, kafka: KafkaConfig, home: Path) -> AsyncIterator[Recorder]:
    producer = EventProducer(kafka, INSTANCE)
    try:
        spool = Spool(home / "spool" / INSTANCE, config.spool_max_bytes)
        async with Recorder(producer, spool, config.record_deadline_s) as recorder:
            yield recorder
    finally:
        await producer.close(FLUSH_S)


@contextlib.contextmanager
def _listener(host: str, port: int) -> Iterator[socket.socket]:
    """The bound address; taken first, so that a second gateway fails before it touches the spool."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            message = f"The gateway cannot listen on {host}:{port}: {error.strerror}; set gateway.port to a free one."
            raise MissingRuntimeError(message) from error
        yield listener


async def serve(app: Starlette, listener: socket.socket) -> None:
    """Answer requests until cancelled; then those under way may end, or are left and recorded as aborted."""
    server = _Server(
        uvicorn.Config(app, access_log=False, log_config=None, backlog=BACKLOG, timeout_graceful_shutdown=GRACE_S)
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.stop()
        await serving
        raise


class _Server(uvicorn.Server):
    """uvicorn, which takes no signals: it would raise them again and so end the process before the recorder has."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        """Take no new requests, and end when the open ones have."""
        self.should_exit = True
