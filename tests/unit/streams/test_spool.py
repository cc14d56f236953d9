"""What the spool keeps, through restarts, crashes and full disks."""

import errno
import os
import struct
from pathlib import Path

import pytest

from schemas.errors import FatalError, SpoolFullError
from streams.spool import Spool

FRAME_BYTES = 8


def contents(spool: Spool) -> list[bytes]:
    return [record for _, record in spool.replay()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gateway" / "spool"


def test_records_come_back_in_order(path: Path) -> None:
    with Spool(path, 1_000) as spool:
        for record in (b"one", b"two", b"three"):
            spool.append(record)
        assert contents(spool) == [b"one", b"two", b"three"]
        assert spool.pending_bytes == 3 * FRAME_BYTES + 11


def test_records_survive_a_restart(path: Path) -> None:
    with Spool(path, 1_000) as spool:
        spool.append(b"one")
    with Spool(path, 1_000) as spool:
        spool.append(b"two")
        assert contents(spool) == [b"one", b"two"]


def test_each_append_is_on_the_disk_before_it_returns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bytes] = []
    monkeypatch.setattr(os, "fsync", lambda _: synced.append(path.read_bytes()))
    with Spool(path, 1_000) as spool:
        spool.append(b"one")
    assert synced[-1].endswith(b"one")


def test_records_that_come_together_cost_one_sync_and_are_kept_all_or_none(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bytes] = []
    with Spool(path, 3 * (FRAME_BYTES + 3)) as spool:
        monkeypatch.setattr(os, "fsync", lambda _: synced.append(path.read_bytes()))
        spool.append(b"one", b"two")
        assert len(synced) == 1
        assert synced[0].endswith(b"two")
        with pytest.raises(SpoolFullError):
            spool.append(b"six", b"ten")
        assert contents(spool) == [b"one", b"two"]


def test_dropped_records_do_not_come_back_while_newer_ones_wait(path: Path) -> None:
    with Spool(path, 1_000) as spool:
        spool.append(b"one")
        spool.append(b"two")
        first_position, _ = next(spool.replay())
        spool.drop(first_position)
        assert contents(spool) == [b"two"]
        assert spool.pending_bytes == FRAME_BYTES + 3


def test_the_file_is_emptied_when_all_is_dropped(path: Path) -> None:
    with Spool(path, 1_000) as spool:
        spool.append(b"one")
        spool.drop(list(spool.replay())[-1][0])
        assert spool.pending_bytes == 0
        assert path.stat().st_size == 0
        spool.append(b"two")
        assert contents(spool) == [b"two"]


def test_a_full_spool_says_so_and_keeps_what_it_has(path: Path) -> None:
    with Spool(path, 2 * (FRAME_BYTES + 3)) as spool:
        spool.append(b"one")
        spool.append(b"two")
        with pytest.raises(SpoolFullError, match="full"):
            spool.append(b"")
        assert contents(spool) == [b"one", b"two"]


def test_a_full_disk_leaves_no_half_record(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Spool(path, 1_000) as spool:
        spool.append(b"one")

        def no_space(_: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", no_space)
        with pytest.raises(SpoolFullError, match="No space left"):
            spool.append(b"two")
        monkeypatch.undo()
        spool.append(b"three")
        assert contents(spool) == [b"one", b"three"]
    with Spool(path, 1_000) as spool:
        assert contents(spool) == [b"one", b"three"]


@pytest.mark.parametrize("torn", [b"\x00", struct.pack(">II", 10, 0), struct.pack(">II", 10, 0) + b"half"])
def test_a_torn_tail_is_cut_and_set_aside(path: Path, torn: bytes) -> None:
    with Spool(path, 1_000) as spool:
        spool.append(b"one")
    with path.open("ab") as file:
        file.write(torn)
    with Spool(path, 1_000) as spool:
        assert contents(spool) == [b"one"]
        spool.append(b"two")
        assert contents(spool) == [b"one", b"two"]
    assert path.with_name("spool.cut").read_bytes() == torn


def test_a_damaged_record_is_never_delivered_as_if_it_were_whole(path: Path) -> None:
    with Spool(path, 1_000) as spool:
        spool.append(b"one")
        spool.append(b"two")
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    with Spool(path, 1_000) as spool:
        assert contents(spool) == [b"one"]


def test_two_processes_cannot_share_a_spool(path: Path) -> None:
    with Spool(path, 1_000), pytest.raises(FatalError, match="Another process"):
        Spool(path, 1_000).open()


def test_a_spool_that_cannot_be_written_stops_the_start_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FatalError, match="cannot be written"):
        Spool(tmp_path / "file" / "spool", 1_000).open()


@pytest.mark.parametrize(
    ("number", "fix"),
    [(errno.ENOSPC, "make room on the disk"), (errno.EROFS, "make its folder writable"), (errno.EIO, "check the disk")],
)
def test_a_disk_that_fails_while_a_torn_tail_is_cut_stops_the_start_with_its_own_fix(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int, fix: str
) -> None:
    with Spool(path, 1_000) as spool:
        spool.append(b"one")
    with path.open("ab") as file:
        file.write(b"torn")

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "ftruncate", fail)
    with pytest.raises(FatalError, match=fix):
        Spool(path, 1_000).open()
    monkeypatch.undo()
    with Spool(path, 1_000) as spool:  # the file was let go of
        assert contents(spool) == [b"one"]


def test_zeros_that_a_crash_of_the_machine_left_are_no_records(path: Path) -> None:
    with Spool(path, 1_000) as spool:
        spool.append(b"one")
    with path.open("ab") as file:
        file.write(bytes(64))
    with Spool(path, 1_000) as spool:
        assert contents(spool) == [b"one"]
        spool.append(b"two")
        assert contents(spool) == [b"one", b"two"]
