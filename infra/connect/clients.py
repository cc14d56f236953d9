"""`CLIENTS`: what people run agents with, each at the version that `nextstate bench clients` was run with.

The only place for these versions. A client's program lies in `programs/`; between its two marks stand the lines that
connect it, which `nextstate connect` prints (infra/connect/lines.py) and `nextstate bench clients` runs as they are.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from schemas.errors import SettingsError

PROGRAMS = Path(__file__).with_name("programs")
Runtime = Literal["python", "node", "shell"]
Check = Literal["behaves", "turns", "parallel", "correction", "retry", "abandoned", "tokens"]
NODE = "node@24.21.0"  # a Node of the client's own, so that the machine's may be older


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One client. `lacks`: what it does not do by itself, and why."""

    name: str
    title: str
    program: str
    runtime: Runtime
    packages: tuple[str, ...] = ()
    lacks: tuple[tuple[Check, str], ...] = ()

    @property
    def file(self) -> Path:
        """Its program."""
        return PROGRAMS / self.program


CLIENTS = (
    Client(
        name="openai",
        title="openai (Python), Chat Completions",
        program="openai-chat.py",
        runtime="python",
        packages=("openai==3.54.0",),
    ),
    Client(
        name="openai-responses",
        title="openai (Python), Responses",
        program="openai-responses.py",
        runtime="python",
        packages=("openai==3.54.0",),
    ),
    Client(
        name="anthropic",
        title="anthropic (Python), Messages",
        program="anthropic-messages.py",
        runtime="python",
        packages=("anthropic==2.12.0",),
    ),
    Client(
        name="openai-agents",
        title="openai-agents",
        program="openai-agents.py",
        runtime="python",
        packages=("openai-agents==0.24.0",),
    ),
    Client(
        name="langchain",
        title="langchain with langchain-openai",
        program="langchain-agent.py",
        runtime="python",
        packages=("langchain==1.4.7", "langchain-openai==1.7.3"),
    ),
    Client(
        name="pydantic-ai",
        title="pydantic-ai",
        program="pydantic-ai-agent.py",
        runtime="python",
        packages=("pydantic-ai-slim[openai]==2.68.0",),
    ),
    Client(
        name="openai-node",
        title="openai (Node)",
        program="openai-node.mjs",
        runtime="node",
        packages=(NODE, "openai@6.49.0"),
    ),
    Client(name="curl", title="curl", program="curl.sh", runtime="shell"),
)


def client_named(name: str) -> Client:
    """The client with this name.

    Raises:  SettingsError: there is none.
    """
    for client in CLIENTS:
        if client.name == name:
            return client
    known = ", ".join(client.name for client in CLIENTS)
    raise SettingsError(f"There is no client called {name!r}: name one of {known}.")
