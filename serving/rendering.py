"""`ChatRenderer`: messages to the policy's token ids, and its tokens back to a message.

Owns the policy's tokenizer and chat template. Where the template knows no tools and a request needs them, the messages
are first rewritten to plain ones (serving/templates/hermes_tools.jinja): tools into the system message, calls and
results into text. The model's own template still has the last word on what a message looks like in tokens.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import orjson
from tokenizers import Tokenizer

from schemas.errors import RejectedError, SettingsError
from schemas.events import Message, ToolCall
from schemas.identity import digest_text
from serving.chat_template import read_chat_template, template_environment
from serving.encoding import TextEncoder
from serving.model_folder import no_model_folder, vocab_size
from serving.token_text import Token, TokenTexts
from serving.tool_calls import TOOL_CALL_OPEN, split_tool_calls

HINT_MARK = "I have told you before:"  # the small model follows it 1.3 to 3 times as often as one in brackets
_TOOLS_TEMPLATE = Path(__file__).parent / "templates" / "hermes_tools.jinja"


class ChatRenderer:
    """One policy's chat template and tokenizer.

    Args:    model_path: a Hugging Face model folder; context_length: tokens that a prompt and its reply may have
             together; a turn that another model served is measured by it.
    Raises:  SettingsError: the folder lacks a tokenizer, a chat template or its configuration.
    """

    tool_call_open = TOOL_CALL_OPEN

    def __init__(self, model_path: Path, context_length: int = sys.maxsize) -> None:
        self._template = read_chat_template(model_path)
        self._tokenizer, self._encode, self._texts = _read_tokenizer(model_path)
        self.vocab_size = vocab_size(model_path)
        self.context_length = context_length
        self._special = {id_ for id_, token in self._tokenizer.get_added_tokens_decoder().items() if token.special}
        tools_template = _TOOLS_TEMPLATE.read_text()
        self._tools: Any = template_environment().from_string(tools_template).module
        used = [self._template.source] if self._template.knows_tools else [self._template.source, tools_template]
        self.template_digest = digest_text(*used)

    def render(self, messages: Sequence[Message], tools: str, template_arguments: str) -> tuple[int, ...]:
        """Token ids of the prompt, up to where the reply begins.

        Args:    tools: JSON list of the offered tools; template_arguments: JSON object for the template.
        Raises:  RejectedError: messages that the policy cannot read (images), or that its template refuses.
        """
        return self._encode(self._text(messages, tools, template_arguments))

    def turn_ids(
        self, messages: Sequence[Message], reply: Message, tools: str, template_arguments: str
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Token ids of a prompt, and of a reply that was written to it: as if the policy had drawn this very text.

        The reply has the token that ends it; what the template writes behind that nobody draws, so it is cut off. It is
        encoded apart from the prompt, as a reply is drawn apart from it.

        Args:    as for `render`; messages: what the prompt shows.
        Raises:  RejectedError: as `render`; or the reply's text holds a special token of the model, or the template
                 shows a prompt differently once it is answered.
        """
        prompt = self._text(messages, tools, template_arguments)
        answered = self._text((*messages, reply), tools, template_arguments, opens_reply=False)
        if not answered.startswith(prompt):
            raise RejectedError("The policy's chat template changes a prompt when its reply is there; use another one.")
        ids = self._encode(answered.removeprefix(prompt))
        ends = [place for place, token in enumerate(ids) if token in self._special]
        if len(ends) > 1:
            token = self._tokenizer.id_to_token(ids[ends[0]])
            message = f"A reply holds {token!r}, which is a special token of the policy's model; take it out."
            raise RejectedError(message)
        return self._encode(prompt), ids[: ends[0] + 1] if ends else ids

    def _text(
        self, messages: Sequence[Message], tools: str, template_arguments: str, *, opens_reply: bool = True
    ) -> str:
        offered = orjson.loads(tools)
        _refuse_media(messages)
        if not self._template.knows_tools and (offered or any(_is_about_tools(message) for message in messages)):
            messages, offered = tuple(self._plain(messages, offered)), []
        forms = [_template_form(message) for message in messages]
        return self._template.render(forms, offered, orjson.loads(template_arguments), opens_reply=opens_reply)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of some tokens, without special ones: what a client reads."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def token(self, token_id: int) -> Token:
        """What one token adds to a text."""
        return self._texts.of(token_id)

    def parse_reply(self, text: str) -> Message:
        """The assistant message that a reply's text stands for: its text and its tool calls, apart."""
        content, calls = split_tool_calls(text)
        return Message(role="assistant", content=content, tool_calls=calls)

    def teacher_prompt_ids(
        self, messages: tuple[Message, ...], tools: str, template_arguments: str, hint: str
    ) -> tuple[int, ...]:
        """Ids of the prompt with the hint added to the last user message, or as one after a tool result."""
        return self.render(with_hint(messages, hint), tools, template_arguments)

    def _plain(self, messages: Sequence[Message], tools: Sequence[Any]) -> Iterator[Message]:
        """The same conversation without tools, calls or tool results in it, other than as text."""
        if tools:
            first_is_system = bool(messages) and _role(messages[0]) == "system"
            content = messages[0].content if first_is_system else ""
            yield Message(role="system", content=str(self._tools.system(content, tools)))
            messages = messages[1:] if first_is_system else messages
        for is_result, group in groupby(messages, key=lambda message: message.role == "tool"):
            if is_result:
                contents = [message.content for message in group]
                yield Message(role="user", content=str(self._tools.results(contents)))
            else:
                yield from (self._without_calls(message) for message in group)

    def _without_calls(self, message: Message) -> Message:
        if not message.tool_calls:
            return message
        return replace(message, content=str(self._tools.assistant(message.content, message.tool_calls)), tool_calls=())


def with_hint(messages: tuple[Message, ...], hint: str) -> tuple[Message, ...]:
    """The messages with a hint in them: what the teacher reads.

    At the end of the last user message; as a user message of its own after a tool result, or where no user has spoken.
    """
    marked = f"{HINT_MARK} {hint}"
    spoken = [place for place, message in enumerate(messages) if message.role == "user"]
    if not spoken or messages[-1].role == "tool":
        return (*messages, Message(role="user", content=marked))
    last = spoken[-1]
    hinted = replace(messages[last], content=f"{messages[last].content}\n\n{marked}")
    return (*messages[:last], hinted, *messages[last + 1 :])


def _read_tokenizer(model_path: Path) -> tuple[Tokenizer, TextEncoder, TokenTexts]:
    file = model_path / "tokenizer.json"
    if not file.is_file():
        message = f"{file} does not exist; nextstate needs the model's fast tokenizer."
        raise SettingsError(message)
    try:
        text = file.read_text(encoding="utf-8")
        tokenizer, written = Tokenizer.from_str(text), orjson.loads(text)
        return tokenizer, TextEncoder(tokenizer, written), TokenTexts(tokenizer, written)
    except Exception as error:  # the library raises nothing narrower
        raise no_model_folder(model_path, f"tokenizer.json: {error}") from error


def _refuse_media(messages: Iterable[Message]) -> None:
    for message in messages:
        if message.media:
            reason = (
                f"A {message.role} message holds a {message.media[0].kind!r} part, but this policy reads text only."
            )
            raise RejectedError(reason)


def _is_about_tools(message: Message) -> bool:
    return message.role == "tool" or bool(message.tool_calls)


def _role(message: Message) -> str:
    return "system" if message.role == "developer" else message.role  # templates do not know OpenAI's newer name


def _template_form(message: Message) -> dict[str, Any]:
    """A message as chat templates expect it; arguments as an object, where they are one."""
    given: dict[str, Any] = {"role": _role(message), "content": message.content}
    if message.tool_calls:
        given["tool_calls"] = [_call_form(call) for call in message.tool_calls]
    optional = {"tool_call_id": message.tool_call_id, "name": message.name}
    return given | {name: value for name, value in optional.items() if value is not None}


def _call_form(call: ToolCall) -> dict[str, Any]:
    try:
        arguments = orjson.loads(call.arguments)
    except orjson.JSONDecodeError:
        arguments = call.arguments
    form: dict[str, Any] = {"type": "function", "function": {"name": call.name, "arguments": arguments}}
    return form if call.id is None else {**form, "id": call.id}
