"""`ItemStream`: a response as its stream of events.

    response.created, response.in_progress
      per item:  output_item.added
                   text:  content_part.added, output_text.delta ..., output_text.done, content_part.done
                   call:  function_call_arguments.delta, function_call_arguments.done
                 output_item.done
    response.completed, or response.incomplete, or response.failed

Owns the order and the numbers of the events; what they hold is `write.py`'s. Text opens its item when it comes; tool
calls are whole when they come.
"""

from collections.abc import Sequence

from serving.api_errors import ApiError
from serving.protocols.openai import token_json
from serving.protocols.responses.items import message_item_id
from serving.protocols.responses.write import (
    begun_response,
    failed_response,
    message_item,
    output_items,
    response,
    text_part,
)
from serving.protocols.wire import Head, JsonObject, server_sent, told_of
from serving.turn import ChoiceFinished, TextAdded


class ItemStream:
    """One reply."""

    def __init__(self, head: Head) -> None:
        self._head = head
        self._num_events = 0
        self._text_is_open = False
        self._held: list[JsonObject] = []  # log-probabilities of tokens before any text: of a call, it may turn out

    def begin(self) -> bytes:
        """The response without output."""
        begun = begun_response(self._head)
        return self._event("response.created", response=begun) + self._event("response.in_progress", response=begun)

    def add(self, added: TextAdded) -> bytes:
        """Text, with the log-probabilities of its tokens and of those before it that have shown none."""
        self._held += map(token_json, added.logprobs)
        is_told = added.text or (self._text_is_open and self._held)
        return self._text(added.text) if is_told else b""

    def finish(self, choice: ChoiceFinished) -> bytes:
        """Text that was held back, and the end of each item."""
        parts = [self._text(choice.rest)] if choice.rest else []
        for index, item in enumerate(output_items(self._head.action_ids[0], choice.action, choice.logprobs)):
            is_text = item["type"] == "message"
            parts.append(self._text_done(item) if is_text else self._call(index, item))
            parts.append(self._event("response.output_item.done", output_index=index, item=item))
        return b"".join(parts)

    def end(self, choices: Sequence[ChoiceFinished]) -> bytes:
        """The whole response."""
        [choice] = choices
        whole = response(self._head, choice)
        return self._event(f"response.{whole['status']}", response=whole, **told_of(choices))

    def fail(self, error: ApiError) -> bytes:
        """The response, which says what it broke off on."""
        return self._event("response.failed", response=failed_response(self._head, error))

    def _text(self, text: str) -> bytes:
        opening = self._open_text()
        logprobs, self._held = self._held, []
        return opening + self._part("output_text.delta", delta=text, logprobs=logprobs)

    def _open_text(self) -> bytes:
        if self._text_is_open:
            return b""
        self._text_is_open = True
        item = message_item(self._head.action_ids[0], [], status="in_progress")
        opening = self._event("response.output_item.added", output_index=0, item=item)
        return opening + self._part("content_part.added", part=text_part(""))

    def _text_done(self, item: JsonObject) -> bytes:
        [part] = item["content"]
        opening = self._open_text()
        done = self._part("output_text.done", text=part["text"], logprobs=part["logprobs"])
        return opening + done + self._part("content_part.done", part=part)

    def _call(self, index: int, item: JsonObject) -> bytes:
        opening = item | {"status": "in_progress", "arguments": ""}
        place = {"output_index": index, "item_id": item["id"]}
        arguments = "response.function_call_arguments"
        return b"".join(
            [
                self._event("response.output_item.added", output_index=index, item=opening),
                self._event(f"{arguments}.delta", **place, delta=item["arguments"]),
                self._event(f"{arguments}.done", **place, name=item["name"], arguments=item["arguments"]),
            ]
        )

    def _part(self, kind: str, **fields: object) -> bytes:
        """An event about the text, which is the first item, and in it the only part."""
        item_id = message_item_id(self._head.action_ids[0])
        return self._event(f"response.{kind}", item_id=item_id, output_index=0, content_index=0, **fields)

    def _event(self, kind: str, **fields: object) -> bytes:
        number, self._num_events = self._num_events, self._num_events + 1
        return server_sent({"type": kind, "sequence_number": number, **fields}, event=kind)
