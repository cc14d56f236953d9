"""`ChatTemplate`: a model's own chat template, rendered as transformers renders it, without importing transformers.

That import costs seconds of CPU and pulls in torch; a gateway needs neither. Pure: no clock. A template that asks
for `strftime_now` finds it undefined and takes its default date, so that the same messages give the same prompt when
they are replayed next year.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import TemplateError, TemplateSyntaxError, meta, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from schemas.errors import RejectedError, SettingsError
from serving.model_folder import read_json


class ChatTemplate:
    """The template of a Hugging Face model folder.

    Args:    source: its text; variables: what it may use beside the messages (`bos_token` ...).
    """

    def __init__(self, source: str, variables: Mapping[str, str]) -> None:
        environment = template_environment()
        try:
            self._template = environment.from_string(source)
            used = meta.find_undeclared_variables(environment.parse(source))
        except TemplateSyntaxError as error:
            message = f"The model's chat template is no Jinja template: {error}."
            raise SettingsError(message) from error
        self._variables = dict(variables)
        self.source = source
        self.knows_tools = "tools" in used

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Any],
        arguments: Mapping[str, Any],
        *,
        opens_reply: bool = True,
    ) -> str:
        """The prompt up to where the reply begins; without `opens_reply`, up to the end of the last message.

        Raises:  RejectedError: the template refuses these messages or arguments.
        """
        given = {**self._variables, **arguments, "messages": messages, "tools": list(tools) or None}
        try:
            return self._template.render(given, add_generation_prompt=opens_reply)
        except (TemplateError, TypeError, KeyError, ValueError) as error:
            message = f"The policy's chat template refuses these messages: {error}."
            raise RejectedError(message) from error


def read_chat_template(folder: Path) -> ChatTemplate:
    """The template that a model folder ships, on its own or inside its tokenizer's configuration.

    Raises:  SettingsError: it has none, or the folder is no model folder.
    """
    config = read_json(folder, "tokenizer_config.json")
    file = folder / "chat_template.jinja"
    source = file.read_text() if file.is_file() else config.get("chat_template")
    if isinstance(source, list):  # several, by name
        source = {entry["name"]: entry["template"] for entry in source}.get("default")
    if not source:
        message = f"The model in {folder} has no chat template; set engine.model_path to an instruct model."
        raise SettingsError(message)
    return ChatTemplate(source, _token_texts(config))


def template_environment() -> ImmutableSandboxedEnvironment:
    """Jinja with what chat templates expect, and nothing that could reach out of it."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _GenerationBlock]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _refuse
    return environment


class _GenerationBlock(Extension):
    """`{% generation %}` marks the assistant's tokens for trainers; for a prompt it means its content."""

    tags = {"generation"}  # noqa: RUF012 - Jinja's own form

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _tojson(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own filter would escape HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _refuse(reason: str) -> NoReturn:
    raise TemplateError(reason)


def _token_texts(config: Mapping[str, Any]) -> dict[str, str]:
    tokens = {name: value for name, value in config.items() if name.endswith("_token") and value is not None}
    return {name: str(value["content"] if isinstance(value, dict) else value) for name, value in tokens.items()}
