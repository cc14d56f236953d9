import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra import model
from infra.model import NAME, prepare_small_model
from schemas.errors import MissingRuntimeError


def test_a_model_that_is_there_is_not_converted_again(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    said: list[str] = []
    assert prepare_small_model(tmp_path, said.append) == tmp_path / NAME
    assert said == []


def test_a_conversion_that_was_cut_short_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_short(source: Path, target: Path, report: object) -> None:
        target.mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(model, "_convert", cut_short)
    with pytest.raises(KeyboardInterrupt):
        prepare_small_model(tmp_path, lambda _: None)
    assert not (tmp_path / NAME).exists()


def test_without_the_package_that_carries_it_the_fix_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "PACKAGE", "no-such-package")
    with pytest.raises(MissingRuntimeError, match=r"no-such-package, which carries .* run make install\.$"):
        prepare_small_model(tmp_path, lambda _: None)


def test_two_that_ask_at_once_convert_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    converted: list[Path] = []

    def slowly(source: Path, target: Path, report: object) -> None:
        converted.append(target)
        time.sleep(0.1)
        target.mkdir(parents=True)

    monkeypatch.setattr(model, "_convert", slowly)
    with ThreadPoolExecutor(2) as pool:
        folders = set(pool.map(lambda _: prepare_small_model(tmp_path, print), range(2)))
    assert folders == {tmp_path / NAME}
    assert len(converted) == 1
