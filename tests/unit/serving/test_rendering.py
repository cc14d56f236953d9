"""The renderer gives the very tokens that transformers gives, and reads back what it wrote."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from schemas.errors import RejectedError, SettingsError
from schemas.events import Media, Message, ToolCall
from serving.adapter_fit import base_shapes
from serving.chat_template import ChatTemplate
from serving.model_folder import vocab_size
from serving.rendering import HINT_MARK, ChatRenderer

TOOLS = '[{"function":{"name":"weather","parameters":{"type":"object"}},"type":"function"}]'
SYSTEM = Message(role="system", content="Be kind.")
QUESTION = Message(role="user", content="How warm is it in Paris & Rome? <émoji 🦜>")
CALLS = Message(
    role="assistant",
    content="Let me look.",
    tool_calls=(
        ToolCall(name="weather", arguments='{"city":"Paris"}', id="call_1"),
        ToolCall(name="weather", arguments='{"city":"Rome"}', id="call_2"),
    ),
)
RESULTS = (
    Message(role="tool", content="18 C", tool_call_id="call_1"),
    Message(role="tool", content="20 C", tool_call_id="call_2"),
)
# A template with its own idea of tools, as newer models ship; it also uses what only chat templates know.
TOOL_TEMPLATE = """{%- if tools %}TOOLS{{ tools | tojson }}{% endif -%}
{% for m in messages %}{% if m.role == 'nobody' %}{% continue %}{% endif %}
<{{ m.role }}>{% generation %}{{ m.content }}{% endgeneration %}
{% for c in m.tool_calls %}{{ c.function.name }}({{ c.function.arguments.city }}){% endfor %}
{% endfor %}{% if add_generation_prompt %}<assistant{{ ' thinks' if think }}>{% endif %}"""


@pytest.fixture(scope="session")
def renderer(model_path: Path) -> ChatRenderer:
    return ChatRenderer(model_path)


@pytest.fixture(scope="session")
def tokenizer(model_path: Path) -> Tokenizer:
    return Tokenizer.from_file(str(model_path / "tokenizer.json"))


def text_of(tokenizer: Tokenizer, ids: tuple[int, ...]) -> str:
    return tokenizer.decode(list(ids), skip_special_tokens=False)


def folder_with_template(model_path: Path, folder: Path, template: str) -> Path:
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        (folder / name).write_bytes((model_path / name).read_bytes())
    (folder / "chat_template.jinja").write_text(template)
    return folder


PLAIN_CHATS = [
    (QUESTION,),
    (SYSTEM, QUESTION),
    (SYSTEM, QUESTION, Message(role="assistant", content="Warm."), Message(role="user", content="  and\n\nnow? ")),
]


def test_plain_chat_gives_the_tokens_of_transformers(renderer: ChatRenderer, model_path: Path) -> None:
    from transformers import AutoTokenizer

    reference = AutoTokenizer.from_pretrained(model_path)
    for chat in PLAIN_CHATS:
        raw = [{"role": message.role, "content": message.content} for message in chat]
        expected = reference.apply_chat_template(raw, add_generation_prompt=True, return_dict=True)["input_ids"]
        assert list(renderer.render(chat, "[]", "{}")) == expected


def test_a_plain_chat_without_system_message_keeps_the_models_own(renderer: ChatRenderer, tokenizer: Tokenizer) -> None:
    assert "named SmolLM" in text_of(tokenizer, renderer.render((QUESTION,), "[]", "{}"))


def test_tools_are_told_where_the_models_template_knows_none(renderer: ChatRenderer, tokenizer: Tokenizer) -> None:
    text = text_of(tokenizer, renderer.render((SYSTEM, QUESTION, CALLS, *RESULTS), TOOLS, "{}"))
    system, user, assistant, results, end = text.split("<|im_start|>")[1:]
    assert system.startswith("system\nBe kind.\n\nYou can call")
    assert json.dumps(json.loads(TOOLS)[0]) in system
    assert user == f"user\n{QUESTION.content}<|im_end|>\n"
    assert assistant == (
        'assistant\nLet me look.\n<tool_call>\n{"name": "weather", "arguments": {"city":"Paris"}}\n</tool_call>\n'
        '<tool_call>\n{"name": "weather", "arguments": {"city":"Rome"}}\n</tool_call><|im_end|>\n'
    )
    assert results == (
        "user\n<tool_response>\n18 C\n</tool_response>\n<tool_response>\n20 C\n</tool_response><|im_end|>\n"
    )
    assert end == "assistant\n"


def test_calls_in_the_history_are_told_even_where_no_tool_is_offered_any_more(
    renderer: ChatRenderer, tokenizer: Tokenizer
) -> None:
    text = text_of(tokenizer, renderer.render((QUESTION, CALLS, *RESULTS), "[]", "{}"))
    assert '"arguments": {"city":"Rome"}' in text
    assert "20 C" in text
    assert "You can call" not in text


def test_a_template_that_knows_tools_is_given_them_as_they_are(model_path: Path, tmp_path: Path) -> None:
    own = ChatRenderer(folder_with_template(model_path, tmp_path / "m", TOOL_TEMPLATE))
    text = own.decode(own.render((QUESTION, CALLS, *RESULTS), TOOLS, '{"think":true}'))
    assert f"TOOLS{json.dumps(json.loads(TOOLS))}" in text
    assert "weather(Paris)weather(Rome)" in text
    assert "<tool>18 C" in text
    assert text.endswith("<assistant thinks>")


def test_developer_messages_are_read_as_system_messages(renderer: ChatRenderer) -> None:
    developer = Message(role="developer", content=SYSTEM.content)
    assert renderer.render((developer, QUESTION), TOOLS, "{}") == renderer.render((SYSTEM, QUESTION), TOOLS, "{}")


def test_the_digest_tells_templates_apart(renderer: ChatRenderer, model_path: Path, tmp_path: Path) -> None:
    source = (model_path / "chat_template.jinja").read_text()
    same = ChatRenderer(folder_with_template(model_path, tmp_path / "same", source))
    other = ChatRenderer(folder_with_template(model_path, tmp_path / "other", source + " "))
    assert same.template_digest == renderer.template_digest != other.template_digest


def test_an_image_is_refused_and_not_left_out(renderer: ChatRenderer) -> None:
    image = Message(role="user", content="?", media=(Media(kind="image_url", digest="d", num_bytes=3),))
    with pytest.raises(RejectedError, match="'image_url' part, but this policy reads text only"):
        renderer.render((image,), "[]", "{}")


def test_what_a_template_refuses_is_a_sentence(model_path: Path, tmp_path: Path) -> None:
    strict = "{{ raise_exception('roles must alternate') }}"
    renderer = ChatRenderer(folder_with_template(model_path, tmp_path / "m", strict))
    with pytest.raises(RejectedError, match="roles must alternate"):
        renderer.render((QUESTION,), "[]", "{}")


def test_a_template_cannot_reach_out_of_its_sandbox() -> None:
    template = ChatTemplate("{{ messages.__class__.__mro__[1].__subclasses__() }}", {})
    with pytest.raises(RejectedError, match="unsafe"):
        template.render([], [], {})


def test_a_template_that_asks_for_the_date_gets_the_same_every_day() -> None:
    template = ChatTemplate("{% if strftime_now is defined %}{{ strftime_now('%d') }}{% else %}a day{% endif %}", {})
    assert template.render([], [], {}) == "a day"


@pytest.mark.parametrize(("name", "sentence"), [("tokenizer.json", "fast tokenizer"), ("config.json", "model_path")])
def test_a_folder_that_lacks_a_file_is_a_sentence(model_path: Path, tmp_path: Path, name: str, sentence: str) -> None:
    folder = folder_with_template(model_path, tmp_path / "m", "x")
    (folder / name).unlink()
    with pytest.raises(SettingsError, match=sentence):
        ChatRenderer(folder)


def test_a_model_without_a_chat_template_is_refused(model_path: Path, tmp_path: Path) -> None:
    folder = folder_with_template(model_path, tmp_path / "m", "x")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(SettingsError, match="has no chat template"):
        ChatRenderer(folder)


def test_the_hint_is_the_end_of_the_last_user_message(renderer: ChatRenderer, tokenizer: Tokenizer) -> None:
    messages = (SYSTEM, QUESTION, Message(role="assistant", content="Warm."), Message(role="user", content="Sure?"))
    text = text_of(tokenizer, renderer.teacher_prompt_ids(messages, "[]", "{}", "Name the degrees."))
    assert text.endswith(f"user\nSure?\n\n{HINT_MARK} Name the degrees.<|im_end|>\n<|im_start|>assistant\n")
    assert text.count(HINT_MARK) == 1


def test_after_a_tool_result_the_hint_is_a_message_of_its_own(renderer: ChatRenderer, tokenizer: Tokenizer) -> None:
    text = text_of(tokenizer, renderer.teacher_prompt_ids((QUESTION, CALLS, *RESULTS), TOOLS, "{}", "Say both."))
    assert text.endswith(
        f"</tool_response><|im_end|>\n<|im_start|>user\n{HINT_MARK} Say both.<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_teacher_prompt_differs_from_the_prompt_by_the_hint_only(renderer: ChatRenderer) -> None:
    prompt = renderer.render((SYSTEM, QUESTION), "[]", "{}")
    teacher = renderer.teacher_prompt_ids((SYSTEM, QUESTION), "[]", "{}", "Name the degrees.")
    assert len(teacher) > len(prompt)
    assert renderer.decode(teacher) == renderer.decode(prompt).replace(
        QUESTION.content, f"{QUESTION.content}\n\n{HINT_MARK} Name the degrees."
    )


def test_a_reply_reads_back_as_the_message_that_was_rendered(renderer: ChatRenderer) -> None:
    text = (
        'Let me look.\n<tool_call>\n{"name": "weather", "arguments": {"city":"Paris"}}\n</tool_call>\n'
        '<tool_call>\n{"name": "weather", "arguments": {"city":"Rome"}}\n</tool_call>'
    )
    reply = renderer.parse_reply(text)
    assert reply.content == CALLS.content
    assert [(call.name, call.arguments) for call in reply.tool_calls] == [
        (call.name, call.arguments) for call in CALLS.tool_calls
    ]


@pytest.mark.parametrize(
    ("text", "content", "arguments"),
    [
        ("no call at all ", "no call at all ", []),
        ('<tool_call>{"name": "f", "arguments": {"b": 1, "a": 2}}</tool_call>', "", ['{"a":2,"b":1}']),
        ('<tool_call>{"name": "f", "arguments": "{\\"a\\": 2}"}</tool_call>', "", ['{"a":2}']),
        ('<tool_call>{"name": "f"}</tool_call> bye', "bye", ["{}"]),
        ('<tool_call>\n{"name": "f", "arguments": {}}', "", ["{}"]),
        ("<tool_call>not json</tool_call>", "<tool_call>not json</tool_call>", []),
        ('<tool_call>{"arguments": {}}</tool_call>', '<tool_call>{"arguments": {}}</tool_call>', []),
        (
            '<tool_call>{"name": "f", "arguments": [1]}</tool_call>',
            '<tool_call>{"name": "f", "arguments": [1]}</tool_call>',
            [],
        ),
    ],
)
def test_calls_are_split_from_text_and_unreadable_ones_stay_in_it(
    renderer: ChatRenderer, text: str, content: str, arguments: list[str]
) -> None:
    reply = renderer.parse_reply(text)
    assert reply.content == content
    assert [call.arguments for call in reply.tool_calls] == arguments


def test_ids_that_are_rendered_have_weights(renderer: ChatRenderer, model_path: Path) -> None:
    assert renderer.vocab_size == vocab_size(model_path) == 49152
    assert max(renderer.render((SYSTEM, QUESTION), TOOLS, "{}")) < renderer.vocab_size


def test_decoded_text_has_no_special_tokens(renderer: ChatRenderer, tokenizer: Tokenizer) -> None:
    end = tokenizer.token_to_id("<|im_end|>")
    assert renderer.decode([*tokenizer.encode("Done.").ids, end]) == "Done."


def test_rendering_imports_neither_torch_nor_transformers() -> None:
    code = "import sys, serving.rendering; sys.exit(bool({'torch', 'transformers'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "tokenizer.json"])
@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_model_folder_without_a_usable_file_is_a_setting_to_mend(
    model_path: Path, tmp_path: Path, name: str, content: str | None
) -> None:
    folder = folder_with_template(model_path, tmp_path / "model", "{{ messages }}")
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(SettingsError, match=str(folder)):
        ChatRenderer(folder)


def test_weights_of_the_base_model_that_cannot_be_read_are_a_setting_to_mend(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(SettingsError, match=r"engine\.model_path"):
        base_shapes(tmp_path)


def test_a_reply_has_the_tokens_that_the_policy_would_have_drawn(renderer: ChatRenderer, tokenizer: Tokenizer) -> None:
    chat = PLAIN_CHATS[1]
    prompt, reply = renderer.turn_ids(chat, Message(role="assistant", content="\n\nWarm 🌞. "), "[]", "{}")
    assert prompt == renderer.render(chat, "[]", "{}")
    assert text_of(tokenizer, reply) == "\n\nWarm 🌞. <|im_end|>"


def test_the_next_prompt_begins_with_a_turns_tokens(renderer: ChatRenderer) -> None:
    answer, further = Message(role="assistant", content="Warm."), Message(role="user", content="And now?")
    prompt, reply = renderer.turn_ids((QUESTION,), answer, "[]", "{}")
    following = renderer.render((QUESTION, answer, further), "[]", "{}")
    assert following[: len(prompt + reply)] == prompt + reply


def test_a_reply_that_calls_tools_reads_back_as_the_same_calls(renderer: ChatRenderer) -> None:
    _, reply = renderer.turn_ids((QUESTION,), CALLS, TOOLS, "{}")
    calls = renderer.parse_reply(renderer.decode(reply)).tool_calls
    assert [(call.name, call.arguments) for call in calls] == [(c.name, c.arguments) for c in CALLS.tool_calls]


def test_a_reply_with_a_special_token_in_its_text_is_refused(renderer: ChatRenderer) -> None:
    with pytest.raises(RejectedError, match=r"'<\|im_end\|>', which is a special token"):
        renderer.turn_ids((QUESTION,), Message(role="assistant", content="a<|im_end|>b"), "[]", "{}")


def test_a_template_that_shows_an_answered_prompt_differently_is_refused(model_path: Path, tmp_path: Path) -> None:
    forgetful = "{% for m in messages %}{% if loop.last %}{{ m.content }}{% endif %}{% endfor %}"
    renderer = ChatRenderer(folder_with_template(model_path, tmp_path / "model", forgetful))
    with pytest.raises(RejectedError, match="changes a prompt"):
        renderer.turn_ids((QUESTION,), Message(role="assistant", content="Warm."), "[]", "{}")
