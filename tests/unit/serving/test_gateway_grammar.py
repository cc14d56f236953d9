"""Forced tool calls and response formats as grammars."""

import re

import pytest

from serving.api_errors import ApiError
from serving.grammar import Grammar, grammar_for


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
    regex = grammar_for([CITY], "required", None).regex
    assert regex is not None
    assert bool(re.fullmatch(regex, text)) is fits


def test_required_allows_any_offered_tool_and_a_name_only_that_one() -> None:
    tools = [CITY, tool("time")]
    call = '<tool_call>\n{"name": "time", "arguments": {}}\n</tool_call>'
    named = {"type": "function", "function": {"name": "weather"}}
    assert re.fullmatch(grammar_for(tools, "required", None).regex or "", call)
    assert not re.fullmatch(grammar_for(tools, named, None).regex or "", call)


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
        grammar_for([tool("weather", {"type": "banana"})], "required", None)
