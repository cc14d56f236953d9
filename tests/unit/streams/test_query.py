import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from made_log import POLICY, START_MS, MadeLog, user

from schemas.errors import RejectedError
from schemas.events import (
    EventRejected,
    FeedbackGiven,
    KeptTail,
    Message,
    OutcomeReported,
    PolicyRefused,
    SkipReason,
    ToolCall,
)
from schemas.feedback import thumb_of
from schemas.origin import UNSCORED
from streams.archive.views import READY_MADE
from streams.columns import view_columns, view_name
from streams.config import KafkaConfig
from streams.query import LogQuery, QueryRefusedError, topics_of
from streams.questions import sql_of
from streams.tables import tables
from streams.topics import TOPICS, Topic


@pytest.fixture(scope="module")
def taught() -> LogQuery:
    """Two turns that trained version 1, and one that version 1 answered."""
    log = MadeLog()
    log.ready("a0", -1, "Answer without bold.", question="How can I sleep?", answer="**Tips**", reply="No bold please.")
    log.ready("a1", 1, question="No bold please.", answer="Sleep early.", reply="Thanks!")
    log.batch("b1", "a0", "a1")
    log.checkpoint(1, {"b1": ("a0", "a1")})
    log.action("a2", version=1)
    return log.query()


def dicts(query: LogQuery, text: str) -> list[dict[str, object]]:
    found = query.sql(text)
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_every_topic_is_a_view_even_of_an_empty_log(topic: Topic) -> None:
    found = MadeLog().query().sql(f"FROM {view_name(topic)}")

    assert found.columns == tuple(view_columns(topic))
    assert found.rows == ()


@pytest.mark.parametrize("view", [*READY_MADE, "duplicates", "undecodable"])
def test_every_ready_made_view_answers_on_an_empty_log(view: str) -> None:
    assert MadeLog().query().sql(f"FROM {view}").rows == ()


def test_every_view_and_every_column_of_a_ready_made_view_is_documented(taught: LogQuery) -> None:
    document = (Path(__file__).parents[3] / "streams" / "VIEWS.md").read_text()
    views = {name for (name,) in taught.sql("SHOW TABLES").rows}

    assert views == {*map(view_name, TOPICS), *READY_MADE, "duplicates", "undecodable"}
    words = {*views, *(name for view in READY_MADE for name in taught.sql(f"FROM {view}").columns)}
    assert [word for word in sorted(words) if f"`{word}`" not in document] == []


def test_types_are_the_natural_ones(taught: LogQuery) -> None:
    types = {row[0]: row[1] for view in ("actions", "checkpoints") for row in taught.sql(f"DESCRIBE {view}").rows}

    assert types["time"] == "TIMESTAMP WITH TIME ZONE"
    assert types["prompt_ids"] == "INTEGER[]"
    assert types["messages"].startswith('STRUCT("role" VARCHAR, "content" VARCHAR')
    assert types["messages"].endswith("[]")
    assert types["metrics"] == "MAP(VARCHAR, DOUBLE)"


def test_answers_are_plain_python_values(taught: LogQuery) -> None:
    (row,) = dicts(taught, "SELECT sum(version) AS total, metrics, NULL AS nothing FROM checkpoints GROUP BY metrics")

    assert row == {"total": 1, "metrics": {"loss": 0.5}, "nothing": None}
    assert type(row["total"]) is int


def test_times_come_in_utc_on_a_machine_without_the_package_pytz(
    taught: LogQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pytz", None)
    (row,) = dicts(
        taught, "SELECT min(time) AS first, min(date_trunc('year', time)) AS year, NULL::TIMESTAMPTZ AS n FROM actions"
    )

    assert row["first"] == datetime.fromtimestamp(START_MS / 1000, UTC)
    assert row["year"] == datetime(2023, 1, 1, tzinfo=UTC)
    assert row["n"] is None


def test_the_first_record_of_an_id_counts_and_the_others_are_listed() -> None:
    log = MadeLog()
    log.action("a0", answer="first")
    log.action("a0", answer="second")
    log.again()
    query = log.query()

    assert query.sql('SELECT reply.content, "offset" FROM actions').rows == (("first", 0),)
    assert query.sql('SELECT topic, event_id, "offset" FROM duplicates ORDER BY ALL').rows == (
        ("actions", "a0", 1),
        ("actions", "a0", 2),
    )


def test_the_same_id_on_two_topics_is_no_duplicate(taught: LogQuery) -> None:
    assert taught.sql("SELECT event_id FROM checkpoints SEMI JOIN current_policies USING (event_id)").rows != ()
    assert taught.sql("FROM duplicates").rows == ()


def test_current_policies_shows_the_newest_version_only() -> None:
    log = MadeLog()
    for version in (1, 2, 3):
        log.checkpoint(version, {})
    query = log.query()

    assert query.sql("SELECT policy, version FROM current_policies").rows == ((POLICY, 3),)
    assert query.sql("SELECT count(*) FROM checkpoints").rows == ((3,),)


def test_several_sources_are_one_log() -> None:
    old, new = MadeLog(), MadeLog()
    old.action("a0")
    new.offsets["actions"] = 1
    new.action("a1")
    new.action("a0")  # the archive and the broker overlap
    query = LogQuery(KafkaConfig(), [lambda: tables(old.records), lambda: tables(new.records)])

    assert query.sql("SELECT event_id FROM actions ORDER BY ALL").rows == (("a0",), ("a1",))


def test_the_log_is_read_once() -> None:
    reads = []
    query = LogQuery(KafkaConfig(), [lambda: reads.append(1) or tables([])])
    query.sql("FROM actions")
    query.sql("FROM skips")

    assert reads == [1]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("FROM checkpoints", {"checkpoints"}),
        ('SELECT * FROM "Next_States" JOIN main.actions USING (policy)', {"next-states", "actions"}),
        ("SELECT 1", set()),
        ("DESCRIBE hints", {"hints"}),
        ("FROM query_table('act' || 'ions')", {topic.name for topic in TOPICS}),
        ("FROM undecodable", {topic.name for topic in TOPICS}),
        ("FROM turns_of(['a'])", {topic.name for topic in topics_of("FROM turns")}),
    ],
)
def test_only_topics_that_the_sql_names_are_read(text: str, names: set[str]) -> None:
    assert {topic.name for topic in topics_of(text)} == names


@pytest.mark.parametrize("view", READY_MADE)
def test_a_ready_made_view_answers_alike_from_the_topics_that_it_reads(view: str) -> None:
    log = MadeLog()
    log.ready("a0", -1, "Be kind.", question="q", answer="a", reply="No.")
    log.batch("b1", "a0")
    log.checkpoint(1, {"b1": ("a0",)})
    log.ready("a1", 1, question="q", answer="a", reply="Thanks!", episode_id="e")
    log.put("outcomes", OutcomeReported(id="o", time_ms=0, policy=POLICY, episode_id="e", score=1.0, verifier="v"))
    log.action("a2")
    log.skip("a2", "side_turn")
    names = {topic.name for topic in topics_of(f"FROM {view}")}
    some = [record for record in log.records if record.topic in names]
    rows = log.query().sql(f"FROM {view} ORDER BY ALL").rows
    assert rows
    assert LogQuery(KafkaConfig(), [lambda: tables(some)]).sql(f"FROM {view} ORDER BY ALL").rows == rows
    assert names < {topic.name for topic in TOPICS}


def test_a_rejection_shows_both_places() -> None:
    log = MadeLog()
    place = {"topic": "actions", "partition": 3, "offset": 99}
    event = EventRejected(id="r", time_ms=START_MS, policy=POLICY, stage="join", error="E", reason="why", **place)
    log.put("rejections", event)

    (row,) = dicts(log.query(), "FROM rejections")
    assert (row["topic"], row["offset"]) == ("rejections", 0)
    assert (row["event_topic"], row["event_partition"], row["event_offset"]) == ("actions", 3, 99)
    assert (row["event_error"], row["reason"]) == ("E", "why")


def test_a_refusal_has_its_reason_and_no_other_types_fields() -> None:
    log = MadeLog()
    log.put("promotions", PolicyRefused(id="p", time_ms=0, policy=POLICY, version=2, checkpoint_id="c", reason="worse"))

    (row,) = dicts(log.query(), "FROM promotions")
    assert (row["type"], row["reason"], row["to_version"]) == (PolicyRefused.type, "worse", None)


# What a user's SQL may not do


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO actions VALUES (1)",
        "CREATE TABLE t AS FROM actions",
        "DROP VIEW actions",
        "COPY actions TO 'actions.csv'",
        "ATTACH 'other.db'",
        "SET enable_external_access = true",
        "INSTALL httpfs",
        "EXPLAIN ANALYZE DROP VIEW turns",
        "SELECT 1; SELECT 2",
        "",
        "-- nothing but words",
    ],
)
def test_anything_but_one_select_is_refused_in_a_sentence(taught: LogQuery, text: str) -> None:
    with pytest.raises(QueryRefusedError, match=r"^The log is read-only: give one SELECT.*\.$"):
        taught.sql(text)
    assert taught.sql("SELECT count(*) FROM actions").rows == ((3,),)


def test_a_select_cannot_read_files_or_python_variables(taught: LogQuery, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    for text in (f"FROM read_text('{secret}')", f"FROM '{secret}'", f"FROM glob('{tmp_path}/*')", "FROM secret_table"):
        secret_table = tables([])["actions"]
        assert secret_table.num_rows == 0
        with pytest.raises(QueryRefusedError, match="DuckDB cannot run this SQL"):
            taught.sql(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("SELEC 1", 'syntax error at or near "SELEC"'),
        ("FROM action", 'Did you mean "actions"?'),
        ("SELECT scor FROM verdicts", '"scor" not found'),
        ("SELECT event_id::INTEGER FROM actions", "Could not convert"),
        ("SELECT '\udc80'", "not UTF-8"),
    ],
)
def test_what_duckdb_says_reaches_the_user_on_one_line(taught: LogQuery, text: str, reason: str) -> None:
    with pytest.raises(RejectedError) as refused:
        taught.sql(text)

    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "LINE 1" not in str(refused.value)


def test_a_value_is_a_parameter_and_not_sql(taught: LogQuery) -> None:
    assert taught.sql("SELECT event_id FROM actions WHERE event_id = ?", ["' OR true --"]).rows == ()
    assert taught.sql("SELECT event_id FROM actions WHERE event_id = ?", ["a2"]).rows == (("a2",),)


# The ready-made views


def test_learning_tells_each_versions_reception() -> None:
    log = MadeLog()
    log.ready("a0", -1, "Answer without bold.", question="q", answer="a", reply="No bold please.")
    log.ready("a1", None, "Answer without bold.", question="q", answer="a", reply="Hm.")
    log.batch("b1", "a0")
    log.checkpoint(1, {"b1": ("a0",)})
    log.ready("a2", 1, question="q", answer="a", reply="Thanks!", version=1)
    log.batch("b2", "a1", "a2")
    log.checkpoint(2, {"b2": ("a1", "a2")})
    log.action("a3", version=1)
    rows = dicts(log.query(), "FROM learning")

    counted = ("version", "turns", "judged_turns", "complaints", "thanks", "abstentions", "trained_turns")
    assert [tuple(row[name] for name in counted) for row in rows] == [(0, 2, 1, 1, 0, 1, 2), (1, 2, 1, 0, 1, 0, 1)]
    assert [row["mean_score"] for row in rows] == [-1.0, 1.0]
    assert [row["mean_staleness"] for row in rows] == [0.5, 0.0]  # a0 was fresh, a1 one version old; a2 fresh


def test_a_turn_shows_its_thumb_beside_its_score_and_whether_it_counts() -> None:
    log = MadeLog()
    stars = {"worst_rating": 1.0, "best_rating": 5.0}
    log.ready("counted", -1, question="q", answer="a", reply="No.", sample={"feedback_id": "feedback-counted"})
    log.feedback("counted", 1)
    log.ready("changed", -1, question="q", answer="a", reply="No.", sample={"feedback_id": "first"})
    for name, thumb in (("first", 1), ("second", -1)):
        log.feedback("changed", thumb, id=name)
    log.ready("late", 1, question="q", answer="a", reply="Fine.")
    log.feedback("late", rating=2.0, **stars)
    log.feedback("late", rating=3.0, id="neither", **stars)
    log.action("waiting")
    log.feedback("waiting", rating=4.0, id="f4", **stars)
    log.feedback("waiting", -1, id="foreign", tenant="other")
    log.action("commented")
    log.feedback("commented", comment="Hm.")
    query = log.query()
    shown = "action_id, score, feedback_id, thumb, thumb_counts, late_thumbs"
    assert set(query.sql(f"SELECT {shown} FROM turns").rows) == {
        ("counted", -1, "feedback-counted", 1, True, 0),
        ("changed", -1, "first", 1, True, 1),
        ("late", 1, "feedback-late", -1, False, 1),
        ("waiting", None, "f4", 1, False, 0),
        ("commented", None, None, None, None, 0),
    }
    (row,) = dicts(query, "SELECT thumbs_up, thumbs_down, late_thumbs FROM learning")
    assert row == {"thumbs_up": 3, "thumbs_down": 1, "late_thumbs": 2}
    asked = query.sql(sql_of("thumbs"))
    assert asked.rows == (("reaction", 3, 0, 3, 0, 0, 0.0, 2), (None, 1, 0, 0, 0, 1, None, 0))


@pytest.mark.parametrize("rating", [1.0, 1.9, 2.0, 2.1, 3.0, 3.9, 4.0, 5.0])
@pytest.mark.parametrize(("worst", "best"), [(1.0, 5.0), (5.0, 1.0), (0.0, 10.0), (6.0, 0.0), (None, None)])
def test_a_rating_is_the_same_thumb_in_views_and_processors(
    rating: float, worst: float | None, best: float | None
) -> None:
    log = MadeLog()
    log.feedback("a", rating=rating, worst_rating=worst, best_rating=best)
    event = log.records[0].event
    assert isinstance(event, FeedbackGiven)
    assert log.query().sql("SELECT thumb_given(feedback) FROM feedback").rows == ((thumb_of(event),),)


def test_a_version_that_nobody_judged_has_no_mean_instead_of_zero() -> None:
    log = MadeLog()
    log.action("a0")

    (row,) = dicts(log.query(), "FROM learning")
    assert row["mean_score"] is None
    assert row["mean_staleness"] is None


def test_an_answer_without_tokens_is_its_adapters() -> None:
    log = MadeLog()
    empty = {"response_ids": (), "response_logprobs": (), "token_versions": (), "finish_reason": "aborted"}
    log.action("a0", adapter="assistant@4", **empty)
    log.action("a1", **empty)

    assert log.query().sql("SELECT action_id, version FROM turns ORDER BY ALL").rows == (("a0", 4), ("a1", 0))


@pytest.mark.parametrize(
    ("stages", "reason"),
    [
        ([], "waiting for a next state"),
        (["next_state"], "waiting for a transition"),
        (["next_state", "transition"], "waiting for a verdict"),
        (["next_state", "transition", "verdict"], "waiting for a hint"),
        (["next_state", "transition", "verdict", "hint"], "waiting for a sample"),
        (["next_state", "transition", "verdict", "hint", "sample"], "waiting for a batch"),
        (["next_state", "transition", "verdict", "hint", "sample", "batch"], "waiting for training"),
    ],
)
def test_an_unfinished_turn_says_what_it_waits_for(stages: list[str], reason: str) -> None:
    log = MadeLog()
    log.action("a")
    for stage in stages:
        match stage:
            case "verdict":
                log.verdict("a", 1)
            case "batch":
                log.batch("b", "a")
            case _:
                getattr(log, stage)("a")

    assert log.query().sql("SELECT action_id, reason FROM untrained").rows == (("a", reason),)


def test_a_skipped_turn_says_why() -> None:
    log = MadeLog()
    log.action("a")
    log.transition("a")
    log.verdict("a", None)
    log.hint("a")
    log.skip("a", "abstained_without_hint")

    assert log.query().sql("SELECT reason, detail FROM untrained").rows == (
        ("abstained_without_hint", "judge abstained: no clear reaction"),
    )


def test_a_branch_of_a_turn_does_not_hide_how_far_the_turn_itself_is() -> None:
    log = MadeLog()
    log.ready("a", 1, question="q", answer="a", reply="Thanks!")
    log.skip("a", "branch")

    assert log.query().sql("SELECT reason FROM untrained").rows == (("waiting for a batch",),)


def test_a_sample_that_no_batch_holds_waits_no_longer() -> None:
    log = MadeLog()
    log.ready("a", 1, question="q", answer="a", reply="Thanks!")
    log.skip("a", "rejected", stage="pack")

    assert log.query().sql("SELECT reason FROM untrained").rows == (("rejected",),)


@pytest.mark.parametrize("reason", ["too_stale", "already_trained", "no_objective_term", "empty_response", "rejected"])
def test_a_sample_that_the_trainer_does_not_train_waits_no_longer(reason: SkipReason) -> None:
    log = MadeLog()
    log.ready("a", 1, question="q", answer="a", reply="Thanks!")
    log.batch("b", "a")
    log.skip("a", reason, stage="trainer", detail="so it is")
    log.skip("a", "branch", stage="join")  # a client that retries later changes nothing

    assert log.query().sql("SELECT reason, detail FROM untrained").rows == ((reason, "so it is"),)


def test_a_turn_of_an_episode_waits_for_the_episodes_outcome() -> None:
    log = MadeLog()
    log.action("a", episode_id="e")
    log.transition("a", episode_id="e")
    log.verdict("a", 1, episode_id="e")
    log.hint("a", episode_id="e")

    assert log.query().sql("SELECT reason FROM untrained").rows == (("waiting for an outcome",),)


def test_every_action_is_trained_or_untrained_exactly_once() -> None:
    log = MadeLog()
    log.ready("a0", -1, "Answer without bold.", question="q", answer="a", reply="No bold please.")
    log.ready("a1", 1, question="q", answer="a", reply="Thanks!")
    for again in ("x", "y"):  # judged again, timed out before, and skipped twice: still one row each
        log.verdict("a1", -1, id=f"verdict-a1-{again}")
        log.transition("a1", id=f"transition-a1-{again}", kind="ended", next_messages=())
        log.skip("a1", "branch", detail=again)
    log.batch("b1", "a0")
    log.checkpoint(1, {"b1": ("a0",)})
    log.action("a2")
    query = log.query()

    assert query.sql("SELECT action_id FROM untrained ORDER BY ALL").rows == (("a1",), ("a2",))
    assert query.sql("SELECT action_id, score FROM turns ORDER BY ALL").rows == (("a0", -1), ("a1", 1), ("a2", None))


@pytest.mark.parametrize("wanted", [["a0"], ["a1"], ["a2", "a3"], ["a4", "none"], []], ids=",".join)
def test_the_turns_of_some_actions_are_those_rows_of_turns(wanted: list[str]) -> None:
    log = MadeLog()
    log.ready("a0", -1, "Be kind.", question="q", answer="a", reply="No.")
    log.ready("a1", 1, question="q", answer="a", reply="Thanks!", episode_id="e")
    log.transition("a1", id="ended-a1", kind="ended", next_messages=(), time_ms=0)
    log.verdict("a1", -1, id="again-a1", time_ms=0)
    log.verdict("a0", 1, id="strange", transition="transition-a1", time_ms=0)  # of another action's transition
    log.skip("a1", "branch")
    log.batch("b1", "a0", "a1")
    log.batch("b2", "a1")
    log.checkpoint(1, {"b1": ("a0", "a1")})
    log.put("outcomes", OutcomeReported(id="o", time_ms=0, policy=POLICY, episode_id="e", score=1.0, verifier="v"))
    log.ready("a2", None, question="q", answer="a", reply="Hm.", conversation_id="other")
    log.action("a3", version=1)
    log.next_state("a3")
    log.skip("a3", "side_turn", detail="it is one")
    log.action("a4")
    query = log.query()

    some = query.sql("FROM turns_of(?::VARCHAR[]) ORDER BY ALL", [wanted])
    assert some == query.sql("FROM turns WHERE list_contains(?::VARCHAR[], action_id) ORDER BY ALL", [wanted])
    assert len(some.rows) == len(set(wanted) - {"none"})


def test_lineage_leads_from_a_checkpoint_to_the_words(taught: LogQuery) -> None:
    rows = dicts(taught, "FROM lineage ORDER BY sample_id")

    assert rows[0] == {
        "policy": POLICY,
        "checkpoint_version": 1,
        "checkpoint_id": "checkpoint-1",
        "batch_id": "b1",
        "sample_id": "sample-a0",
        "action_id": "a0",
        "score": -1,
        "thumb": None,
        "hint": "Answer without bold.",
        "conversation_id": "talk",
        "turn": 0,
        "question": "How can I sleep?",
        "answer": "**Tips**",
        "reply": "No bold please.",
    }
    assert [row["action_id"] for row in rows] == ["a0", "a1"]


def test_a_question_is_what_was_new_after_the_policys_last_words() -> None:
    log = MadeLog()
    call = Message(role="assistant", tool_calls=(ToolCall(name="weather", arguments='{"city":"Ulm"}'),))
    asked = (Message(role="system", content="You are."), Message(role="user", content="old"), call)
    results = (Message(role="tool", content="rain"), Message(role="tool", content="12 degrees"))
    log.action("a0", messages=(*asked, *results), reply=call)
    log.action("a1", messages=())  # all of it was the base's
    log.transition("a1", "Say it again")

    rows = log.query().sql("SELECT question, answer FROM turns ORDER BY action_id").rows
    assert rows == (("rain\n12 degrees", 'weather({"city":"Ulm"})'), ("Say it again", "So."))


@pytest.mark.parametrize("num_before", [2, None])
def test_a_question_is_what_was_new_behind_a_conversation_that_was_kept(num_before: int | None) -> None:
    """With a system prompt and a summary that changed; without a tail, what the policy said last is among the new."""
    log = MadeLog()
    changed = (Message(role="system", content="It is 10."), Message(role="user", content="(What was said so far.)"))
    kept = () if num_before else (Message(role="assistant", content="So."),)
    tail = KeptTail(start=2, end=9, num_before=num_before) if num_before else None
    log.action("a0", messages=(*changed, *kept, user("Really?")), base_action_id="b", messages_tail=tail)
    (row,) = log.query().sql("SELECT question, messages_tail FROM turns JOIN actions ON event_id = action_id").rows
    assert row == ("Really?", tail and {"start": 2, "end": 9, "num_before": 2})


def test_an_imported_turn_has_no_version_and_is_no_credit_to_any() -> None:
    log = MadeLog()
    log.ready("a0", 1, question="Why?", answer="So.", reply="Thanks!")
    log.action("old", logprob_origin=UNSCORED, response_logprobs=(), token_versions=())
    log.next_state("old")
    log.transition("old")
    log.verdict("old", -1)
    query = log.query()
    assert dicts(query, "SELECT action_id, version, score FROM turns ORDER BY action_id") == [
        {"action_id": "a0", "version": 0, "score": 1},
        {"action_id": "old", "version": None, "score": -1},
    ]
    assert dicts(query, "SELECT version, turns, mean_score FROM learning") == [
        {"version": 0, "turns": 1, "mean_score": 1.0},
        {"version": None, "turns": 1, "mean_score": -1.0},
    ]


def test_spans_of_time_are_pythons_where_they_have_a_length(taught: LogQuery) -> None:
    (row,) = taught.sql("SELECT INTERVAL 90 SECOND, INTERVAL '1 month 2 days'").rows

    assert row == (timedelta(seconds=90), "1 months 2 days, 0:00:00")
