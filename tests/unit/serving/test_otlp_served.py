"""An agent that this gateway answers, and whose spans of the same calls come to /v1/traces, too."""

from typing import Any

import orjson
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from schemas.origin import lacks_tokens
from tests.unit.serving.gateway_fakes import Bench, assistant, user
from tests.unit.serving.otlp_talk import batch, chat, span
from tests.unit.serving.test_otlp_receiver import export, spans_by_outcome


class Instrumented:
    """An agent that this gateway answers, and that exports a span of each answer to it, too."""

    def __init__(self, *answers: str, **settings: Any) -> None:
        self.bench = Bench([[answer] for answer in answers], **settings)
        self.said: list[dict[str, Any]] = []
        self.responses: list[dict[str, Any]] = []

    async def ask(self, text: str, **fields: Any) -> None:
        self.said.append(user(text))
        self.responses.append(await self.bench.chat(*self.said, **fields))
        self.said.append(self.responses[-1]["choices"][0]["message"])

    def told(self, number: int, late_ms: int = 0, **names: Any) -> Span:
        """The span of an answer, the first one's number is 1. Args: late_ms: how far the agent's clock is ahead."""
        read, reply = self.said[: 2 * number - 1], self.said[2 * number - 1]
        messages = [orjson.dumps(one).decode() for one in (read, [reply])]
        names = {"gen_ai__request__model": "assistant"} | names
        attributes = chat("", "", gen_ai__input__messages=messages[0], gen_ai__output__messages=messages[1], **names)
        end_ns = (self.bench.recorder.actions[number - 1].time_ms + 1 + late_ms) * 1_000_000
        return span(attributes, number=number, start_time_unix_nano=end_ns - 5_000_000, end_ns=end_ns)

    def named(self, number: int, **more: Any) -> Span:
        return self.told(number, gen_ai__response__id=self.responses[number - 1]["id"], **more)


@pytest.mark.parametrize("tells_ids", [True, False])
@pytest.mark.parametrize("is_late", [True, False])
async def test_what_the_gateway_itself_has_answered_is_not_told_again(*, tells_ids: bool, is_late: bool) -> None:
    agent = Instrumented("Hm.", "Ho.", "Ha.")
    tell = agent.named if tells_ids else agent.told
    for number, text in enumerate(("hi", "No, in French.", "Merci"), start=1):
        await agent.ask(text)
        if not is_late:
            await export(agent.bench, batch(tell(number)))
    if is_late:
        await export(agent.bench, batch(*(tell(number) for number in (1, 2, 3))))
    actions, states = agent.bench.recorder.actions, agent.bench.recorder.next_states
    assert [action.reply.content for action in actions] == ["Hm.", "Ho.", "Ha."]
    assert [state.action_id for state in states] == [action.id for action in actions[:2]]
    assert not any(event.ambiguous for event in (*actions, *states))
    assert not any(map(lacks_tokens, actions))
    assert await spans_by_outcome(agent.bench) == {"served": 3}


async def test_a_span_around_a_served_call_adds_nothing_either() -> None:
    agent = Instrumented("Hm.")
    await agent.ask("hi")
    inner, outer = agent.named(1), agent.told(1)
    inner.parent_span_id = outer.span_id = b"p" * 8
    await export(agent.bench, batch(inner, outer))
    assert await spans_by_outcome(agent.bench) == {"served": 1, "doubled": 1}


async def test_a_served_call_needs_no_words_in_its_span() -> None:
    agent = Instrumented("Hm.")
    await agent.ask("hi")
    bare = {"gen_ai.operation.name": "chat", "gen_ai.response.id": agent.responses[0]["id"]}
    answered = await export(agent.bench, batch(span(bare)))
    assert not answered.HasField("partial_success")
    assert await spans_by_outcome(agent.bench) == {"served": 1}


async def test_the_id_of_a_tool_call_says_who_was_asked() -> None:
    agent = Instrumented('<tool_call>{"name": "weather", "arguments": {}}')
    await agent.ask("weather?", tools=[{"type": "function", "function": {"name": "weather"}}])
    await export(agent.bench, batch(agent.told(1, late_ms=10**9)))
    assert await spans_by_outcome(agent.bench) == {"served": 1}


async def test_another_models_equal_answer_at_another_time_or_to_other_words_is_a_turn() -> None:
    agent = Instrumented("Hm.")
    await agent.ask("hi")
    other = agent.told(1)
    other.span_id = b"o" * 8
    agent.said[0] = user("hi there")
    await export(agent.bench, batch(agent.told(1), other))
    assert await spans_by_outcome(agent.bench) == {"served": 1, "turn": 1}
    agent.said[0] = user("hi")
    late = agent.told(1, late_ms=3_600_000)
    late.span_id = b"l" * 8
    await export(agent.bench, batch(late))
    assert await spans_by_outcome(agent.bench) == {"served": 1, "turn": 2}


async def sharing(agent: Instrumented) -> None:
    """A first answer, to somebody who is named in every way."""
    agent.said = [user("2+2?")]
    request = {"model": "assistant", "messages": agent.said, "user": "ann"}
    agent.responses.append((await agent.bench.post(request, {"x-session-id": "anns"})).json())
    agent.said.append(assistant("4"))


@pytest.mark.parametrize(
    ("name", "own", "others"),
    [
        ("gen_ai__response__id", "", "chatcmpl-BxYz0foreign"),
        ("gen_ai__response__model", "assistant", "gpt-4o-2024"),
        ("gen_ai__conversation__id", "anns", "bobs"),
        ("user__id", "ann", "bob"),
    ],
)
async def test_equal_words_under_another_name_are_another_call(name: str, own: str, others: str) -> None:
    agent = Instrumented("4")
    await sharing(agent)
    await export(agent.bench, batch(agent.told(1, late_ms=30_000, **{name: others})))
    assert await spans_by_outcome(agent.bench) == {"turn": 1}
    mine = agent.told(1, **{name: own})
    mine.trace_id, mine.span_id = b"m" * 16, b"m" * 8
    await export(agent.bench, batch(mine))
    assert await spans_by_outcome(agent.bench) == {"turn": 1, "served": 1}


async def test_one_served_call_is_told_once_and_its_span_as_often_as_it_is_sent() -> None:
    agent = Instrumented("4")
    await agent.ask("2+2?")
    other = agent.told(1, late_ms=30_000)
    other.span_id = b"o" * 8
    for _ in range(2):
        await export(agent.bench, batch(agent.told(1), other))
    assert await spans_by_outcome(agent.bench) == {"served": 2, "turn": 1, "repeated": 1}


async def test_where_a_clock_is_known_to_agree_a_late_span_is_another_call() -> None:
    agent = Instrumented("Hm.", "4")
    await agent.ask("hi")
    await agent.ask("2+2?")
    await export(agent.bench, batch(agent.named(1)))
    await export(agent.bench, batch(agent.told(2, late_ms=30_000)))
    assert await spans_by_outcome(agent.bench) == {"served": 1, "turn": 1}


async def test_nobody_elses_call_is_taken_for_a_tenants_own() -> None:
    agent = Instrumented("Hm.", api_keys={"k1": "one", "k2": "two"})
    agent.said = [user("hi")]
    request = {"model": "assistant", "messages": agent.said}
    response = await agent.bench.post(request, {"authorization": "Bearer k1"})
    agent.responses.append(response.json())
    agent.said.append(assistant("Hm."))
    await export(agent.bench, batch(agent.named(1)), authorization="Bearer k2")
    assert [action.tenant for action in agent.bench.recorder.actions] == ["one", "two"]
