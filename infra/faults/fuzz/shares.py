"""`SHARES`: the targets, and how many inputs of the million each gets. Imports no target: a worker has to do that."""

from dataclasses import dataclass

from schemas.errors import SettingsError

_TARGETS = "infra.faults.fuzz.targets"
SHORT = 250  # of so many inputs the short size tries one


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One target. `module`: its `make(name, folder)` makes it."""

    name: str
    what: str  # as the table says it
    module: str
    num_inputs: int  # at full size

    def size(self, *, is_short: bool) -> int:
        """How many inputs it gets."""
        return self.num_inputs // SHORT if is_short else self.num_inputs


def _gateway(name: str, what: str, num_inputs: int) -> Share:
    return Share(name=name, what=what, module=f"{_TARGETS}.gateway", num_inputs=num_inputs)


# By what an input costs: a decoder reads ten thousands a second, the gateway some hundreds.
SHARES = (
    _gateway("chat", "POST /v1/chat/completions", 60_000),
    _gateway("responses", "POST /v1/responses", 50_000),
    _gateway("messages", "POST /v1/messages and its count_tokens", 50_000),
    _gateway("feedback", "POST /v1/feedback", 40_000),
    _gateway("events", "POST /v1/events", 60_000),
    _gateway("otlp", "POST /v1/traces and /v1/logs", 60_000),
    _gateway("reads", "GET routes, other methods and paths", 30_000),
    Share(name="decoders", what="every event decoder, with headers", module=f"{_TARGETS}.decoders", num_inputs=360_000),
    Share(name="arrow", what="the Arrow reader", module=f"{_TARGETS}.arrow", num_inputs=100_000),
    Share(name="chats", what="import formats in text", module=f"{_TARGETS}.chats", num_inputs=70_000),
    Share(name="store", what="OpenClaw's session store", module=f"{_TARGETS}.store", num_inputs=20_000),
    Share(name="recorder", what="what a program tells its recorder", module=f"{_TARGETS}.recorder", num_inputs=60_000),
    Share(
        name="settings", what="settings file, --set and environment", module=f"{_TARGETS}.settings", num_inputs=40_000
    ),
)


def share_of(name: str) -> Share:
    """The share of a target.

    Raises:  SettingsError: there is none of this name.
    """
    for share in SHARES:
        if share.name == name:
            return share
    raise SettingsError(f"There is no target {name!r}; these are: {', '.join(share.name for share in SHARES)}.")
