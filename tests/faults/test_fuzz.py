"""Poisoned input: the short size of each target holds, and whatever is wrong with a target is found."""

from pathlib import Path

import msgspec
import pytest

from infra.faults.fuzz import FAULTS, run
from infra.faults.fuzz.case import unpack
from infra.faults.fuzz.run import fuzz
from infra.faults.fuzz.shares import SHARES, Share
from infra.faults.outcome import Trial
from infra.settings import Settings

FULL_SIZE = 1_000_000


def trial(folder: Path, *, is_short: bool = True) -> Trial:
    return Trial(settings=Settings(), seed=1, is_short=is_short, folder=folder, report=print)


def test_the_full_size_is_a_million() -> None:
    assert sum(share.size(is_short=False) for share in SHARES) == FULL_SIZE


@pytest.mark.timeout(600)
@pytest.mark.parametrize("place", range(len(SHARES)), ids=[share.name for share in SHARES])
def test_a_door_takes_or_refuses_whatever_comes(place: int, tmp_path: Path) -> None:
    fault, share = FAULTS[place], SHARES[place]
    outcome = fault.run(trial(tmp_path))
    assert outcome.wrong == ()
    assert outcome.holds
    assert outcome.tried >= share.size(is_short=True)
    taken, refused = (int(part.split()[0].replace(",", "")) for part in outcome.note.split(" refused")[0].split(", "))
    assert min(taken, refused) > 0
    assert taken + refused == outcome.tried


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("defect", "told"),
    [
        ("crashes", "KeyError: 'word' (KeyError at fuzz_victim.py:"),
        ("dies", "the process died with exit code"),
        ("hangs", "hangs: nothing for"),
        ("silent", "refused without a reason"),
        ("verbose", "refused with a reason of 10000 characters"),
    ],
)
def test_what_is_wrong_is_found_and_its_input_kept(
    defect: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parent}:{Path(__file__).parents[2]}")
    monkeypatch.setattr(run, "SILENT_S", 20.0 if defect == "hangs" else 180.0)
    outcome = fuzz(Share(name=defect, what="a victim", module="fuzz_victim", num_inputs=25_000), trial(tmp_path))
    assert not outcome.holds
    assert any(told in sentence for sentence in outcome.wrong), outcome.wrong
    kept = Path(next(one for one in outcome.wrong if told in one).rpartition(" ")[2].removesuffix(")"))
    *_, last = msgspec.msgpack.decode(kept.read_bytes(), type=list[bytes])
    assert b"!" in unpack(last).body
