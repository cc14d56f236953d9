"""What `bench log` reports of the questions, at a size that takes seconds; never how long they take."""

import asyncio
from pathlib import Path

from audited_world import good_world, records_of

from infra.bench.log.history import Pattern
from infra.bench.log.questions import bench_questions
from streams.archive.reading import Archive
from streams.archive.turns import num_since
from streams.json_lines import JsonLines
from streams.query import LogQuery
from streams.questions import ready_questions, sql_of


def test_archive_and_json_lines_hold_the_same_and_answer_alike(tmp_path: Path) -> None:
    pattern = Pattern.of(records_of(asyncio.run(good_world())))
    num_events = 5 * len(pattern)

    table = bench_questions(pattern, num_events, tmp_path, lambda _: None)

    archive = Archive.read(tmp_path / "archive")
    query = LogQuery(None, archive=archive)
    lines = JsonLines(tmp_path / "json-lines", query)
    assert table.num_events == num_events
    assert [answer.name for answer in table.answers] == [name for name, _ in ready_questions()]
    for name, _ in ready_questions():
        assert sorted(map(repr, query.sql(sql_of(name)).rows)) == sorted(map(repr, lines.sql(sql_of(name)).rows))
    assert 0 < num_since(archive.manifest) <= num_events
    assert table.lineage_lines > 1
    assert table.json_bytes == sum(path.stat().st_size for path in (tmp_path / "json-lines").glob("*.jsonl"))

    again = bench_questions(pattern, num_events, tmp_path, lambda _: None)
    assert (again.writing_s, again.num_events) == (None, num_events)
