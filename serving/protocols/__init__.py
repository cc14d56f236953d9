"""The protocols that the gateway speaks. `serving/protocols/wire.py` says what one is."""

from serving.protocols.chat_completions import ChatCompletions
from serving.protocols.messages import Messages
from serving.protocols.responses import Responses
from serving.protocols.wire import Wire

WIRES: tuple[Wire, ...] = (ChatCompletions(), Responses(), Messages())  # the first gives other paths their errors


def wire_of(path: str) -> Wire:
    """The protocol in whose form a client of this path reads errors."""
    return next((wire for wire in WIRES if path == wire.path or path.startswith(f"{wire.path}/")), WIRES[0])
