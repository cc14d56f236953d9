import hashlib
from pathlib import Path

import pytest

from infra.kafka import jars
from infra.kafka.jars import LIST, Jar, fetch_jars, listed_jars
from schemas.errors import MissingRuntimeError

CONTENT = b"a jar"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def test_the_list_pins_every_jar_once() -> None:
    listed = listed_jars(LIST.read_text())
    assert len({(jar.group, jar.artifact) for jar in listed}) == len(listed) == 46
    assert all(len(jar.sha256) == 64 for jar in listed)


def test_kafka_itself_has_one_version() -> None:
    listed = listed_jars(LIST.read_text())
    assert {jar.version for jar in listed if jar.group == "org.apache.kafka"} == {"4.3.1"}


def test_a_jar_lies_where_maven_puts_it(tmp_path: Path) -> None:
    jar = Jar("org.slf4j", "slf4j-api", "1.7.36", DIGEST)
    assert jar.path(tmp_path) == tmp_path / "org/slf4j/slf4j-api/1.7.36/slf4j-api-1.7.36.jar"


def test_a_cut_file_is_not_intact(tmp_path: Path) -> None:
    jar = Jar("g", "a", "1", DIGEST)
    jar.path(tmp_path).parent.mkdir(parents=True)
    jar.path(tmp_path).write_bytes(CONTENT[:2])
    assert not jar.is_intact(tmp_path)


def test_an_unreachable_mirror_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirrors = tmp_path / "jgo.conf"
    mirrors.write_text("[repositories]\ncentral = http://127.0.0.1:9\n")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(mirrors))
    monkeypatch.setattr(jars, "LIST", tmp_path / "jars.txt")
    jars.LIST.write_text(f"g:a:1 {DIGEST}\n")
    with pytest.raises(MissingRuntimeError, match=r"^Could not fetch a 1, a part of Apache Kafka .*mirror"):
        fetch_jars(tmp_path, lambda _: None)


def test_where_every_jar_is_there_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jars, "LIST", tmp_path / "jars.txt")
    jars.LIST.write_text(f"g:a:1 {DIGEST}\n")
    repository = tmp_path / "jars"
    jar = Jar("g", "a", "1", DIGEST)
    jar.path(repository).parent.mkdir(parents=True)
    jar.path(repository).write_bytes(CONTENT)
    assert fetch_jars(repository, print) == (jar.path(repository),)
    assert not (repository / ".lock").exists()
