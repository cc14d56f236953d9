"""A turn as an HTTP response: a stream of chunks, or one whole completion.

Consumes the events of a `Turn`; produces OpenAI's JSON. Text goes out at once, a choice's finish only when its action
is safe. A failure before the first token is raised, so that the response can still have a status; after it, it is an
event in the stream.
"""

from collections.abc import AsyncIterator

from serving.openai_errors import as_api_error
from serving.openai_reply import (
    DONE,
    Choice,
    Envelope,
    JsonObject,
    Usage,
    chunk,
    completion,
    server_sent,
    tool_calls_delta,
    usage_chunk,
)
from serving.turn import ChoiceFailed, ChoiceFinished, TextAdded, Turn, TurnEvent


async def whole_reply(turn: Turn, envelope: Envelope) -> tuple[JsonObject, bool]:
    """The completion, and whether all of it was recorded.

    Raises:  ApiError: what a choice failed on.
    """
    finished: dict[int, ChoiceFinished] = {}
    while len(finished) < turn.facts.call.num_choices:
        match await turn.next_event():
            case ChoiceFinished() as choice:
                finished[choice.index] = choice
            case ChoiceFailed(error=error):
                raise as_api_error(error) from error
            case TextAdded():
                pass
    choices = [finished[index] for index in sorted(finished)]
    body = completion(
        envelope,
        [
            Choice(
                reply=choice.action.reply,
                finish_reason=choice.action.finish_reason,
                logprobs=choice.logprobs if turn.facts.call.logprobs else None,
            )
            for choice in choices
        ],
        _usage(turn, choices),
    )
    return body, all(choice.recorded for choice in choices)


async def first_event(turn: Turn) -> TurnEvent:
    """The first thing that happens.

    Raises:  ApiError: what a choice failed on, where that comes first.
    """
    event = await turn.next_event()
    if isinstance(event, ChoiceFailed):
        raise as_api_error(event.error) from event.error
    return event


async def streamed_reply(turn: Turn, envelope: Envelope, event: TurnEvent) -> AsyncIterator[bytes]:
    """The events of a stream, beginning with the turn's `first_event`."""
    call, finished = turn.facts.call, list[ChoiceFinished]()
    for index in range(call.num_choices):
        yield server_sent(chunk(envelope, index, {"role": "assistant", "content": ""}))
    while True:
        match event:
            case TextAdded():
                if event.text or event.logprobs:
                    delta = {"content": event.text}
                    yield server_sent(chunk(envelope, event.index, delta, logprobs=event.logprobs))
            case ChoiceFinished():
                finished.append(event)
                for part in _end_of_choice(envelope, event):
                    yield server_sent(part)
            case ChoiceFailed():
                yield server_sent(as_api_error(event.error).body())
                return
        if len(finished) == call.num_choices:
            break
        event = await turn.next_event()
    if call.include_usage:
        yield server_sent(usage_chunk(envelope, _usage(turn, finished)))
    yield DONE


def _end_of_choice(envelope: Envelope, choice: ChoiceFinished) -> list[JsonObject]:
    parts = []
    if choice.rest:
        parts.append(chunk(envelope, choice.index, {"content": choice.rest}))
    if choice.action.reply.tool_calls:
        parts.append(chunk(envelope, choice.index, tool_calls_delta(choice.action.reply)))
    return [*parts, chunk(envelope, choice.index, {}, finish_reason=choice.action.finish_reason)]


def _usage(turn: Turn, choices: list[ChoiceFinished]) -> Usage:
    return Usage(
        prompt_tokens=len(turn.facts.prompt_ids),
        completion_tokens=sum(len(choice.action.response_ids) for choice in choices),
        cached_tokens=max(choice.cached_tokens for choice in choices),
    )
