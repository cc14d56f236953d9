"""`write_batch` and `read_batch`: the samples of a batch as an Arrow IPC stream.

Owns the columns' form and their laws on reading. Why Arrow: the trainer reads token ids and log-probs out of the very
bytes that Kafka delivered. The BatchSealed event travels in the schema's metadata as JSON; streams/codec.py makes it.
"""

from collections.abc import Sequence
from dataclasses import asdict
from operator import itemgetter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from schemas.batch import EVENT_METADATA_KEY, LATER_COLUMNS, SAMPLE_SCHEMA
from schemas.errors import MalformedEventError, TokenMismatchError
from schemas.events import BatchSealed, SampleBuilt
from schemas.origin import UNSCORED
from schemas.validate import spans_cover

_SPAN = itemgetter("version", "start", "end")


def write_batch(event: BatchSealed, samples: Sequence[SampleBuilt], metadata: bytes) -> bytes:
    """The bytes of a batch.

    Args:    metadata: JSON of `event`.
    Raises:  MalformedEventError: the samples are not those that the event names, or do not fit their columns.
    """
    named = list(zip(event.sample_ids, event.action_ids, strict=True))
    if named != [(sample.id, sample.action_id) for sample in samples]:
        message = f"BatchSealed {event.id} names other samples than the {len(samples)} that it is sealed with."
        raise MalformedEventError(message)
    try:
        columns = [pa.array(_column(field.name, samples), type=field.type) for field in SAMPLE_SCHEMA]
    except (pa.ArrowException, OverflowError) as error:
        message = f"BatchSealed {event.id} holds a sample that does not fit Arrow: {error}."
        raise MalformedEventError(message) from error
    table = pa.Table.from_arrays(columns, schema=SAMPLE_SCHEMA.with_metadata({EVENT_METADATA_KEY: metadata}))
    _validate_rows(table)  # again: a number may be finite as float64, but not as float32
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def read_batch(value: bytes) -> tuple[bytes, pa.Table]:
    """The event's JSON and the samples, as views into `value`.

    Raises:  MalformedEventError: not such a stream, or other columns; TokenMismatchError: rows that contradict
             themselves.
    """
    try:
        table = pa.ipc.open_stream(pa.py_buffer(value)).read_all()
        table.validate(full=True)  # offsets too: they come from outside, and a wrong one would read foreign memory
    except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: names that are not UTF-8
        message = f"{BatchSealed.type} has a value that is not an Arrow stream: {error}."
        raise MalformedEventError(message) from error
    metadata = (table.schema.metadata or {}).get(EVENT_METADATA_KEY)
    table = _with_later_columns(table)
    if metadata is None or any(_missing(field, table.schema) for field in SAMPLE_SCHEMA):
        message = f"{BatchSealed.type} has not the columns and metadata of schemas/batch.py."
        raise MalformedEventError(message)
    table = table.select(SAMPLE_SCHEMA.names)
    if any(_num_nulls(table[field.name]) for field in SAMPLE_SCHEMA if not field.nullable):
        message = f"{BatchSealed.type} has nulls where schemas/batch.py allows none."
        raise MalformedEventError(message)
    _validate_rows(table)
    return metadata, table


def _with_later_columns(table: pa.Table) -> pa.Table:
    """A batch that was sealed before a column existed, as its samples would be written now."""
    for name, empty in LATER_COLUMNS.items():
        if table.schema.get_field_index(name) < 0:
            field = SAMPLE_SCHEMA.field(name)
            table = table.append_column(field, pa.array([empty] * table.num_rows, type=field.type))
    return table


def _column(name: str, samples: Sequence[SampleBuilt]) -> list[object]:
    if name == "sample_id":
        return [sample.id for sample in samples]
    if name == "token_versions":
        return [[asdict(span) for span in sample.token_versions] for sample in samples]
    return [getattr(sample, name) for sample in samples]


def _missing(field: "pa.Field[Any]", schema: pa.Schema) -> bool:
    index = schema.get_field_index(field.name)
    return index < 0 or schema.field(index).type != field.type


def _num_nulls(column: Any) -> int:
    """Nulls in a chunked column, and in all that is nested in it."""
    if pa.types.is_list(column.type):
        return int(column.null_count) + _num_nulls(pc.list_flatten(column))
    if pa.types.is_struct(column.type):
        return int(column.null_count) + sum(map(_num_nulls, column.flatten()))
    return int(column.null_count)


def _validate_rows(table: pa.Table) -> None:
    """The laws of schemas/validate.py on columns: lengths that fit, spans that cover, ids that are not negative."""
    num_tokens = pc.list_value_length(table["response_ids"])
    is_unscored = pc.equal(table["logprob_origin"], pa.scalar(UNSCORED))
    num_scored = pc.if_else(is_unscored, pa.scalar(0, num_tokens.type), num_tokens)
    spans: Any = zip(table["token_versions"].to_pylist(), num_scored.to_pylist(), strict=True)
    fits = (
        num_scored.equals(pc.list_value_length(table["response_logprobs"])),
        pc.list_value_length(table["hints"]).equals(pc.list_value_length(table["teacher_prompt_ids"])),
        all(spans_cover(map(_SPAN, row), length) for row, length in spans),
    )
    if not all(fits):
        message = f"{BatchSealed.type} has samples whose ids, log-probs, token_versions or teacher prompts differ."
        raise TokenMismatchError(message)
    logprobs = pc.list_flatten(table["response_logprobs"])
    if not all(
        pc.all(pc.is_finite(numbers)).as_py() in {True, None}
        for numbers in (logprobs, table["temperature"], table["reward"], table["outcome"])
    ):
        message = f"{BatchSealed.type} has samples with NaN or infinity as log-prob, temperature, reward or outcome."
        raise MalformedEventError(message)
    teacher_ids = pc.list_flatten(table["teacher_prompt_ids"])
    for ids in (table["prompt_ids"], table["response_ids"], teacher_ids):
        lowest = pc.min(pc.list_flatten(ids)).as_py()
        if lowest is not None and lowest < 0:
            message = f"{BatchSealed.type} has the negative token id {lowest}; ids start at 0."
            raise TokenMismatchError(message)
