"""The checks of `nextstate bench clients`: a run that is right passes them all, and each of them can fail."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from example_events import WHOLE

from infra.bench.clients.checks import CHECKS, Ran, checked, matched
from infra.bench.clients.engine import Drawn, logprob
from infra.bench.clients.run import Row
from infra.bench.clients.script import (
    AFTER_RETRY,
    ANSWER,
    CORRECTED,
    RESULTS,
    STORY,
    Asked,
    Script,
)
from infra.bench.clients.stage import Logged
from infra.commands.bench_clients import _draw
from infra.connect.clients import Check
from schemas.events import ActionTaken, Message, NextStateObserved, ToolCall

CALLS = tuple(ToolCall(id=f"call_{n}", name="weather", arguments="{}") for n in range(2))
REPLIES = [
    Message(role="assistant", tool_calls=CALLS),
    *(Message(role="assistant", content=text) for text in (ANSWER, CORRECTED, AFTER_RETRY, STORY[:40])),
]
RESULT_MESSAGES = tuple(
    Message(role="tool", content=text, tool_call_id=call.id) for text, call in zip(RESULTS, CALLS, strict=True)
)
SAID = [
    RESULT_MESSAGES,
    *((Message(role="user", content=text),) for text in ("No, in Fahrenheit.", "And tomorrow?", "A long story.")),
]
IDS = (7, 8, 9)
ASKED: tuple[Asked, ...] = ("question", "results", "correction", "retried", "long")
WORDS = ("", ANSWER, CORRECTED, AFTER_RETRY, STORY)


def action(turn: int) -> ActionTaken:
    return replace(
        WHOLE,
        id=f"action-{turn}",
        conversation_id="talk",
        turn=turn,
        parent_action_id=f"action-{turn - 1}" if turn else None,
        reply=REPLIES[turn],
        prompt_ids=(1, turn),
        response_ids=IDS,
        response_logprobs=tuple(map(logprob, range(3))),
        finish_reason="aborted" if turn == 4 else "stop",
    )


def next_state(turn: int, event_id: str = "") -> NextStateObserved:
    return NextStateObserved(
        id=event_id or f"state-{turn}", time_ms=1, policy="p", action_id=f"action-{turn}", messages=SAID[turn]
    )


RIGHT = Ran(
    exit_code=0,
    output="\n".join([ANSWER, CORRECTED, AFTER_RETRY, STORY[:40]]),
    logged=Logged(
        tuple(action(turn) for turn in range(5)), (*(next_state(turn) for turn in range(4)), next_state(2, "again"))
    ),
    drawn=tuple(
        Drawn(asked, (1, turn), words, (*IDS, 2), tuple(map(logprob, range(4))))
        for turn, (asked, words) in enumerate(zip(ASKED, WORDS, strict=True))
    ),
    num_failures=1,
    streams=True,
)


def with_action(ran: Ran, turn: int, **changed: object) -> Ran:
    actions = list(ran.logged.actions)
    actions[turn] = replace(actions[turn], **changed)  # type: ignore[arg-type]
    return replace(ran, logged=replace(ran.logged, actions=tuple(actions)))


def with_next_states(ran: Ran, *states: NextStateObserved) -> Ran:
    others = [state for state in ran.logged.next_states if state.id not in {state.id for state in states}]
    return replace(ran, logged=replace(ran.logged, next_states=(*states, *others)))


def test_a_run_that_is_right_passes() -> None:
    assert checked(RIGHT) == dict.fromkeys(checked(RIGHT), "")
    assert matched(RIGHT.logged) == (4, 4)


SABOTAGE: dict[str, tuple[str, Callable[[Ran], Ran]]] = {
    "it failed": ("behaves", lambda ran: replace(ran, exit_code=1)),
    "it showed something else": ("behaves", lambda ran: replace(ran, output=ran.output.replace("70", "71"))),
    "it showed once what the model said twice": (
        "behaves",
        lambda ran: replace(
            ran,
            drawn=(*ran.drawn[:2], replace(ran.drawn[2], words=ANSWER), *ran.drawn[3:]),
            output=ran.output.replace(CORRECTED, ""),
        ),
    ),
    "it showed nothing of the long answer": ("behaves", lambda ran: replace(ran, output=ran.output.partition("On")[0])),
    "a turn opened a new conversation": ("turns", lambda ran: with_action(ran, 2, conversation_id="other")),
    "a turn has no parent": ("turns", lambda ran: with_action(ran, 1, parent_action_id=None)),
    "a match was a guess": ("turns", lambda ran: with_action(ran, 3, ambiguous=True)),
    "a next state was a guess": ("turns", lambda ran: with_next_states(ran, replace(next_state(1), ambiguous=True))),
    "nothing was recorded": ("turns", lambda ran: replace(ran, logged=Logged((), ()))),
    "one result is missing": (
        "parallel",
        lambda ran: with_next_states(ran, replace(next_state(0), messages=RESULT_MESSAGES[:1])),
    ),
    "results have each other's ids": (
        "parallel",
        lambda ran: with_next_states(
            ran,
            replace(
                next_state(0),
                messages=tuple(
                    replace(message, content=text)
                    for message, text in zip(RESULT_MESSAGES, reversed(RESULTS), strict=True)
                ),
            ),
        ),
    ),
    "the results came one by one": ("parallel", lambda ran: with_next_states(ran, replace(next_state(0), id="second"))),
    "the correction is not what came next": (
        "correction",
        lambda ran: with_next_states(ran, replace(next_state(1), messages=SAID[2])),
    ),
    "the engine never failed": ("retry", lambda ran: replace(ran, num_failures=0)),
    "the request was not drawn for again": ("retry", lambda ran: replace(ran, drawn=ran.drawn[:3])),
    "the client said no more than its question": ("behaves", lambda ran: replace(ran, drawn=ran.drawn[:2])),
    "the request was not sent again": (
        "retry",
        lambda ran: replace(ran, logged=replace(ran.logged, next_states=ran.logged.next_states[:4])),
    ),
    "the long answer was drawn to its end": ("abandoned", lambda ran: with_action(ran, 4, finish_reason="stop")),
    "the abandoned answer is empty": (
        "abandoned",
        lambda ran: with_action(ran, 4, reply=Message(role="assistant")),
    ),
    "nothing was drawn at all": ("tokens", lambda ran: replace(ran, drawn=(), logged=Logged((), ()))),
    "a token is not the one drawn": ("tokens", lambda ran: with_action(ran, 1, response_ids=(7, 8, 8))),
    "words were lost on the way": (
        "tokens",
        lambda ran: with_action(ran, 2, reply=Message(role="assistant", content=CORRECTED[3:])),
    ),
    "a log-prob is not the one given": (
        "tokens",
        lambda ran: with_action(ran, 1, response_logprobs=(-0.1, -0.1, -0.1)),
    ),
    "a prompt is not the one read": ("tokens", lambda ran: with_action(ran, 1, prompt_ids=(1, 2, 3))),
    "a reply was not recorded": ("tokens", lambda ran: replace(ran, drawn=(*ran.drawn, ran.drawn[0]))),
}


@pytest.mark.parametrize("sabotage", SABOTAGE)
def test_what_went_wrong_is_found_by_the_check_that_is_there_for_it(sabotage: str) -> None:
    check, spoil = SABOTAGE[sabotage]
    assert {name: wrong for name, wrong in checked(spoil(RIGHT)).items() if name == check}[check]  # type: ignore[index]


def test_a_model_that_answers_without_tools_passes_what_is_asked_of_it() -> None:
    """As SGLang with the small model does: the question's answer is the one that is corrected."""
    actions = tuple(
        replace(action(turn), turn=turn - 1, parent_action_id=f"action-{turn - 1}" if turn > 1 else None)
        for turn in range(1, 5)
    )
    drawn = (replace(RIGHT.drawn[1], asked="question"), *RIGHT.drawn[2:])
    ran = replace(RIGHT, logged=Logged(actions, RIGHT.logged.next_states[1:]), drawn=drawn)
    assert {name for name, wrong in checked(ran).items() if wrong} == {"parallel"}
    assert matched(ran.logged) == (3, 3)


def prompt(*messages: str, tools: str = '{"name": "weather"}') -> str:
    return f"<|im_start|>system\n{tools}<|im_end|>\n" + "".join(messages) + "<|im_start|>assistant\n"


def said(role: str, text: str) -> str:
    return f"<|im_start|>{role}\n{text}<|im_end|>\n"


def test_the_script_answers_what_is_new_and_nothing_else() -> None:
    script = Script()
    question = said("user", "The weather in Rome and Oslo? It will be a long story tomorrow, or not.")
    assert script.line(prompt(said("user", "Rome and Oslo"))).text.count("<tool_call>") == 2
    assert script.line(prompt(question, said("assistant", "?"), said("user", "In Fahrenheit"))).text == CORRECTED


def test_the_engine_of_the_script_fails_once_on_a_request_and_then_no_more() -> None:
    script = Script()
    asked = prompt(said("user", "And tomorrow?"))
    assert [script.line(asked).fails for _ in range(3)] == [True, False, False]


def test_the_table_says_what_was_wrong_and_what_was_not_asked(capsys: pytest.CaptureFixture[str]) -> None:
    wrong: dict[Check, str] = dict.fromkeys(CHECKS, "") | {"retry": "the engine failed 0 times"}
    row = Row(client="curl", packages=(), wrong=wrong, not_asked={"parallel": "no tools"}, num_continuing=3)
    _draw([row])
    shown = capsys.readouterr().out
    assert [cell.strip() for cell in shown.splitlines()[3].split("│")[1:-1]] == [
        *("curl", "yes", "yes", "not asked", "yes", "NO", "yes", "yes", "0 of 3", "0")
    ]
    assert "curl, retry: the engine failed 0 times.\n" in shown
    assert "curl is not asked about parallel: no tools.\n" in shown
