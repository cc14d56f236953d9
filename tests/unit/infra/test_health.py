"""A health check sees what a user would notice: an engine that answers and no longer draws is not healthy."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra import health
from infra.components import engine_component
from infra.health import Check
from infra.home import Home
from infra.settings import Settings

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


@dataclass
class Doors:
    """SGLang's two: one says that the server is there, the other that a token came."""

    url: str = ""
    draws: bool = True
    num_tokens: int = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        if b"/health_generate" in asked:
            self.num_tokens += 1
            if not self.draws:
                await reader.read()  # until the check has had enough
        writer.write(OK)
        writer.close()


@asynccontextmanager
async def doors() -> AsyncIterator[Doors]:
    it = Doors()
    async with await asyncio.start_server(it.answer, "127.0.0.1", 0) as server:
        it.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield it


def check_of(url: str, folder: Path) -> Check:
    settings = Settings.model_validate({"engine": {"url": url, "model_path": str(folder), "device": "cpu"}})
    return engine_component(settings, Home(folder)).check


async def test_an_engine_that_answers_and_draws_no_token_is_not_healthy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PROBE_S", 0.3)
    monkeypatch.setattr(health, "PROBE_EVERY_S", 0.0)
    async with doors() as engine:
        check = check_of(engine.url, tmp_path)
        assert await check()
        engine.draws = False
        assert not await check()
        engine.draws = True
        assert await check()


async def test_a_token_is_asked_for_now_and_then_only(tmp_path: Path) -> None:
    async with doors() as engine:
        check = check_of(engine.url, tmp_path)
        assert [await check() for _ in range(5)] == [True] * 5
        assert engine.num_tokens == 1


async def test_an_engine_that_is_away_is_not_healthy(tmp_path: Path) -> None:
    async with doors() as engine:
        check = check_of(engine.url, tmp_path)
    assert not await check()
