"""OpenAI's Responses: POST /v1/responses."""

from collections.abc import Sequence

from serving.api_errors import ApiError
from serving.call import Call
from serving.config import GatewayConfig
from serving.protocols.openai import REQUEST_ID_HEADER, openai_refusal
from serving.protocols.responses.read import read_response_request
from serving.protocols.responses.stream import ItemStream
from serving.protocols.responses.write import response
from serving.protocols.wire import Earlier, Head, JsonObject, Refusal
from serving.turn import ChoiceFinished


class Responses:
    """The protocol's `Wire`. What a request refers to is looked up among the open actions; nothing else is stored."""

    path = "/v1/responses"
    request_id_header = REQUEST_ID_HEADER

    def read(self, raw: bytes, config: GatewayConfig, earlier: Earlier) -> Call:
        """As `Wire.read`."""
        return read_response_request(raw, config, earlier)

    def whole(self, head: Head, choices: Sequence[ChoiceFinished]) -> JsonObject:
        """As `Wire.whole`."""
        [choice] = choices
        return response(head, choice)

    def stream(self, head: Head) -> ItemStream:
        """As `Wire.stream`."""
        return ItemStream(head)

    def refusal(self, error: ApiError, request_id: str) -> Refusal:  # noqa: ARG002 - the port's form
        """As `Wire.refusal`."""
        return openai_refusal(error)
