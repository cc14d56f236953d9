"""Input items of OpenAI's Responses as messages, and the ids by which a client refers to what it was answered.

A reply is one action here and several items there: a message for its text, and one per tool call. Their ids name the
action, so that an `item_reference` or a `previous_response_id` leads back to it. Consumes raw items and the open
actions, produces messages with their places. Reasoning items are left out, as reasoning is in every protocol.
"""

from http import HTTPStatus
from typing import Any

from schemas.errors import RejectedError
from schemas.events import Message
from schemas.messages import normalise_message
from serving.api_errors import ApiError
from serving.protocols.reading import Placed, placed_errors, whole_turns
from serving.protocols.wire import Earlier, EarlierAction
from serving.reply_ids import action_of, reply_id

INSTRUCTIONS = "instructions"  # name of the message that holds them: they are not carried to the next response


def message_item_id(action_id: str) -> str:
    """The id of the item that holds a reply's text."""
    return reply_id("msg_", action_id)


def call_item_id(action_id: str, number: int) -> str:
    """The id of the item that holds a reply's tool call."""
    return reply_id(f"fc_{number}_", action_id)


def said_before(response_id: str, earlier: Earlier) -> list[Placed]:
    """What was said up to an earlier response, with its reply and without its instructions.

    Raises:  ApiError: there is no such response.
    """
    action = earlier(action_of(response_id))
    if action is None:
        reason = f"Previous response with id {response_id!r} not found; send the whole conversation as 'input'."
        raise ApiError(reason, param="previous_response_id", code="previous_response_not_found")
    said = (message for message in action.all_messages() if message.name != INSTRUCTIONS)
    return [Placed("previous_response_id", message) for message in (*said, action.reply)]


def said_in(given: object, earlier: Earlier) -> list[Placed]:
    """The messages of `input`: a text, or a list of items.

    Raises:  ApiError: an item that cannot be read, or that refers to nothing.
    """
    match given:
        case str():
            return [Placed("input", Message(role="user", content=given))]
        case list():
            said: list[Placed] = []
            for number, item in enumerate(given):
                place = f"input.{number}"
                with placed_errors(place):
                    message = _message(item, earlier)
                said += [] if message is None else [Placed(place, message)]
            return whole_turns(said)
        case _:
            raise ApiError("'input' must be a string or a list of items.", param="input")


def _message(item: Any, earlier: Earlier) -> Message | None:
    match item:
        case {"type": "reasoning"}:
            return None
        case {"type": "function_call", "name": str(name)}:
            function = {"name": name, "arguments": item.get("arguments")}
            call = {"id": item.get("call_id"), "function": function}
            return normalise_message({"role": "assistant", "tool_calls": [call]})
        case {"type": "function_call_output", "call_id": str(call_id)}:
            return normalise_message({"role": "tool", "content": item.get("output"), "tool_call_id": call_id})
        case {"type": "item_reference", "id": str(item_id)}:
            return _referred(item_id, earlier)
        case {"role": role} if item.get("type", "message") == "message":
            return normalise_message({"role": role, "content": item.get("content")})
        case {"type": str(kind)}:
            message = f"An input item of type {kind!r} cannot be read here, or lacks a part of it; leave it out."
            raise RejectedError(message)
        case _:
            raise RejectedError("Each input item must be an object with a 'type', or a message with a 'role'.")


def _referred(item_id: str, earlier: Earlier) -> Message:
    action = earlier(action_of(item_id))
    part = None if action is None else _part(action, item_id)
    if part is None:
        message = f"Item with id {item_id!r} not found; send the item itself."
        raise ApiError(message, status=HTTPStatus.NOT_FOUND, param="input", code="item_not_found")
    return part


def _part(action: EarlierAction, item_id: str) -> Message | None:
    """The part of a reply that an item holds."""
    if item_id == message_item_id(action.action_id):
        return Message(role="assistant", content=action.reply.content)
    calls = {call_item_id(action.action_id, number): call for number, call in enumerate(action.reply.tool_calls)}
    return Message(role="assistant", tool_calls=(calls[item_id],)) if item_id in calls else None
