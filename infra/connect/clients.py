"""`CLIENTS`: what people run agents with, each at the version that `nextstate bench clients` was run with.

The only place for these versions. A client's program lies in `programs/`; between its two marks stand the lines that
connect it, which `nextstate connect` prints (infra/connect/lines.py) and `nextstate bench clients` runs as they are.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from schemas.errors import SettingsError

PROGRAMS = Path(__file__).with_name("programs")
Installer = Literal["uv", "npm", "none"]
Check = Literal["behaves", "turns", "parallel", "correction", "retry", "abandoned", "tokens"]
NODE = "node@24.21.0"  # a Node of the client's own, so that the machine's may be older


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One client. `streams`: it shows a reply while it is drawn; `lacks`: what it does not do, and why."""

    name: str
    title: str
    program: str
    installer: Installer
    packages: tuple[str, ...] = ()
    streams: bool = True
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
        installer="uv",
        packages=("openai==3.54.0",),
    ),
    Client(
        name="openai-responses",
        title="openai (Python), Responses",
        program="openai-responses.py",
        installer="uv",
        packages=("openai==3.54.0",),
    ),
    Client(
        name="anthropic",
        title="anthropic (Python), Messages",
        program="anthropic-messages.py",
        installer="uv",
        packages=("anthropic==2.12.0",),
    ),
    Client(
        name="openai-agents",
        title="openai-agents",
        program="openai-agents.py",
        installer="uv",
        packages=("openai-agents==0.24.0",),
    ),
    Client(
        name="langchain",
        title="langchain with langchain-openai",
        program="langchain-agent.py",
        installer="uv",
        packages=("langchain==1.4.7", "langchain-openai==1.7.3"),
    ),
    Client(
        name="pydantic-ai",
        title="pydantic-ai",
        program="pydantic-ai-agent.py",
        installer="uv",
        packages=("pydantic-ai-slim[openai]==2.68.0",),
    ),
    Client(
        name="openai-node",
        title="openai (Node)",
        program="openai-node.mjs",
        installer="npm",
        packages=(NODE, "openai@7.57.0"),
    ),
    Client(
        name="mini-swe-agent",
        title="mini-swe-agent",
        program="mini-swe-agent.sh",
        installer="uv",
        packages=("mini-swe-agent==2.4.6", "mcp==2.3.0"),  # its litellm imports mcp, and names it nowhere
        streams=False,
    ),
    Client(
        name="ai",
        title="Vercel AI SDK",
        program="ai-sdk.mjs",
        installer="npm",
        packages=(NODE, "ai@7.0.173", "@ai-sdk/openai-compatible@3.0.92", "zod@4.6.7"),
    ),
    Client(
        name="openclaw",
        title="OpenClaw",
        program="openclaw.sh",
        installer="npm",
        packages=(NODE, "openclaw@2026.9.6"),
        streams=False,
    ),
    Client(name="curl", title="curl", program="curl.sh", installer="none"),
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
