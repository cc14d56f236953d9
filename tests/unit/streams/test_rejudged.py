"""`rejudged` puts what a run's judge said beside what was recorded."""

from made_log import MadeLog

from streams.config import KafkaConfig
from streams.query import LogQuery
from streams.rejudged import rejudged
from streams.tables import tables


def judged(*scores: tuple[str, int | None]) -> MadeLog:
    log = MadeLog()
    for action, score in scores:
        log.verdict(action, score)
    return log


def test_each_verdict_of_a_run_stands_beside_the_first_recorded_one() -> None:
    old, new = judged(("a", 1), ("b", -1), ("c", None)), judged(("a", -1), ("b", -1), ("d", 1))
    old.verdict("a", 0, id="judged-later")
    found = tables(new.records)
    source = {**found, "rejudged": rejudged("stern", old=tables(old.records)["verdicts"], new=found["verdicts"])}
    query = LogQuery(KafkaConfig(), [lambda: source])
    columns = "run, action_id, old_verdict_id, old_score, new_score"
    assert query.sql(f"SELECT {columns} FROM rejudged ORDER BY action_id").rows == (
        ("stern", "a", "verdict-a", 1, -1),
        ("stern", "b", "verdict-b", -1, -1),
        ("stern", "d", None, None, 1),
    )
    ((time,),) = query.sql("SELECT time FROM rejudged WHERE action_id = 'a'").rows
    assert time.tzinfo is not None
