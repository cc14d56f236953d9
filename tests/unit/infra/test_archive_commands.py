"""What commands do with an archive alone: no broker, no stack."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from archive_world import archive, taught
from click.testing import CliRunner
from made_log import MadeLog

from infra.cli import nextstate
from schemas.errors import RejectedError
from streams.questions import ready_questions


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    log = taught()
    log.feedback("a0", 1)
    log.refused(1, "It repeats 80% of its 4-grams; gate.max_repeated is 0.3.")
    archive(folder, log.as_sent())
    return folder


def run(*arguments: object) -> str:
    """What a command prints; raises what it raises."""
    done = CliRunner().invoke(nextstate, list(map(str, arguments)), catch_exceptions=False, standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done.output


@pytest.mark.parametrize("name", [name for name, _ in ready_questions()])
def test_every_ready_question_has_an_answer(folder: Path, name: str) -> None:
    rows = json.loads(run("query", name, "--json", "--archive", folder))

    assert rows
    assert all(rows[0].keys() == row.keys() for row in rows)


def test_ready_questions_say_what_is_in_the_log(folder: Path) -> None:
    (worst,) = json.loads(run("query", "worst-conversations", "--json", "--archive", folder))
    assert (worst["complaints"], worst["complaint"]) == (1, "No bold please.")
    (judge,) = json.loads(run("query", "judge-agreement", "--json", "--archive", folder))
    assert (judge["verdicts"], judge["good"], judge["bad"], judge["votes_as_its_score"]) == (2, 1, 1, 1.0)
    (tokens,) = json.loads(run("query", "tokens-per-tenant", "--json", "--archive", folder))
    assert (tokens["answers"], tokens["response_tokens"]) == (3, 9)


def test_the_questions_are_listed_with_what_they_answer() -> None:
    assert "judge-agreement      How sure is the judge?" in run("query", "--list")


def test_a_question_that_is_none_names_the_list(folder: Path) -> None:
    with pytest.raises(RejectedError, match="--list"):
        run("query", "is-it-good", "--archive", folder)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_an_answer_becomes_a_file(folder: Path, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"it's{suffix}"
    run("export", "SELECT action_id, score, time FROM turns ORDER BY 1", file, "--archive", folder)
    if suffix == ".parquet":
        assert pq.read_table(file)["score"].to_pylist() == [-1, 1, None]
    else:
        first = file.read_text().splitlines()[0 if suffix == ".jsonl" else 1]
        assert "a0" in first
        assert "-1" in first
    assert len(list(tmp_path.iterdir())) == 1


def test_an_export_that_cannot_be_written_says_so_first(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RejectedError, match=r"\.csv, \.jsonl, \.parquet"):
        run("export", "learning", tmp_path / "answer.xlsx", "--archive", folder)
    with pytest.raises(RejectedError, match="there is no folder"):
        run("export", "learning", tmp_path / "no" / "answer.csv", "--archive", folder)


@pytest.mark.parametrize("wanted", ["assistant@1", "talk"])
def test_lineage_holds_the_same_in_every_form(folder: Path, wanted: str) -> None:
    def nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield node
        for child in node["children"]:
            yield from nodes(child)

    tree = run("lineage", wanted, "--archive", folder)
    assert "No bold please." in tree
    as_json = list(nodes(json.loads(run("lineage", wanted, "--json", "--archive", folder))))
    assert len(as_json) == len(tree.splitlines())
    assert all(
        node["kind"] in line and node["label"] in line for node, line in zip(as_json, tree.splitlines(), strict=True)
    )
    drawings = [run("lineage", wanted, form, "--archive", folder) for form in ("--mermaid", "--dot")]
    assert [drawing.split("\n")[0] for drawing in drawings] == ["flowchart LR", "digraph lineage {"]
    assert all("No bold please." in drawing for drawing in drawings)


def test_lineage_in_two_forms_at_once_is_refused(folder: Path) -> None:
    with pytest.raises(RejectedError, match=r"^A lineage is printed in one form: give one of --json, --dot\.$"):
        run("lineage", "talk", "--json", "--dot", "--archive", folder)


def test_a_lineage_too_large_for_mermaid_says_what_to_do(tmp_path: Path) -> None:
    log = MadeLog()
    for number in range(130):
        log.action(f"a{number}")
    archive(tmp_path, log.as_sent())
    done = CliRunner().invoke(nextstate, ["lineage", "talk", "--mermaid", "--archive", str(tmp_path)])

    assert done.stdout.startswith("flowchart LR\n")
    assert done.stderr.endswith("use --dot, or ask for a batch or sample of it.\n")


@pytest.mark.parametrize("command", [("query", "learning"), ("lineage", "x"), ("restore",)])
def test_a_folder_without_an_archive_is_named(tmp_path: Path, command: tuple[str, ...]) -> None:
    with pytest.raises(RejectedError, match="is no archive"):
        run(*command, "--archive", tmp_path)
