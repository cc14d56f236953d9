"""A crash at any byte leaves a prefix of the records, each of them whole."""

import tempfile
from itertools import accumulate
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from streams.spool import Spool

LIMIT_BYTES = 10_000


@given(st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=8), st.data())
def test_a_file_cut_anywhere_holds_a_prefix_of_the_records(records: list[bytes], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spool"
        ends = [0]
        with Spool(path, LIMIT_BYTES) as spool:
            if data.draw(st.booleans(), "one by one"):
                for record in records:
                    spool.append(record)
                    ends.append(path.stat().st_size)
            else:
                spool.append(*records)
                ends = [*accumulate((8 + len(record) for record in records), initial=0)]
        cut = data.draw(st.integers(0, ends[-1]))
        with path.open("r+b") as file:
            file.truncate(cut)
        with Spool(path, LIMIT_BYTES) as spool:
            num_whole = sum(end <= cut for end in ends[1:])
            assert [record for _, record in spool.replay()] == records[:num_whole]
            spool.append(b"after the crash")
            assert [record for _, record in spool.replay()] == [*records[:num_whole], b"after the crash"]


@given(st.lists(st.one_of(st.binary(min_size=1, max_size=10), st.none()), max_size=20))
def test_it_is_a_queue_whatever_the_order_of_appends_and_drops(steps: list[bytes | None]) -> None:
    """None drops the oldest record; restarts may bring dropped records back, but never lose or reorder any."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spool"
        waiting: list[bytes] = []
        with Spool(path, LIMIT_BYTES) as spool:
            for step in steps:
                if step is not None:
                    spool.append(step)
                    waiting.append(step)
                elif waiting:
                    spool.drop(next(spool.replay())[0])
                    waiting.pop(0)
                assert [record for _, record in spool.replay()] == waiting
        with Spool(path, LIMIT_BYTES) as spool:
            kept = [record for _, record in spool.replay()]
            assert kept[len(kept) - len(waiting) :] == waiting
