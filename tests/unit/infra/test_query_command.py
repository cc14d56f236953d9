import io
import json

import pytest

from infra.commands.query import print_result, statements
from schemas.errors import RejectedError
from streams.query import QueryResult

RESULT = QueryResult(columns=("name", "count"), rows=(("a,b", 1), (None, 2), ("x\x1b[31m", 3)))


def test_json_keeps_names_types_and_nulls(capsys: pytest.CaptureFixture[str]) -> None:
    print_result(RESULT, "json")
    assert json.loads(capsys.readouterr().out)[:2] == [{"name": "a,b", "count": 1}, {"name": None, "count": 2}]


def test_csv_quotes_what_needs_it(capsys: pytest.CaptureFixture[str]) -> None:
    print_result(RESULT, "csv")
    assert capsys.readouterr().out.startswith('name,count\n"a,b",1\n,2\n')


def test_a_table_shows_all_rows_and_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    print_result(RESULT, "table")
    out = capsys.readouterr().out
    assert "a,b" in out
    assert "\x1b" not in out


def test_words_in_brackets_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    print_result(QueryResult(columns=("[bold]c",), rows=(("[red]hello",),)), "table")
    out = capsys.readouterr().out
    assert "[bold]c" in out
    assert "[red]hello" in out


def test_statements_end_at_semicolons_and_may_span_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT 1;\n\nSELECT\n 2;\nSELECT 3"))
    assert list(statements()) == ["SELECT 1;", "SELECT\n 2;", "SELECT 3"]


def test_json_writes_numbers_beyond_64_bits_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_result(QueryResult(columns=("small", "large"), rows=((2**63, 2**70),)), "json")
    assert json.loads(capsys.readouterr().out) == [{"small": 2**63, "large": str(2**70)}]


def test_json_refuses_two_columns_of_one_name() -> None:
    with pytest.raises(RejectedError, match="Several columns are called score"):
        print_result(QueryResult(columns=("score", "score"), rows=((1, 2),)), "json")
