import pyarrow as pa
import pytest
from made_log import MadeLog

from schemas.events import EVENT_TYPES, Sampling, VerdictReached
from streams.columns import arrow_type, columns, schema, table_schema, view_columns, view_name
from streams.tables import CHUNK_ROWS, FIRST_RECORD, mark_first, tables
from streams.topics import ACTIONS, PROMOTIONS, REJECTIONS, TOPICS, VERDICTS, Topic


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_a_topic_without_records_has_all_its_columns_and_no_rows(topic: Topic) -> None:
    empty = tables([])[view_name(topic)]

    assert empty.num_rows == 0
    assert empty.schema == table_schema(topic)


def test_every_field_of_every_event_has_a_column() -> None:
    for kind in EVENT_TYPES:
        topic = next(topic for topic in TOPICS if kind in topic.types)
        fields = set(kind.__dataclass_fields__) - {"id", "time_ms", "topic", "partition", "offset", "error", "type"}
        assert fields <= set(schema(columns(topic)).names)


def test_field_types_follow_the_dataclasses() -> None:
    types = {field.name: field.type for field in schema(columns(ACTIONS))}

    assert types["time"] == pa.timestamp("ms", tz="UTC")
    assert types["prompt_ids"] == pa.list_(pa.int32())
    assert types["response_logprobs"] == pa.list_(pa.float64())
    assert types["messages"].value_type.field("tool_calls").type.value_type.field("name").type == pa.string()
    assert arrow_type(dict[str, float]) == pa.map_(pa.string(), pa.float64())
    assert arrow_type(Sampling).field("max_tokens").type == pa.int64()
    assert schema(columns(VERDICTS)).field("votes").type == pa.list_(pa.int64())


def test_a_rejections_own_place_does_not_hide_the_place_of_its_record() -> None:
    names = view_columns(REJECTIONS)

    assert {"topic", "partition", "offset", "event_topic", "event_partition", "event_offset"} <= set(names)
    assert len(names) == len(set(names))


def test_several_types_on_one_topic_share_a_table() -> None:
    names = schema(columns(PROMOTIONS)).names

    assert {"checkpoint_id", "reason", "to_version"} <= set(names)
    assert names.count("version") == 1


def test_values_arrive_as_they_were_recorded() -> None:
    log = MadeLog()
    log.action("a", "Why?", "So.", version=3, tenant="acme", subject="ann", step=2)
    (row,) = tables(log.records)["actions"].to_pylist()

    assert (row["event_id"], row["tenant"], row["subject"], row["step"]) == ("a", "acme", "ann", 2)
    assert (row["topic"], row["partition"], row["offset"], row["producer"]) == ("actions", 0, 0, "gateway-0")
    assert row["messages"][0]["content"] == "Why?"
    assert row["response_ids"] == [7, 8, 9]
    assert row["response_logprobs"] == [-0.5, -1.0, -1.5]
    assert row["token_versions"] == [{"version": 3, "start": 0, "end": 3}]
    assert row["sampling"]["temperature"] == 0.7
    assert row["episode_id"] is None


def test_an_abstaining_vote_is_null_and_not_a_number() -> None:
    log = MadeLog()
    log.verdict("a", None)
    (row,) = tables(log.records)["verdicts"].to_pylist()

    assert isinstance(log.records[0].event, VerdictReached)
    assert row["votes"] == [None]
    assert row["score"] is None


def test_a_record_that_did_not_decode_is_kept_with_its_place_and_reason() -> None:
    log = MadeLog()
    log.next_state("a")
    log.broken("next-states")
    first, second = tables(log.records)["next_states"].to_pylist()

    assert first["error"] is None
    assert (second["topic"], second["partition"], second["offset"]) == ("next-states", 0, 1)
    assert "ce_type" in second["error"]
    assert second["event_id"] is None


def test_one_record_whose_number_is_too_large_does_not_take_its_neighbours_with_it() -> None:
    log = MadeLog()
    for turn in (1, 2, 2**64, 4, 5):
        log.action(f"a{turn}", turn=turn)
    rows = tables(log.records)["actions"].to_pylist()

    assert [row["turn"] for row in rows] == [1, 2, None, 4, 5]
    assert [row["offset"] for row in rows] == [0, 1, 2, 3, 4]
    assert "a18446744073709551616" in rows[2]["error"]


@pytest.mark.parametrize("num_records", [CHUNK_ROWS - 1, CHUNK_ROWS, CHUNK_ROWS + 1])
def test_no_record_is_lost_at_the_edge_of_a_chunk(num_records: int) -> None:
    log = MadeLog()
    for index in range(num_records):
        log.hint(str(index))
    offsets = tables(log.records)["hints"]["offset"].to_pylist()

    assert offsets == list(range(num_records))


def test_the_lowest_place_wins_whatever_order_records_arrive_in() -> None:
    table = pa.table({"event_id": ["x", "y", "x"], "partition": [0, 0, 0], "offset": [9, 5, 4]})
    assert mark_first(table, "event_id", FIRST_RECORD).to_pylist() == [False, True, True]


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_no_two_columns_of_a_topic_have_one_name(topic: Topic) -> None:
    names = table_schema(topic).names
    assert len(names) == len(set(names))
