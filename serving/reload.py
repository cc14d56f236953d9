"""`run_reloader`: the reloader as a process, from its configuration to its end.

Start: the log up to now, so that an engine gets the newest version and not every one since the first. Then: each new
checkpoint at once, and a look at the engine every second, which may have restarted.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path

from schemas.errors import RetryableError, SettingsError
from serving.checkpoint_check import Served
from serving.config import EngineConfig, GateConfig, ReloadConfig
from serving.engine import SGLangEngine
from serving.errors import EngineRefusedError
from serving.gate import Gate
from serving.held_out import read_held_out
from serving.lifetime import beat, run_until_stopped
from serving.reloader import Reloader
from serving.rendering import ChatRenderer
from streams.client import RestartNeededError
from streams.config import KafkaConfig
from streams.consumer import follow, read_all
from streams.producer import EventProducer
from streams.topics import CHECKPOINTS, PROMOTIONS, RELOADS

_LOGGER = logging.getLogger(__name__)
INSTANCE = "reloader"


async def run_reloader(
    config: ReloadConfig, gate: GateConfig, kafka: KafkaConfig, engine: EngineConfig, *, policy: str, heartbeat: Path
) -> None:
    """Keep one engine on the newest good versions of a policy, until cancelled or told to stop by SIGTERM.

    Args:    engine: with `url` and `model_path` of the server that runs; heartbeat: touched every second.
    Raises:  SettingsError: settings that cannot work together; BrokerUnavailableError: no log to read at the start.
    """
    if config.keep_versions >= engine.max_loaded_loras:
        message = "Set reload.keep_versions below engine.max_loaded_loras: a new version needs a place beside them."
        raise SettingsError(message)
    async with _reloader(config, gate, kafka, engine, policy) as reloader:
        news = asyncio.Event()
        await run_until_stopped(
            _follow(kafka, reloader, news), _keep_settled(reloader, news, config.retry_s), beat(heartbeat)
        )


@contextlib.asynccontextmanager
async def _reloader(
    config: ReloadConfig, gate: GateConfig, kafka: KafkaConfig, engine: EngineConfig, policy: str
) -> AsyncIterator[Reloader]:
    """A reloader that has read the log up to now, so that it starts with the newest version and not with the first."""
    model_path = Path(str(engine.model_path))
    served = Served.of(model_path, engine, config)
    client, producer = SGLangEngine(str(engine.url), engine), EventProducer(kafka, INSTANCE)
    reloader = Reloader(config, policy, served, client, producer, gate=_gate(gate, client, model_path))
    try:
        for recorded in await asyncio.to_thread(lambda: list(read_all(kafka, [CHECKPOINTS, PROMOTIONS, RELOADS]))):
            reloader.note(recorded)
        yield reloader
    finally:
        await producer.close()
        await client.close()


def _gate(config: GateConfig, client: SGLangEngine, model_path: Path) -> Gate | None:
    if not config.enabled:
        return None
    questions = read_held_out(config.questions)
    return Gate(config=config, engine=client, renderer=ChatRenderer(model_path), questions=questions)


async def _follow(kafka: KafkaConfig, reloader: Reloader, news: asyncio.Event) -> None:
    """From the beginning again, so that nothing falls between reading and following; what is known changes nothing."""
    async for recorded in follow(kafka, [CHECKPOINTS, PROMOTIONS], from_beginning=True):
        if reloader.note(recorded):
            news.set()


async def _keep_settled(reloader: Reloader, news: asyncio.Event, pause_s: float) -> None:
    trouble = ""
    while True:
        news.clear()
        try:
            await reloader.settle()
            trouble = ""
        except RestartNeededError:
            raise
        except (RetryableError, TimeoutError, EngineRefusedError) as error:
            reason = str(error) or type(error).__name__  # a timeout has no words of its own
            if reason != trouble:
                _LOGGER.warning("the engine is not settled yet: %s", reason)
            trouble = reason
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await news.wait()
