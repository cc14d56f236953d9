"""`run_gateway`: the gateway as a process, from its configuration to its end.

Start: spool and producer, the open actions and routes as the log has them, then the socket; so the first request is
served like the last one before a restart. End: no new requests, those under way to their recorded end, then the spool.
"""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette

from schemas.clock import now_ms
from schemas.errors import MissingRuntimeError
from schemas.events import ActionTaken, NextStateObserved, PolicyLoaded
from serving.chat import SHUTDOWN_S, Served
from serving.config import EngineConfig, GatewayConfig
from serving.conversation import ConversationIndex
from serving.engine import SGLangEngine
from serving.gateway import create_app
from serving.rendering import ChatRenderer
from serving.routing import Routes, follow_reloads
from streams.config import KafkaConfig
from streams.consumer import read_all
from streams.producer import EventProducer
from streams.recorder import Recorder
from streams.spool import Spool
from streams.topics import ACTIONS, NEXT_STATES, RELOADS

_LOGGER = logging.getLogger(__name__)
INSTANCE = "gateway"
HEARTBEAT_S = 1.0
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
    Raises:  MissingRuntimeError: the address is taken; FatalError: topics or spool are not usable.
    """
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(_listener(config.host, config.port))
        recorder = await stack.enter_async_context(_recorder(config, kafka, home))
        index, routes = _empty_index(config), Routes(policy)
        await asyncio.to_thread(restore, kafka, index, routes)
        served = Served(
            renderer=await asyncio.to_thread(ChatRenderer, model_path),
            base_model=model_path.name,
            context_length=engine.context_length,
        )
        client = SGLangEngine(engine_url, engine.model_copy(update={"model_path": str(model_path)}))
        stack.push_async_callback(client.close)
        app = create_app(config, engine=client, recorder=recorder, index=index, routes=routes, served=served)
        await stack.enter_async_context(_in_background(follow_reloads(kafka, routes)))
        await stack.enter_async_context(_in_background(_beat(heartbeat)))
        await _serve(app, listener)


def restore(kafka: KafkaConfig, index: ConversationIndex, routes: Routes) -> None:
    """What an earlier gateway knew, read back from the log."""
    actions, next_states = [], []
    for record in read_all(kafka, [ACTIONS, NEXT_STATES, RELOADS]):
        match record.event:
            case ActionTaken() as action:
                actions.append(action)
            case NextStateObserved() as state:
                next_states.append(state)
            case PolicyLoaded() as loaded:
                routes.apply(loaded)
    num_open = index.restore(actions, next_states)
    _LOGGER.info("restored %d open actions of %d in the log", num_open, len(actions))


def _empty_index(config: GatewayConfig) -> ConversationIndex:
    return ConversationIndex(
        max_bytes=config.max_open_bytes, max_age_ms=int(config.max_open_age_s * 1000), now_ms=now_ms
    )


@asynccontextmanager
async def _recorder(config: GatewayConfig, kafka: KafkaConfig, home: Path) -> AsyncIterator[Recorder]:
    producer = EventProducer(kafka, INSTANCE)
    try:
        spool = Spool(home / "spool" / INSTANCE, config.spool_max_bytes)
        async with Recorder(producer, spool, config.record_deadline_s) as recorder:
            yield recorder
    finally:
        await producer.close()


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


async def _serve(app: Starlette, listener: socket.socket) -> None:
    server = _Server(
        uvicorn.Config(
            app, access_log=False, log_config=None, backlog=BACKLOG, timeout_graceful_shutdown=int(SHUTDOWN_S)
        )
    )
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ValueError, RuntimeError):  # not in the main thread: whoever runs us cancels
        for kind in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(kind, server.stop)
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


@asynccontextmanager
async def _in_background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _beat(heartbeat: Path) -> None:
    while True:
        await asyncio.to_thread(heartbeat.touch)
        await asyncio.sleep(HEARTBEAT_S)
