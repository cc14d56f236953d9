"""Health checks: whether a component does its work, asked from outside.

Each factory makes a `Check`: a coroutine function that answers within a few seconds and never raises.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

from schemas.errors import BrokerUnavailableError
from streams.admin import wait_for_broker
from streams.config import KafkaConfig

Check = Callable[[], Awaitable[bool]]

ANSWER_S = 3.0  # two busy cores can keep a healthy server from answering at once
BEAT_S = 5.0  # a heartbeat is due every second or so


def kafka_answers(config: KafkaConfig) -> Check:
    """The broker says which topics it has."""

    async def check() -> bool:
        try:
            await asyncio.to_thread(wait_for_broker, config, ANSWER_S)
        except BrokerUnavailableError:
            return False
        return True

    return check


def http_answers(url: str) -> Check:
    """A GET of the url is answered with a 2xx."""

    async def check() -> bool:
        try:
            async with httpx.AsyncClient(timeout=ANSWER_S, trust_env=False) as client:
                return (await client.get(url)).is_success
        except httpx.HTTPError:
            return False

    return check


def heartbeat_is_fresh(file: Path, max_age_s: float = BEAT_S) -> Check:
    """The component has touched its heartbeat file lately."""

    async def check() -> bool:
        return _age_s(file) < max_age_s

    return check


def _age_s(file: Path) -> float:
    try:
        return time.time() - file.stat().st_mtime
    except FileNotFoundError:
        return math.inf
