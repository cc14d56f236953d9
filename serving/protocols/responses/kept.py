"""`kept_response`: a response told again, GET /v1/responses/{id}, for as long as it may still be continued.

Made of the open action, which is what the gateway keeps for matching, also after a restart: the answer, how it ended,
the instructions, and how many tokens there were. What else the request asked for (tools, temperature ...) is in
the log and not here: it is left out, or as the API has it where nothing was asked. Pure.
"""

from collections.abc import Callable
from http import HTTPStatus

from serving.api_errors import ApiError
from serving.protocols.responses.items import INSTRUCTIONS
from serving.protocols.responses.write import PREFIX, ending, output_items, usage_json
from serving.protocols.wire import JsonObject, Usage
from serving.reply_ids import action_of, reply_id
from streams.open_actions import OpenAction

_NOT_ASKED: JsonObject = {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True, "metadata": {}}


def kept_response(response_id: str, kept: Callable[[str], OpenAction | None]) -> JsonObject:
    """The response with this id.

    Args:    kept: finds an open action of the tenant by its id.
    Raises:  ApiError: it was never given to this tenant, or is forgotten (404).
    """
    action = kept(action_of(response_id)) if response_id.startswith(PREFIX) else None
    if action is None:
        message = f"Response with id {response_id[:100]!r} not found; it was not given to you, or too long ago."
        raise ApiError(message, status=HTTPStatus.NOT_FOUND)
    return {
        "id": reply_id(PREFIX, action.action_id),
        "object": "response",
        "created_at": action.about.time_ms // 1000,
        "error": None,
        "model": action.about.policy,
        **ending(action.finish_reason),
        **_NOT_ASKED,
        "instructions": _instructions(action),
        "output": output_items(action.action_id, action),
        "usage": usage_json(_usage(action)) if action.response_ids else None,
    }


def _instructions(action: OpenAction) -> str | None:
    return next((message.content for message in action.all_messages() if message.name == INSTRUCTIONS), None)


def _usage(action: OpenAction) -> Usage:
    """How many tokens came from the engine's cache is not kept: none are counted."""
    num_prompt, num_drawn = len(action.all_prompt_ids()), len(action.response_ids)
    return Usage(prompt_tokens=num_prompt, completion_tokens=num_drawn, cached_tokens=0)
