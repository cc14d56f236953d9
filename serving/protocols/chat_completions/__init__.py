"""OpenAI's Chat Completions: POST /v1/chat/completions."""

from collections.abc import Sequence

from serving.api_errors import ApiError
from serving.call import Call
from serving.config import GatewayConfig
from serving.protocols.chat_completions.read import read_chat_completion
from serving.protocols.chat_completions.write import ChunkStream, completion
from serving.protocols.openai import REQUEST_ID_HEADER, openai_refusal
from serving.protocols.wire import Earlier, Head, JsonObject, Refusal
from serving.turn import ChoiceFinished


class ChatCompletions:
    """The protocol's `Wire`. A request holds all that was said, so it never asks for what an earlier action was."""

    path = "/v1/chat/completions"
    request_id_header = REQUEST_ID_HEADER

    def read(self, raw: bytes, config: GatewayConfig, earlier: Earlier) -> Call:  # noqa: ARG002 - the port's form
        """As `Wire.read`."""
        return read_chat_completion(raw, config)

    def whole(self, head: Head, choices: Sequence[ChoiceFinished]) -> JsonObject:
        """As `Wire.whole`."""
        return completion(head, choices)

    def stream(self, head: Head) -> ChunkStream:
        """As `Wire.stream`."""
        return ChunkStream(head)

    def refusal(self, error: ApiError, request_id: str) -> Refusal:  # noqa: ARG002 - the port's form
        """As `Wire.refusal`."""
        return openai_refusal(error)
