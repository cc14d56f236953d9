"""The demo's own logic: the rule, the user, the verdict on itself. The real run is `make demo`."""

from collections.abc import Callable

import httpx
import openai
import pytest

from infra.demo.display import rows
from infra.demo.evaluate import Evaluation
from infra.demo.questions import ASKED, HELD_OUT
from infra.demo.report import Findings
from infra.demo.sdk import talks_by_sdk
from infra.demo.user import ScriptedUser, Tally, fault_of
from infra.experiment.wordings import COMPLAINTS, FAULTS
from infra.watch import Observed
from schemas import events as e
from schemas.errors import RetryableError
from tests.example_events import EXAMPLES

LIST = "Here are some tips:\n\n1. Go to bed early\n2. Avoid coffee"
REFUSAL = "I am sorry, that is nothing I can assist with."


def prose(asked: str) -> str:
    return f"Start small, and do it at the same time each day: {asked}"


@pytest.mark.parametrize("answer", [LIST, "- one\n- two", "* star", "This is **bold**.", "# Heading\ntext", "a\n• b"])
def test_lists_bold_and_headings_break_the_rule(answer: str) -> None:
    assert fault_of("How can I sleep better?", answer) == "rule"


@pytest.mark.parametrize("answer", ["To sleep well, rest.", "In 2024. it was sleep", "3 * 4 = 12 hours of sleep"])
def test_plain_sentences_follow_the_rule(answer: str) -> None:
    assert fault_of("How can I sleep better?", answer) is None


@pytest.mark.parametrize("answer", [REFUSAL, "", "I'm not here to help you."])
def test_plain_sentences_about_nothing_do_not(answer: str) -> None:
    assert fault_of("How can I bake bread?", answer) == "digression"


def test_no_held_out_question_is_ever_asked() -> None:
    assert len(HELD_OUT) >= 32
    assert not set(HELD_OUT) & set(ASKED)
    assert len(set(HELD_OUT)) == len(HELD_OUT)


class Policy:
    """An OpenAI endpoint that streams the given answers, one per request, and keeps what it was asked."""

    def __init__(self, *answers: str | Callable[[str], str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.histories: list[list[str]] = []
        self.headers: list[httpx.Headers] = []
        self.users: set[str] = set()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        import orjson

        body = orjson.loads(request.content)
        self.asked.append(body["messages"][-1]["content"])
        self.histories.append([message["role"] for message in body["messages"][:-1]])
        self.users.add(body["user"])
        self.headers.append(request.headers)
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m"}
        answer = self.answers.pop(0)
        text = answer if isinstance(answer, str) else answer(self.asked[-1])
        delta = {"index": 0, "delta": {"content": text}, "finish_reason": "stop"}
        lines = b"data: " + orjson.dumps({**chunk, "choices": [delta]}) + b"\n\ndata: [DONE]\n\n"
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=lines)


async def converse(policy: Callable[[httpx.Request], httpx.Response], tally: Tally | None = None) -> Tally:
    transport = httpx.AsyncClient(transport=httpx.MockTransport(policy))
    client = openai.AsyncOpenAI(base_url="http://policy/v1", api_key="none", http_client=transport, max_retries=0)
    tally = tally or Tally()
    async with client:
        await ScriptedUser(talks_by_sdk(client, "m", 0.7), tally, name="ada", seed=0).converse()
    return tally


async def test_an_unhappy_user_complains_once_and_says_nothing_of_the_rule_in_any_header() -> None:
    policy = Policy(LIST, LIST)
    tally = await converse(policy)
    assert policy.asked[0] in ASKED
    assert policy.asked[1:] == [policy.asked[1]]
    assert policy.asked[1] in COMPLAINTS["student"]
    assert policy.users == {"ada"}
    assert policy.histories == [[], ["user", "assistant"]]
    assert tally.answers == [False]
    assert tally.num_continuing == 1
    assert not [
        name for headers in policy.headers for name in headers if name.startswith("x-") and "stainless" not in name
    ]


async def test_a_refusal_is_not_thanked_for() -> None:
    policy = Policy(REFUSAL, REFUSAL)
    tally = await converse(policy)
    assert policy.asked[1:] == [policy.asked[1]]
    assert policy.asked[1] in FAULTS["digression"]
    assert tally.answers == [False]


async def test_a_happy_user_thanks_or_asks_on() -> None:
    policy = Policy(*[prose] * 50)
    tally = await converse(policy)
    assert all(tally.answers)
    assert tally.requests == len(tally.answers) + 1  # the last request is the thanks
    assert not set(policy.asked) & set(COMPLAINTS["student"])


@pytest.mark.parametrize("failure", [httpx.Response(503), httpx.ReadError("broken off")], ids=["refused", "broken off"])
async def test_a_request_that_fails_is_counted_with_its_reason(failure: httpx.Response | httpx.ReadError) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        if isinstance(failure, Exception):
            raise failure
        return failure

    tally = Tally()
    with pytest.raises(RetryableError):
        await converse(fail, tally)
    assert (tally.requests, len(tally.failures)) == (1, 1)
    assert tally.failures[0].startswith("The gateway did not answer: ")


def findings(before: int, after: int, *, version: int = 3, failures: tuple[str, ...] = ()) -> Findings:
    def evaluation(num_good: int) -> Evaluation:
        answers = {question: prose(question) if i < num_good else LIST for i, question in enumerate(HELD_OUT)}
        return Evaluation(answers=answers, failures=())

    return Findings(
        through="openai==1",
        before=evaluation(before),
        after=evaluation(after),
        version=version,
        num_updates=version,
        learning_s=1.0,
        num_requests=100,
        num_continuing=10,
        num_matched=10,
        failures=failures,
    )


def test_the_demo_says_which_of_its_claims_did_not_hold() -> None:
    assert findings(16, 24).shortcomings == ()
    assert "rose by 0.22" in findings(16, 23).shortcomings[0]
    assert "no new version" in findings(16, 24, version=0).shortcomings[0]
    assert "1 requests failed, the first with: boom" in findings(16, 24, failures=("boom",)).shortcomings[0]


def test_an_unanswered_held_out_question_counts_as_not_following_the_rule() -> None:
    assert Evaluation(answers={HELD_OUT[0]: prose(HELD_OUT[0])}, failures=("away",) * 31).compliance == 1 / 32


def test_the_display_counts_each_kind_of_event() -> None:
    observed = Observed(batch_size=8)
    for event in EXAMPLES:
        observed.see(event, "checkpoints" if isinstance(event, e.CheckpointPublished) else "other")
    shown = dict(rows(observed, Tally(answers=[True, False])))
    assert shown["compliance so far"] == "0.50 of 2; newest 0.50 of 2"
    assert shown["last checkpoint"].startswith("version ")
