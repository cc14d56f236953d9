"""The searches for secrets find one wherever it stands, and say so where they are blind."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from infra.faults.access.keys import Keys
from infra.faults.access.leaks import in_files, in_records, in_start
from infra.secrets import SECRETS, secret_values
from infra.settings import Settings, run_configured
from infra.settings_file import load_settings
from schemas.events import RunConfigured
from streams.memory import MemoryLog
from streams.recorded import Recorded
from streams.topics import RUNS

HIDDEN, WORD = {"the key": "s3cret"}, "harmless"


def started(environment: Mapping[str, str]) -> RunConfigured:
    return run_configured(load_settings(None, [f"judge.model={WORD}"], environment))


def records(*events: RunConfigured) -> list[Recorded]:
    return [MemoryLog().append(event) for event in events]


def files(folder: Path) -> list[str]:
    own, holders = [folder / "users"], [folder / "logs" / "a.log"]
    return [one.replace(f"{folder}/", "") for one in in_files(folder, HIDDEN, own=own, word=WORD, holders=holders)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.log").write_text(f"{WORD}\n")
    (tmp_path / "users").write_text("s3cret")
    return tmp_path


def test_files_that_hold_no_secret_are_right(folder: Path) -> None:
    assert files(folder) == []


def test_a_secret_in_any_file_is_told(folder: Path) -> None:
    (folder / "logs" / "a.log").write_text(f"{WORD} login with s3cret\n")
    (folder / "raw").write_bytes(b"\xff\x00s3cret\x00")
    assert files(folder) == ["the key is in logs/a.log.", "the key is in raw."]


@pytest.mark.parametrize("is_there", [True, False])
def test_a_file_that_the_search_does_not_see_is_told(folder: Path, *, is_there: bool) -> None:
    log = folder / "logs" / "a.log"
    log.write_text("") if is_there else log.unlink()
    assert files(folder) == ["The search of files does not find a word that is in logs/a.log."]


def test_records_that_hold_no_secret_are_right() -> None:
    assert list(in_records(records(started({})), HIDDEN, word=WORD, holders=[RUNS.name])) == []


@pytest.mark.parametrize("place", ["key", "value", "header"])
def test_a_secret_in_any_part_of_a_record_is_told(place: str) -> None:
    parts = {"key": b"", "value": b"", "header": b""} | {place: b"so s3cret"}
    record = MemoryLog().append_raw(RUNS, parts["key"], parts["value"], [(WORD, parts["header"])])
    assert list(in_records([record], HIDDEN, word=WORD, holders=[RUNS.name])) == ["the key is in runs."]


def test_a_topic_that_is_empty_says_nothing_of_secrets() -> None:
    found = list(in_records(records(started({})), HIDDEN, word=WORD, holders=[RUNS.name, "actions"]))
    assert found == ["The search of records does not find a word that is in actions."]


def test_a_start_shows_every_secret_as_set_and_hidden() -> None:
    keys = Keys(password="s3cret")
    recorded = records(started(keys.environment))
    assert list(in_start(recorded)) == []
    assert list(in_records(recorded, keys.hidden, word=WORD, holders=[RUNS.name])) == []


def test_a_start_without_its_secrets_proves_nothing() -> None:
    keys = Keys(password="s3cret")
    judges = "NEXTSTATE_JUDGE_API_KEY"
    environment = {variable: value for variable, value in keys.environment.items() if variable != judges}
    sentence = "The event of a start does not show judge.api_key as a secret that is set."
    assert list(in_start(records(started(environment)))) == [sentence]
    assert len(list(in_start(records(run_configured(Settings()))))) == len(SECRETS)
    assert list(in_start([])) == ["No start is recorded."]


def test_the_keys_of_the_row_are_every_secret_that_there_is() -> None:
    keys = Keys(password="s3cret")
    assert {secret for secret, _ in secret_values(keys.environment)} == set(SECRETS)
    for value in keys.environment.values():
        assert any(hidden in value for hidden in keys.hidden.values())
