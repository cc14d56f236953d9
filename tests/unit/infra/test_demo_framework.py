"""People talk through a program in another process; what it does wrong is one sentence, or a failed request."""

import asyncio
import io
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from rich.console import Console

from infra.connect.clients import client_named
from infra.connect.lines import Address
from infra.demo import job
from infra.demo.framework import FRAMEWORKS, PROGRAMS, Framework, install_framework, talks_by_framework
from infra.demo.questions import ASKED
from infra.demo.talk import OpenTalk
from infra.demo.user import ScriptedUser, Tally
from infra.watch import Observed
from schemas.errors import FatalError, RetryableError, SettingsError

# A framework whose model answers with what it was asked, how and where, and obeys a few words.
STAND_IN = """
import asyncio, os, sys
sys.path.insert(0, os.path.dirname(sys.argv[1]))  # where the program lies that a framework would run
from answering import answer_lines

said = {}

async def answer(request):
    history = said.setdefault(request["conversation"], [])
    history.append(request["text"])
    match request["text"]:
        case "fail": raise ValueError("no such model")
        case "babble": print("Welcome to the framework!", flush=True)
        case "drop": return 7
        case "shout": print("!" * 2_000_000, flush=True)
        case "die":
            print("out of memory", file=sys.stderr, flush=True)
            os._exit(3)
        case "wait": await asyncio.sleep(0.2)
    url = os.environ["OPENAI_BASE_URL"]
    told = [request[name] for name in ("user", "temperature", "max_tokens")]
    return f"{sys.argv[2]} at {url}: {told} {history}"

asyncio.run(answer_lines(answer))
"""


@asynccontextmanager
async def talking(folder: Path) -> AsyncIterator[OpenTalk]:
    program = folder / "stand_in.py"
    program.write_text(STAND_IN)
    framework = Framework(client_named("openai-agents"), (sys.executable, str(program)), folder)
    async with talks_by_framework(framework, Address("http://gateway", "key", "m", 2048), 0.4, folder) as open_talk:
        yield open_talk


@pytest.fixture
def through(tmp_path: Path) -> AbstractAsyncContextManager[OpenTalk]:
    return talking(tmp_path)


async def test_each_conversation_gets_its_own_answers_in_whatever_order_they_come(
    through: AbstractAsyncContextManager[OpenTalk],
) -> None:
    async with through as open_talk:
        ada, again, bob = open_talk("ada"), open_talk("ada"), open_talk("bob")
        await ada.say("Hello", 72)
        answers = await asyncio.gather(ada.say("wait", 72), again.say("Hi", 72), bob.say("Bye", 16))
    assert answers == [
        "m at http://gateway/v1: ['ada', 0.4, 72] ['Hello', 'wait']",
        "m at http://gateway/v1: ['ada', 0.4, 72] ['Hi']",
        "m at http://gateway/v1: ['bob', 0.4, 16] ['Bye']",
    ]


async def test_what_the_framework_gives_up_on_is_a_failed_request_and_the_others_go_on(
    through: AbstractAsyncContextManager[OpenTalk],
) -> None:
    async with through as open_talk:
        with pytest.raises(RetryableError, match=r"^openai-agents gave up: ValueError: no such model$"):
            await open_talk("ada").say("fail", 72)
        assert await open_talk("bob").say("Hi", 72)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("die", "ended with exit code 3; "),
        ("babble", "wrote a line that is no answer (b'Welcome to the framework!\\n'); "),
        ("drop", 'wrote a line that is no answer (b\'{"id": 0, "answer": 7}\\n\'); '),
        ("shout", "wrote a line of more than 1048576 bytes; "),
    ],
)
async def test_a_program_that_ends_or_writes_something_else_is_one_sentence_for_all_who_wait(
    said: str, sentence: str, through: AbstractAsyncContextManager[OpenTalk]
) -> None:
    async with through as open_talk:
        talks = [open_talk("ada").say(said, 72), open_talk("bob").say("wait", 72)]
        errors = await asyncio.gather(*talks, return_exceptions=True)
        with pytest.raises(FatalError) as later:
            await open_talk("eve").say("Hi", 72)
    for error in (*errors, later.value):
        assert isinstance(error, FatalError)
        assert str(error).startswith(f"The program that talks through openai-agents {sentence}")
        assert str(error).endswith("output.log ends: out of memory" if said == "die" else "output.log ends: nothing")
        assert "\n" not in str(error)


async def test_a_silent_framework_is_a_failed_request(
    through: AbstractAsyncContextManager[OpenTalk], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with through as open_talk:
        await open_talk("ada").say("Hello", 72)
        monkeypatch.setattr("infra.demo.framework.ANSWER_S", 0.05)
        with pytest.raises(RetryableError, match=r"^openai-agents has not answered for 0\.05 s\.$"):
            await open_talk("ada").say("wait", 72)


async def test_the_scripted_user_talks_through_it_like_through_any_other(
    through: AbstractAsyncContextManager[OpenTalk],
) -> None:
    tally = Tally()
    async with through as open_talk:
        await ScriptedUser(open_talk, tally, name="ada", seed=0).converse()
    assert tally.answers[0]  # the answer repeats the question, so it is about it
    assert tally.num_continuing == tally.requests - 1
    assert not tally.failures


async def test_users_who_cannot_talk_any_more_end_the_demo_with_that_sentence() -> None:
    class Broken:
        async def say(self, text: str, max_tokens: int) -> str:
            raise FatalError(f"The program ended before {text!r}.")

    console = Console(file=io.StringIO())
    stage = job._Stage(None, None, lambda _: Broken(), Observed(8), Tally(), console, 0)  # type: ignore[arg-type]
    with pytest.raises(FatalError, match=r"^The program ended before ") as ended:
        await job._learn(stage)
    assert any(question in str(ended.value) for question in ASKED)


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_each_framework_is_a_client_that_python_runs_and_has_a_program(name: str) -> None:
    assert client_named(name).file.suffix == ".py"
    assert (PROGRAMS / f"{name}.py").is_file()


def test_a_client_without_a_program_is_refused_with_the_names_of_those_that_have_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"through langchain: .* one of openai-agents, pydantic-ai"):
        install_framework("langchain", tmp_path, print)
    assert not list(tmp_path.iterdir())
