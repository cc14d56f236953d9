"""What a replay prints: counts, reasons and differences, for a person and for a program."""

from dataclasses import replace

import pytest
from processor_world import BAD, GOOD, UNRELATED, user
from replay_world import altered, lived, reader, records_of, replayed

from infra.replay.comparison import parting
from infra.replay.history import read_recorded
from infra.replay.report import LISTED, Report, as_json, as_text
from infra.replay.runs import note_on_template, notes_on_runs
from infra.replay.slice import Selection
from infra.settings import Settings, run_configured
from processors.config import ProcessorsConfig


def reported(records, outcome=None, notes=()):
    taken, _ = read_recorded(reader(records), Selection(), 86_400)
    return Report(taken=taken, is_fresh=False, notes=notes, outcome=outcome or replayed(records))


def test_an_identical_replay_says_so_with_its_counts():
    text = as_text(reported(records_of(lived((GOOD, BAD, UNRELATED)).log)))
    assert text.startswith("3 actions and 3 next states of 1 conversations, with the recorded judgements:\n")
    assert "samples             2         2          2 " in text
    assert text.endswith("Identical: all 13 derived records, ids and values, byte for byte.")


def test_a_difference_is_printed_with_its_field_and_values():
    records = altered(records_of(lived((GOOD,)).log), "samples", 0, lambda sample: replace(sample, reward=0.5))
    last = as_text(reported(records)).splitlines()[-1]
    assert "samples: other value" in last
    assert last.endswith("of action c-0/0: reward was 0.5, is 1.0")


@pytest.mark.parametrize(
    ("was", "now", "found"),
    [
        (((1, 2), (3,)), ((1, 2), (4,)), ("f[1][0]", 3, 4)),
        ((1, 2), (1, 2, 3), ("len(f)", 2, 3)),
        ((user("a"), user("b")), (user("a"), user("c")), ("f[1].content", "b", "c")),
        (None, 1.0, ("f", None, 1.0)),
        ("", "", ("f", "", "")),
    ],
)
def test_two_values_part_at_the_first_place_that_differs(was, now, found):
    assert parting("f", was, now) == found


def test_json_has_every_difference_and_text_the_first():
    records = records_of(lived(*[(GOOD,)] * (LISTED + 5)).log)
    for place in range(LISTED + 5):
        records = altered(records, "hints", place, lambda hint: replace(hint, subject="bob"))
    report = reported(records)
    found = as_json(report)
    assert found["identical"] is False
    assert found["topics"]["hints"]["other_value"] == len(found["differences"]) == LISTED + 5
    assert found["differences"][0]["field"] == "subject"
    assert as_text(report).endswith("... and 5 more (--json lists all)")


def test_notes_name_settings_and_templates_that_were_others():
    world = lived()
    then = Settings(processors=ProcessorsConfig(batch_size=3))
    world.log.append(replace(run_configured(then), time_ms=world.now_ms - 1))
    records = records_of(world.log) + records_of(lived((GOOD,)).log)
    taken, _ = read_recorded(reader(records), Selection(), 86_400)
    notes = notes_on_runs(reader(records), taken, Settings())
    assert notes == ("processors.batch_size is 8 here, and was 3 in the run that recorded this.",)
    assert notes_on_runs(reader(records), taken, then) == ()
    assert note_on_template(taken, "letters") == ()
    (note,) = note_on_template(taken, "today's")
    assert note.startswith("1 actions were rendered by another chat template than today's")
