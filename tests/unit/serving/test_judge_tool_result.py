"""What results of tools say of the call: stated status first, then the look of an error, else an abstention."""

import pytest

from schemas.events import Score
from serving.judges.tool_result import read_tool_results

LONG = "\n".join(f"row {number}" for number in range(40))


@pytest.mark.parametrize(
    ("text", "score"),
    [
        # stated by the output itself
        ("Exit code: 1\nls: x: No such file", -1),
        ("[command finished with exit code 0]\nwarning: error: in a string", 1),
        ("<returncode>127</returncode>", -1),
        ("<returncode>0</returncode>\n<output></output>", 1),
        ("exit code 1\nit printed: exit code 0", None),  # which of them is the command's own?
        ("HTTP 200\nHTTP 500", None),
        ("exit code 0\nexit code 0", 1),
        (f"exit code {'9' * 5_000}", -1),  # no number that Python would read
        ("HTTP/1.1 503 Service Unavailable", -1),
        ("HTTP/2 204", 1),
        ("request failed: status code 429", -1),
        ('{"status": 404, "body": "x"}', -1),
        ('{"status": "failed"}', -1),
        ('{"success": false}', -1),
        ('{"returncode": 3}', -1),
        ('{"exit_code": [1]}', 1),  # nonsense in a field is no evidence, and no crash
        ('{"error": "", "rows": []}', 1),
        ("[]", None),
        ("null", None),
        ("42", 1),
        # summaries of tests
        ("=== 1 failed, 7 passed in 0.2s ===", -1),
        ("=== 7 passed in 0.2s ===", 1),
        ("FAILED (failures=2)", -1),
        ("test result: FAILED. 3 passed; 1 failed", -1),
        ("Tests: 0 failed, 12 passed", 1),
        ("Found 3 errors in 1 file", -1),
        # the look of an error
        ("zsh: command not found: foo", -1),
        ("cat: /etc/shadow: Permission denied", -1),
        ("error[E0382]: borrow of moved value", -1),
        ("gcc: fatal error: no input files", -1),
        ("npm ERR! missing script", -1),
        ("requests.exceptions.ConnectionError: refused", -1),
        ("java.lang.NullPointerException", -1),
        ("Raise ValueError when the input is empty.", 1),
        ("panic: runtime error: index out of range", -1),
        # what only speaks of errors
        ("There was no error.", 1),
        ("Chapter 3: Error handling in Go", 1),
        (f"{LONG}\nTypeError: quoted deep inside\n{LONG}", None),
        (f"{LONG}\nTypeError: at the end", -1),
    ],
)
def test_a_result_is_read_by_its_strongest_evidence(text: str, score: Score | None) -> None:
    judgement = read_tool_results([text], None)
    assert judgement.score == score
    assert judgement.votes == (score,)
    assert (judgement.abstention is None) == (score is not None)


def test_one_failure_among_parallel_results_is_a_failure() -> None:
    judgement = read_tool_results(["ok then", "KeyError: 'x'", ""], None)
    assert (judgement.score, judgement.votes) == (-1, (1, -1, None))


def test_rules_claim_no_confidence() -> None:
    assert read_tool_results(["fine"], None).confidence is None


@pytest.mark.parametrize(("exit_code", "score"), [(0, 1), (1, -1), (137, -1)])
def test_an_exit_code_outweighs_what_was_printed(exit_code: int, score: Score) -> None:
    assert read_tool_results(["KeyError: 'x'\n5 passed"], exit_code).score == score


def test_silence_is_an_abstention_unless_there_is_an_exit_code() -> None:
    assert read_tool_results(["", " \n"], None).abstention == "the tool returned nothing"
    assert read_tool_results([], 0).score == 1


@pytest.mark.timeout(60)
@pytest.mark.parametrize("filling", ["\n", " ", "\r\n", "a: ", "a.", "A", "exit ", "errors = ", "\t", "9"])
def test_no_output_takes_long_to_read(filling: str) -> None:
    read_tool_results([f"begin{filling * 500_000}end"], None)
