"""The example of a producer in Node, run as a stranger would: what it writes lies in its place and is read."""

import shutil
import subprocess
from pathlib import Path

import pytest

from infra.home import Home
from schemas.events import ActionTaken, NextStateObserved
from schemas.origin import lacks_tokens
from streams.config import KafkaConfig
from streams.consumer import read_all
from streams.topics import ACTIONS, NEXT_STATES

pytestmark = pytest.mark.kafka

EXAMPLE = Path(__file__).parents[2] / "schemas" / "examples" / "produce.js"
KAFKAJS = "kafkajs@2.2.4"
INSTALL_S, RUN_S = 120.0, 60.0


@pytest.fixture(scope="module")
def node_modules(home: Home) -> Path:
    """A folder with the client that the example names."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("there is no Node on this machine")
    folder = home.root / "node" / KAFKAJS
    if not (folder / "node_modules" / "kafkajs").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), KAFKAJS]
        installed = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
        if installed.returncode:
            pytest.skip(f"npm cannot install {KAFKAJS}: {installed.stderr.splitlines()[-1:]}")
    return folder / "node_modules"


def test_what_the_example_writes_is_a_turn_of_another_model(kafka: KafkaConfig, node_modules: Path) -> None:
    ran = subprocess.run(
        ["node", str(EXAMPLE), str(kafka.bootstrap_servers), kafka.topic_prefix],
        capture_output=True,
        text=True,
        timeout=RUN_S,
        env={"NODE_PATH": str(node_modules), "PATH": str(Path(shutil.which("node") or "").parent)},
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    action, state = read_all(kafka, [ACTIONS, NEXT_STATES])
    if action.topic != ACTIONS.name:
        action, state = state, action
    assert (action.error, state.error) == (None, None)
    assert action.partition == state.partition
    assert isinstance(action.event, ActionTaken)
    assert isinstance(state.event, NextStateObserved)
    assert action.event.id == state.event.action_id == ran.stdout.strip()
    assert lacks_tokens(action.event)
