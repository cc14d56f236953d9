"""Forced tool calls and response formats as grammars."""

import re
import threading
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outlines_core.json_schema import build_regex_from_schema

from schemas.messages import canonical_json
from serving.api_errors import ApiError
from serving.grammar import MAX_GRAMMAR_CHARS, Grammar, grammar_for
from serving.grammar_size import grammar_chars
from tests.unit.serving.gateway_fakes import Bench


def tool(name: str, parameters: object = None) -> dict[str, object]:
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


CITY = tool("weather", {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ('<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>', True),
        ('<tool_call>\n{"name": "weather", "arguments": {}}\n</tool_call>', False),
        ('<tool_call>\n{"name": "weather", "arguments": {"city": 3}}\n</tool_call>', False),
        ('<tool_call>\n{"name": "other", "arguments": {"city": "Rome"}}\n</tool_call>', False),
        ("I would rather talk.", False),
    ],
)
def test_a_required_call_has_the_tools_name_and_fits_its_parameters(text: str, fits: bool) -> None:
    regex = grammar_for([CITY], "required", None).built().regex
    assert regex is not None
    assert bool(re.fullmatch(regex, text)) is fits


def test_required_allows_any_offered_tool_and_a_name_only_that_one() -> None:
    tools = [CITY, tool("time")]
    call = '<tool_call>\n{"name": "time", "arguments": {}}\n</tool_call>'
    named = {"type": "function", "function": {"name": "weather"}}
    assert re.fullmatch(grammar_for(tools, "required", None).built().regex or "", call)
    assert not re.fullmatch(grammar_for(tools, named, None).built().regex or "", call)


def test_auto_and_none_constrain_nothing() -> None:
    for choice in (None, "auto", "none"):
        assert grammar_for([CITY], choice, None) == Grammar()
    assert not Grammar().constrains


def test_a_response_format_is_a_json_schema() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert grammar_for([], None, form).json_schema == '{"properties":{"a":{"type":"string"}},"type":"object"}'
    assert grammar_for([], None, {"type": "json_object"}).constrains
    assert not grammar_for([], None, {"type": "text"}).constrains


@pytest.mark.parametrize("choice", ["sometimes", {"type": "function", "function": {"name": "unknown"}}, {}])
def test_a_choice_of_no_offered_tool_is_refused(choice: object) -> None:
    with pytest.raises(ApiError, match="tool_choice"):
        grammar_for([CITY], choice, None)


@pytest.mark.parametrize("name", ["", "a b", "x" * 129, 'a"b', None])
def test_a_tool_name_that_could_break_out_of_the_grammar_is_refused(name: str) -> None:
    with pytest.raises(ApiError, match="tools"):
        grammar_for([tool(name)], "required", None)


def test_parameters_that_are_no_schema_are_refused_with_the_tools_name() -> None:
    with pytest.raises(ApiError, match="'weather'"):
        grammar_for([tool("weather", {"type": "banana"})], "required", None).built()


def nested(num_properties: int, depth: int, **more: object) -> dict[str, object]:
    """An object whose first property is such an object again, and so on; the others are texts."""
    schema: dict[str, object] = {"type": "string"}
    for _ in range(depth):
        texts = {f"p{number}": {"type": "string"} for number in range(1, num_properties)}
        schema = {"type": "object", "properties": {"p0": schema, **texts}, **more}
    return schema


def test_a_short_schema_of_an_endless_grammar_is_refused_before_it_is_built() -> None:
    with pytest.raises(ApiError, match="auto") as refused:
        grammar_for([tool("f", nested(6, 30))], "required", None).built()
    assert refused.value.param == "tools"
    with pytest.raises(ApiError, match="64 levels"):
        grammar_for([tool("f", nested(1, 80))], "required", None).built()


@pytest.mark.parametrize("parameters", [nested(50, 1), nested(6, 8, required=["p0"]), nested(400, 1, required=["p0"])])
def test_what_people_offer_is_not_refused(parameters: dict[str, object]) -> None:
    assert grammar_for([tool("f", parameters)], "required", None).built().regex


TEXT = {"type": "string"}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "additionalProperties": True},
        {"type": "object", "items": TEXT},
        {"type": ["object", "array"], "items": TEXT},
        {"type": ["object", "array"], "additionalProperties": TEXT},
        {"$ref": "#/$defs/any", "anyOf": [{"type": "object"}], "$defs": {"any": TEXT}},
        {
            "$id": "http://x/y",
            "type": "object",
            "properties": {"a": {"$ref": "http://x/y#/$defs/any"}},
            "$defs": {"any": {"type": "object"}},
        },
    ],
)
def test_what_a_word_says_nothing_of_may_be_anything(schema: dict[str, object]) -> None:
    assert len(build_regex_from_schema(canonical_json(schema))) <= grammar_chars(schema)


@pytest.mark.parametrize("target", ["#/$defs/none", "http://elsewhere/#/$defs/city", "city"])
def test_a_reference_that_leads_nowhere_is_refused(target: str) -> None:
    parameters = {"type": "object", "properties": {"a": {"$ref": target}}, "$defs": {"city": TEXT}}
    with pytest.raises(ApiError, match="which is no place in them") as refused:
        grammar_for([tool("f", parameters)], "required", None).built()
    assert target in str(refused.value)


PARTS: list[dict[str, object]] = [
    {},
    {"type": "string"},
    {"type": "string", "format": "email"},
    {"type": "string", "pattern": "^[a-z]+$"},
    {"type": "number"},
    {"type": ["string", "null"]},
    {"type": "object"},
    {"type": "array"},
    {"type": "object", "additionalProperties": True},
    {"const": 'a"b\\\n'},
    {"enum": ["é", 3, None, ["x", {"y": "z"}]]},
    {"$ref": "#/$defs/again"},
]
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=5)


TYPES = st.lists(st.sampled_from(["object", "array", "string", "null"]), max_size=3) | st.sampled_from(
    ["object", "array"]
)
INSIDE = st.sampled_from(["items", "additionalProperties"])
SEVERAL = st.sampled_from(["anyOf", "oneOf", "allOf"])


def larger(parts: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    properties = st.dictionaries(NAMES, parts, max_size=4)
    several = st.lists(parts, min_size=1, max_size=3)
    return st.one_of(
        st.builds(lambda some: {"type": "object", "properties": some}, properties),
        st.builds(lambda some: {"type": "object", "properties": some, "required": list(some)[-1:]}, properties),
        st.builds(lambda one, least: {"type": "array", "items": one, "minItems": least}, parts, st.integers(0, 3)),
        st.builds(lambda one: {"type": "object", "additionalProperties": one}, parts),
        st.builds(lambda types, word, one: {"type": types, word: one}, TYPES, INSIDE, parts),
        st.builds(lambda types, word, some: {"type": types, word: some}, TYPES, SEVERAL, several),
        st.builds(lambda word, some: {word: some}, SEVERAL, several),
        st.builds(lambda word, some: {word: some, "$ref": "#/$defs/again"}, SEVERAL, several),
        st.builds(lambda some: {"type": "array", "prefixItems": some}, several),
    )


@settings(max_examples=200, deadline=None)
@given(st.recursive(st.sampled_from(PARTS), larger, max_leaves=6))
def test_no_grammar_is_longer_than_it_was_said_to_become(schema: dict[str, object]) -> None:
    whole = {**schema, "$defs": {"again": {"type": "object", "properties": {"a": {"$ref": "#/$defs/again"}, "b": {}}}}}
    bound = grammar_chars(whole)
    if bound < MAX_GRAMMAR_CHARS:
        with suppress(ValueError, NotImplementedError):  # outlines does not know all of JSON Schema
            assert len(build_regex_from_schema(canonical_json(whole))) <= bound


async def test_a_grammar_is_written_off_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []

    def build(schema: str) -> str:
        threads.append(threading.current_thread())
        return build_regex_from_schema(schema)

    monkeypatch.setattr("serving.grammar.build_regex_from_schema", build)
    bench = Bench()
    await bench.chat({"role": "user", "content": "hi"}, tools=[CITY], tool_choice="required")
    assert "weather" in (bench.engine.requests[0].regex or "")
    assert [thread is threading.main_thread() for thread in threads] == [False]
