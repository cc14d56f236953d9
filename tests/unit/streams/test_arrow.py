"""A batch as Arrow: the trainer gets views into the record, and rows that contradict themselves are refused."""

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from example_events import BATCH, SAMPLE

from schemas.batch import EVENT_METADATA_KEY, SAMPLE_SCHEMA
from schemas.errors import MalformedEventError, TokenMismatchError
from schemas.origin import UNSCORED
from streams.arrow import read_batch, write_batch

SAMPLES = [replace(SAMPLE, id=f"s-{i}", action_id=f"a-{i}") for i in range(3)]
SEALED = replace(
    BATCH,
    sample_ids=tuple(sample.id for sample in SAMPLES),
    action_ids=tuple(sample.action_id for sample in SAMPLES),
    last_offset=7,
)


def rewritten(column: str, values: list[object]) -> bytes:
    """A valid batch with one column exchanged, as a faulty producer would write it."""
    _, table = read_batch(write_batch(SEALED, SAMPLES, metadata=b"{}"))
    index = SAMPLE_SCHEMA.get_field_index(column)
    table = table.set_column(
        index, SAMPLE_SCHEMA.field(column), pa.array(values, type=SAMPLE_SCHEMA.field(column).type)
    )
    return stream(table.replace_schema_metadata({EVENT_METADATA_KEY: b"{}"}))


def stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def test_metadata_and_rows_come_back() -> None:
    metadata, table = read_batch(write_batch(SEALED, SAMPLES, metadata=b'{"id":"b-1"}'))
    assert metadata == b'{"id":"b-1"}'
    assert table.schema.equals(SAMPLE_SCHEMA)
    assert table["sample_id"].to_pylist() == ["s-0", "s-1", "s-2"]
    assert table["response_ids"].to_pylist() == [[1, 2, 3]] * 3


def test_token_ids_are_read_in_place_and_not_copied() -> None:
    value = write_batch(SEALED, SAMPLES, metadata=b"{}")
    start = pa.py_buffer(value).address
    ids = read_batch(value)[1]["prompt_ids"].chunk(0).values.buffers()[1]
    assert start <= ids.address < start + len(value)


def test_an_empty_batch_is_a_batch() -> None:
    nothing = replace(SEALED, sample_ids=(), action_ids=())
    assert read_batch(write_batch(nothing, [], metadata=b"{}"))[1].num_rows == 0


@pytest.mark.parametrize("samples", [SAMPLES[:2], SAMPLES[::-1], [*SAMPLES[:2], replace(SAMPLES[2], action_id="a-9")]])
def test_samples_other_than_those_named_are_refused(samples: list[object]) -> None:
    with pytest.raises(MalformedEventError, match="b-1"):
        write_batch(SEALED, samples, metadata=b"{}")  # type: ignore[arg-type]


def test_an_id_beyond_32_bits_is_refused() -> None:
    huge = [replace(SAMPLES[0], prompt_ids=(2**31,)), *SAMPLES[1:]]
    with pytest.raises(MalformedEventError, match="does not fit Arrow"):
        write_batch(SEALED, huge, metadata=b"{}")


@pytest.mark.parametrize("value", [b"", b"not arrow", b"\x00" * 64])
def test_bytes_that_are_no_stream_are_a_rejection(value: bytes) -> None:
    with pytest.raises(MalformedEventError, match="not an Arrow stream"):
        read_batch(value)


def test_a_cut_stream_is_a_rejection() -> None:
    value = write_batch(SEALED, SAMPLES, metadata=b"{}")
    with pytest.raises(MalformedEventError):
        read_batch(value[: len(value) // 2])


def test_missing_columns_or_metadata_are_a_rejection() -> None:
    _, table = read_batch(write_batch(SEALED, SAMPLES, metadata=b"{}"))
    with pytest.raises(MalformedEventError, match="columns"):
        read_batch(stream(table.drop_columns(["reward"]).replace_schema_metadata({EVENT_METADATA_KEY: b"{}"})))
    with pytest.raises(MalformedEventError, match="columns"):
        read_batch(stream(table.replace_schema_metadata(None)))


def test_columns_that_an_older_or_newer_producer_wrote_are_left_out() -> None:
    _, table = read_batch(write_batch(SEALED, SAMPLES, metadata=b"{}"))
    other = table.append_column("mood", pa.array(["sunny", None, "grey"]))
    other = other.append_column("mood_ids", pa.array([[1], [], [-2]], type=pa.list_(pa.int32())))
    read = read_batch(stream(other.replace_schema_metadata({EVENT_METADATA_KEY: b"{}"})))[1]
    assert read.schema.equals(SAMPLE_SCHEMA)
    assert read.equals(table)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("response_logprobs", [[-1.0, -1.0, -1.0], [-1.0, -1.0], [-1.0, -1.0, -1.0, -1.0]]),  # the sums agree
        ("token_versions", [[{"version": 1, "start": 0, "end": end}] for end in (3, 2, 4)]),  # here too
        ("teacher_prompt_ids", [[[1]], [], [[1], [2]]]),
        ("prompt_ids", [[1], [-1], [1]]),
        ("response_ids", [[1, 2, 3], [1, -2, 3], [1, 2, 3]]),
        ("teacher_prompt_ids", [[[1]], [[-1]], [[1]]]),
    ],
)
def test_rows_that_contradict_themselves_are_a_rejection(column: str, values: list[object]) -> None:
    with pytest.raises(TokenMismatchError):
        read_batch(rewritten(column, values))


@pytest.mark.parametrize("column", ["response_logprobs", "temperature", "reward"])
def test_a_number_that_float32_cannot_hold_is_refused_on_both_sides(column: str) -> None:
    number: Any = (1e39, -0.5, -0.5) if column == "response_logprobs" else 1e39
    with pytest.raises(MalformedEventError, match="infinity"):
        write_batch(SEALED, [replace(SAMPLES[0], **{column: number}), *SAMPLES[1:]], metadata=b"{}")
    values: list[object] = [[float("nan"), 0.0, 0.0]] * 3 if column == "response_logprobs" else [float("nan")] * 3
    with pytest.raises(MalformedEventError, match="NaN"):
        read_batch(rewritten(column, values))


@pytest.mark.parametrize(
    ("column", "values"),
    [("turn", [1, None, 1]), ("prompt_ids", [[1], None, [1]]), ("response_ids", [[1, None, 3], [1, 2, 3], [1, 2, 3]])],
)
def test_a_null_where_none_is_allowed_is_a_rejection(column: str, values: list[object]) -> None:
    _, table = read_batch(write_batch(SEALED, SAMPLES, metadata=b"{}"))
    field = SAMPLE_SCHEMA.field(column)
    index = SAMPLE_SCHEMA.get_field_index(column)
    table = table.set_column(index, field, pa.array(values, type=field.type))
    with pytest.raises(MalformedEventError, match="null"):
        read_batch(stream(table.replace_schema_metadata({EVENT_METADATA_KEY: b"{}"})))


def test_a_batch_holds_unscored_samples_beside_others_and_refuses_a_mark_that_lies() -> None:
    unscored = replace(SAMPLES[1], logprob_origin=UNSCORED, response_logprobs=(), token_versions=())
    _, table = read_batch(write_batch(SEALED, [SAMPLES[0], unscored, SAMPLES[2]], metadata=b"{}"))
    assert [len(row) for row in table["response_logprobs"].to_pylist()] == [3, 0, 3]
    for lie in ("engine", "scored:assistant@1"):
        with pytest.raises(TokenMismatchError):
            write_batch(SEALED, [SAMPLES[0], replace(unscored, logprob_origin=lie), SAMPLES[2]], metadata=b"{}")
