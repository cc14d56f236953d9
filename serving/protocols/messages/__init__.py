"""Anthropic's Messages: POST /v1/messages."""

from collections.abc import Sequence

from serving.api_errors import ApiError
from serving.call import Call
from serving.config import GatewayConfig
from serving.protocols.messages.read import read_message_request
from serving.protocols.messages.write import BlockStream, message, message_refusal
from serving.protocols.wire import Earlier, Head, JsonObject, Refusal
from serving.turn import ChoiceFinished


class Messages:
    """The protocol's `Wire`. A request holds all that was said, so it never asks for what an earlier action was."""

    path = "/v1/messages"
    request_id_header = "request-id"

    def read(self, raw: bytes, config: GatewayConfig, earlier: Earlier) -> Call:  # noqa: ARG002 - the port's form
        """As `Wire.read`."""
        return read_message_request(raw, config)

    def whole(self, head: Head, choices: Sequence[ChoiceFinished]) -> JsonObject:
        """As `Wire.whole`."""
        [choice] = choices
        return message(head, choice)

    def stream(self, head: Head) -> BlockStream:
        """As `Wire.stream`."""
        return BlockStream(head)

    def refusal(self, error: ApiError, request_id: str) -> Refusal:
        """As `Wire.refusal`."""
        return message_refusal(error, request_id)
