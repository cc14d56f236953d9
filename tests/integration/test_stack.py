"""The whole stack through its command line, with real Kafka and SGLang."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from infra.home import Home
from infra.ports import choose_port
from infra.run_file import RunFile

BACK_WITHIN_S = 60.0  # 30 is promised to a machine with two free cores; tests may share theirs
GONE_WITHIN_S = 10.0

pytestmark = [pytest.mark.kafka, pytest.mark.engine]


@dataclass(frozen=True)
class CommandLine:
    """`nextstate` with a home and an engine of this test's."""

    folder: Path
    options: tuple[str, ...]

    def __call__(self, command: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "infra.cli", command, *arguments, *self.options],
            cwd=self.folder,
            env={**os.environ, "NEXTSTATE_HOME": str(self.folder / "home")},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )

    def status(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(self("status", "--json").stdout)
        return facts

    def pids(self) -> dict[str, int]:
        facts = json.loads((self.folder / "home" / "run.json").read_text())
        return {"supervisor": facts["pid"]} | {name: one["pid"] for name, one in facts["components"].items()}


@pytest.fixture(scope="module")
def nextstate(engine: Any, home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    settings = (
        f"engine.url={engine.url}",
        f"engine.model_path={engine.model_path}",
        f"runtime_home={home.root}",
        f"gateway.port={choose_port(None, '')}",
        "gateway.default_max_tokens=8",
    )
    run = CommandLine(tmp_path_factory.mktemp("stack"), tuple(part for one in settings for part in ("--set", one)))
    yield run
    run("down")


@pytest.fixture
def up(nextstate: CommandLine) -> CommandLine:
    """The stack, started where it does not run already."""
    if RunFile(Home(nextstate.folder / "home")).read() is None:
        started = nextstate("up", "--detach")
        assert started.returncode == 0, started.stderr
        assert "Ready: OpenAI clients use http://127.0.0.1:" in started.stderr
    return nextstate


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def eventually(condition: Callable[[], bool], within_s: float) -> bool:
    end_s = time.monotonic() + within_s
    while not condition() and time.monotonic() < end_s:
        time.sleep(0.1)
    return condition()


def test_everything_is_healthy_after_up(up: CommandLine) -> None:
    facts = up.status()
    assert {name: one["state"] for name, one in facts["components"].items()} == dict.fromkeys(
        ["kafka", "gateway", "processors", "trainer", "reloader", "archiver"], "healthy"
    )
    assert facts["learning"]["because"] == "nobody has talked to it yet"
    assert facts["counts"]["runs"] == 1


def test_what_is_said_in_chat_can_be_queried_and_walked(up: CommandLine) -> None:
    said = up("chat", stdin="How can I sleep better?\nThanks!\n")
    assert said.returncode == 0, said.stderr
    rows = json.loads(up("query", "SELECT conversation_id, question, reply FROM turns ORDER BY turn", "--json").stdout)
    assert [row["question"] for row in rows] == ["How can I sleep better?", "Thanks!"]
    assert rows[0]["reply"] == "Thanks!"
    assert "How can I sleep better?" in up("lineage", rows[0]["conversation_id"]).stdout
    assert up("status").stdout.count("healthy") == 6


def test_the_gateway_is_timed_beside_its_engine(up: CommandLine) -> None:
    told = up("bench", "serve", "--rounds", "2", "--max-tokens", "4", "--json")
    assert told.returncode == 0, told.stderr
    table = json.loads(told.stdout)
    assert 0 < table["gateway"]["first_token_ms"] < table["gateway"]["whole_answer_ms"]
    assert 0 < table["engine"]["first_token_ms"] < table["engine"]["whole_answer_ms"]
    sides = json.loads(
        up("query", "SELECT turn_type, count(*) AS n FROM actions GROUP BY 1 ORDER BY 1", "--json").stdout
    )
    assert sides == [{"turn_type": "main", "n": 2}, {"turn_type": "side", "n": 4}]


def test_sql_that_is_not_a_question_is_refused(up: CommandLine) -> None:
    refused = up("query", "DROP TABLE actions")
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1


def test_a_second_up_is_refused(up: CommandLine) -> None:
    refused = up("up")
    assert refused.returncode == 2
    assert refused.stderr.startswith("A stack runs already in ")


def test_a_killed_broker_is_healthy_again_in_time(up: CommandLine) -> None:  # others: tests/faults
    killed = up.pids()["kafka"]
    os.kill(killed, signal.SIGKILL)

    def is_back() -> bool:
        state = json.loads((up.folder / "home" / "run.json").read_text())["components"]["kafka"]
        return state["state"] == "healthy" and state["pid"] != killed

    assert eventually(is_back, BACK_WITHIN_S)


def test_down_leaves_nothing(up: CommandLine) -> None:
    pids = up.pids()
    assert up("down").returncode == 0
    assert [name for name, pid in pids.items() if alive(pid)] == []
    assert up("status").returncode == 1


def test_nothing_outlives_a_killed_supervisor_and_the_log_does(up: CommandLine) -> None:
    assert up.status()["counts"]["actions"] == 6
    pids = up.pids()
    os.kill(pids["supervisor"], signal.SIGKILL)
    assert eventually(lambda: not any(alive(pid) for pid in pids.values()), GONE_WITHIN_S)
    assert up("status").returncode == 1
