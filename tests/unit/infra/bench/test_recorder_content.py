"""The talks that `bench recorder` tells, and the batches that hold them as spans."""

from itertools import islice, pairwise

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from infra.bench.prompts import AGENT_PROMPT_CHARS
from infra.bench.recorder.batches import batches, num_talks
from infra.bench.recorder.content import LONG, SHORT, TURNS, turns
from serving.otlp.spans import spans_of_traces
from serving.otlp.turns import read_spans
from streams.observed import ObservedTurn


def test_each_request_of_a_talk_holds_all_that_was_said_before() -> None:
    talk = turns(SHORT, TURNS)
    assert [len(messages) for messages, _ in talk] == [1, 3, 5, 7]
    for (before, reply), (messages, _) in pairwise(talk):
        assert messages[: len(before) + 1] == [*before, {"role": "assistant", "content": reply}]


def test_no_two_talks_are_alike_and_talks_can_begin_later() -> None:
    told = turns(SHORT, 10 * TURNS)
    assert len({reply for _, reply in told}) == len(told)
    assert turns(SHORT, 2 * TURNS, first_talk=3) == told[3 * TURNS : 5 * TURNS]


def test_behind_an_agents_prompt_each_request_begins_with_another() -> None:
    prompts = {messages[0]["content"] for messages, _ in turns(LONG, 8)}
    assert {len(prompt) for prompt in prompts} == {AGENT_PROMPT_CHARS}
    assert len(prompts) == 8


def test_our_receiver_reads_every_span_as_the_turn_that_it_tells_of() -> None:
    num_spans, ids = 8, set()
    for number, batch in enumerate(batches(SHORT, 3, num_spans, first_talk=5)):
        spans = spans_of_traces(ExportTraceServiceRequest.FromString(batch.body))
        told = [one.told for one in read_spans(spans, "default", ("assistant",))]
        expected = turns(SHORT, num_spans, 5 + num_talks(number, num_spans))
        for turn, (messages, reply) in zip(told, expected, strict=True):
            assert isinstance(turn, ObservedTurn)
            assert [(said.role, said.content) for said in turn.messages] == [tuple(said.values()) for said in messages]
            assert turn.reply.content == reply
            ids.add(turn.action_id)
        assert len({span.trace_id for span in spans}) == num_spans // TURNS
    assert len(ids) == 3 * num_spans


def test_batches_behind_a_later_talk_repeat_no_span() -> None:
    first, later = (next(islice(batches(SHORT, 1, 8, first_talk=talk), 1)) for talk in (0, num_talks(1, 8)))
    ids = [
        {span.span_id for span in spans_of_traces(ExportTraceServiceRequest.FromString(batch.body))}
        for batch in (first, later)
    ]
    assert ids[0].isdisjoint(ids[1])
