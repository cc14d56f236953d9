"""Health checks: whether a component does its work, asked from outside.

Each factory makes a `Check`: a coroutine function that answers within seconds and never raises.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

from schemas.errors import NextstateError
from streams.admin import wait_for_broker
from streams.config import KafkaConfig

Check = Callable[[], Awaitable[bool]]

ANSWER_S = 3.0  # two busy cores can keep a healthy server from answering at once
PROBE_EVERY_S = 10.0  # each costs an idle engine one token
PROBE_S = 10.0  # SGLang looks once a second whether it has come, and a busy CPU takes its time
BEAT_S = 5.0  # a heartbeat is due every second or so


def kafka_answers(config: KafkaConfig) -> Check:
    """The broker says which topics it has."""

    async def check() -> bool:
        try:
            await asyncio.to_thread(wait_for_broker, config, ANSWER_S)
        except NextstateError:
            return False
        return True

    return check


def http_answers(url: str, timeout_s: float = ANSWER_S) -> Check:
    """A GET of the url is answered with a 2xx."""

    async def check() -> bool:
        try:
            async with httpx.AsyncClient(timeout=timeout_s, trust_env=False) as client:
                return (await client.get(url)).is_success
        except httpx.HTTPError:
            return False

    return check


def sglang_draws(url: str) -> Check:
    """An SGLang server answers and, looked at now and then, still draws tokens.

    What draws is a process of its own behind the one that answers: while it is dead, hung or frozen, `/health` (whose
    own token serving/launch turns off) says that all is well. A server that draws for somebody draws no more for this.
    """
    answers, draws = http_answers(f"{url}/health"), http_answers(f"{url}/health_generate", PROBE_S)
    drew_s = -math.inf

    async def check() -> bool:
        nonlocal drew_s
        if not await answers():
            return False
        if time.monotonic() - drew_s > PROBE_EVERY_S:
            if not await draws():
                return False
            drew_s = time.monotonic()
        return True

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
