"""A turn as an HTTP response: its events handed to a protocol, which makes a stream or one whole reply of them.

Consumes the events of a `Turn`. Text goes out at once, a choice's finish only when its action is safe. A failure before
the first token is raised, so that the response can still have a status; after it, it is an event in the stream.
"""

from collections.abc import AsyncIterator

from serving.api_errors import as_api_error
from serving.protocols.wire import ReplyStream
from serving.turn import ChoiceFailed, ChoiceFinished, TextAdded, Turn, TurnEvent


async def finished_choices(turn: Turn) -> list[ChoiceFinished]:
    """All choices of a turn, by index, once each is drawn and recorded.

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
    return [finished[index] for index in sorted(finished)]


async def first_event(turn: Turn) -> TurnEvent:
    """The first thing that happens.

    Raises:  ApiError: what a choice failed on, where that comes first.
    """
    event = await turn.next_event()
    if isinstance(event, ChoiceFailed):
        raise as_api_error(event.error) from event.error
    return event


async def streamed_reply(turn: Turn, reply: ReplyStream, event: TurnEvent) -> AsyncIterator[bytes]:
    """The events of a stream, beginning with the turn's `first_event`."""
    finished: list[ChoiceFinished] = []
    yield reply.begin()
    while True:
        match event:
            case TextAdded():
                if part := reply.add(event):
                    yield part
            case ChoiceFinished():
                finished.append(event)
                yield reply.finish(event)
            case ChoiceFailed():
                yield reply.fail(as_api_error(event.error))
                return
        if len(finished) == turn.facts.call.num_choices:
            break
        event = await turn.next_event()
    yield reply.end(finished)
