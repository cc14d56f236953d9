"""`connecting`: the lines that connect a client to a gateway, taken from the program that the benchmark runs.

In a program they stand between two marks. A comment that begins with `$` is a line for the shell, which Python and Node
cannot hold otherwise. `@URL@`, `@KEY@` and `@MODEL@` stand for this gateway's address, a key and the policy,
`@CONTEXT@` and `@REPLY@` for how many tokens the context holds, and how many of them a reply may have.
"""

import re
from dataclasses import dataclass

from infra.connect.clients import Client

REPLY_TOKENS = 4_096  # as many as an agent needs for a long answer with its calls
_MARK = re.compile(r"^\s*(?:#|//) (connect:|connected\.)$")
_SHELL_LINE = re.compile(r"^(?:#|//) \$ ")
_EXPORT = re.compile(r"^export (\w+)=(.*)$")


@dataclass(frozen=True, slots=True)
class Address:
    """A gateway as clients name it. `url` has no `/v1`; `context_tokens`: prompt and reply together."""

    url: str
    key: str
    model: str
    context_tokens: int

    def fill(self, text: str) -> str:
        """The text with the address in it."""
        reply_tokens = min(REPLY_TOKENS, self.context_tokens // 4)  # the gateway wants room for a prompt
        words = {"CONTEXT": self.context_tokens, "REPLY": reply_tokens}
        for name, value in {"URL": self.url, "KEY": self.key, "MODEL": self.model, **words}.items():
            text = text.replace(f"@{name}@", str(value))
        return text


@dataclass(frozen=True, slots=True)
class Lines:
    """What connects one client: lines for the shell, and lines of its program."""

    shell: tuple[str, ...]
    code: tuple[str, ...]

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the shell's lines export."""
        return {found[1]: found[2] for found in map(_EXPORT.match, self.shell) if found}


def program(client: Client, address: Address) -> str:
    """The client's whole program, with the address in it."""
    return address.fill(client.file.read_text())


def connecting(client: Client, address: Address) -> Lines:
    """The lines that connect it."""
    shell, code, is_inside = [], [], False
    for line in program(client, address).splitlines():
        if mark := _MARK.match(line):
            is_inside = mark[1] == "connect:"
        elif is_inside and (client.file.suffix == ".sh" or _SHELL_LINE.match(line)):
            shell.append(_SHELL_LINE.sub("", line))
        elif is_inside:
            code.append(line)
    return Lines(tuple(shell), tuple(_trimmed(code)))


def _trimmed(lines: list[str]) -> list[str]:
    return "\n".join(lines).strip("\n").splitlines()
