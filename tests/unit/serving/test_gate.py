"""The gate: what it measures, what it lets through, and what becomes of what it refuses."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from schemas.errors import BrokerUnavailableError, EngineUnavailableError, SettingsError
from schemas.events import Event, PolicyPromoted, PolicyRefused, PolicyRolledBack
from serving.config import GateConfig
from serving.errors import EngineRefusedError
from serving.gate import find_faults
from serving.held_out import OURS, HeldOut, read_held_out
from serving.measurement import Measurement, measure
from serving.repetition import repeated_share
from streams.recorded import Recorded
from tests.unit.serving.checkpoints_made import adapter_arrays, recorded
from tests.unit.serving.reload_world import Engine, GatedWorld, Mute, routed

SANE = Measurement(kl=0.1, kl_base=0.2, entropy=2.0, repeated=0.02, tokens=30.0, compliance=None)


@pytest.fixture
def world(tmp_path: Path) -> GatedWorld:
    return GatedWorld(tmp_path)


def decided(event: Event) -> Recorded:
    return replace(recorded(None, 0), topic="promotions", event=event)


def rolled_back(version: int, to_version: int) -> Recorded:
    event = PolicyRolledBack(id=f"b{version}", time_ms=1, policy="p", version=version, to_version=to_version, reason="")
    return decided(event)


async def test_divergence_is_the_mean_difference_of_log_probs_and_entropy_that_of_its_own() -> None:
    engine = Engine(loaded={"p@2": Path(), "p@1": Path()}, own={"p@2": -1.5}, others={"p@1": -1.75, "": -3.0})
    questions = (HeldOut(question="Why?", wanted=re.compile("8 tokens")), HeldOut(question="How?"))
    found = await measure(engine, Mute(), questions, adapter="p@2", serving="p@1", num_tokens=8)
    assert found == Measurement(kl=0.25, kl_base=1.5, entropy=1.5, repeated=0.0, tokens=8.0, compliance=1.0)
    assert sorted(engine.scored, key=str) == [None, None, "p@1", "p@1"]


async def test_a_first_version_is_compared_with_the_base_model_which_is_scored_once() -> None:
    engine = Engine(loaded={"p@1": Path()}, others={"": -2.5})
    found = await measure(engine, Mute(), OURS, adapter="p@1", serving=None, num_tokens=8)
    assert (found.kl, found.kl_base, found.compliance) == (0.5, 0.5, None)
    assert engine.scored == [None] * len(OURS)


@pytest.mark.parametrize(("text", "share"), [("a b c", 0.0), ("a b c d e", 0.0), ("a b c d a b c d", 0.2)])
def test_repetition_is_told_in_runs_of_four(text: str, share: float) -> None:
    assert repeated_share(text.split()) == pytest.approx(share)


def test_a_sane_version_has_no_fault() -> None:
    assert list(find_faults(SANE, GateConfig())) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"kl": 0.6}, "It moved 0.60 nats per token from the version that serves; gate.max_kl is 0.5."),
        ({"kl_base": 4.0}, "It moved 4.00 nats per token from the base model; gate.max_kl_base is 1."),
        ({"entropy": 0.01}, "It has 0.01 nats of entropy; gate.min_entropy is 0.05."),
        ({"entropy": 9.0}, "It has 9.00 nats of entropy; gate.max_entropy is 5."),
        ({"repeated": 0.5}, "It repeats 50% of its 4-grams; gate.max_repeated is 0.3."),
        ({"tokens": 1.0}, "It answers with 1.0 tokens; gate.min_tokens is 2."),
        ({"compliance": 0.25}, "It is as wanted in 25% of its answers; gate.min_compliance is 0.5."),
        ({"kl": float("nan")}, "It moved nan nats per token from the version that serves; gate.max_kl is 0.5."),
    ],
)
def test_each_bound_that_is_passed_is_a_sentence_with_its_setting(change: dict[str, float], sentence: str) -> None:
    assert list(find_faults(replace(SANE, **change), GateConfig(min_compliance=0.5))) == [sentence]


async def test_a_sane_version_is_promoted_with_its_numbers_before_anybody_is_routed_to_it(world: GatedWorld) -> None:
    await world.publish(1)
    promoted, _ = world.log.events
    assert isinstance(promoted, PolicyPromoted)
    assert (promoted.version, promoted.checkpoint_id, promoted.compared_with) == (1, "p-c1", 0)
    seconds = promoted.metrics["seconds"]
    assert 0.0 < seconds < 60.0
    measured = {"kl": 0.0, "kl_base": 0.0, "entropy": 2.0, "repeated": 0.0, "tokens": 8.0}
    assert promoted.metrics == {**measured, "seconds": seconds}
    assert world.log.loads == [(1, "boot-1")]
    assert routed(world) == 1


async def test_a_version_that_went_bad_is_refused_and_the_last_good_one_serves_on(world: GatedWorld) -> None:
    await world.publish(1)
    world.engine.own["p@2"] = -1.0
    await world.publish(2)
    refused = world.log.decisions[-1]
    assert isinstance(refused, PolicyRefused)
    assert refused.compared_with == 1
    assert refused.metrics["kl"] == 1.0
    assert "gate.max_kl" in refused.reason
    assert world.engine.calls == ["+p@1", "+p@2", "-p@2"]
    assert (routed(world), world.log.loads) == (1, [(1, "boot-1")])


async def test_a_version_that_continues_from_a_refused_one_is_refused_without_being_asked(world: GatedWorld) -> None:
    world.engine.own["p@1"] = -1.0
    await world.publish(1)
    await world.publish(2)
    assert [one.version for one in world.log.decisions] == [1, 2]
    assert world.log.decisions[-1].reason == "It continues from version 1, which was refused."  # type: ignore[union-attr]
    assert set(world.engine.asked) == {"p@1"}


async def test_what_came_meanwhile_is_taken_newest_first_and_older_ones_have_missed_it(world: GatedWorld) -> None:
    await world.publish(1, 2, 3)
    assert [one.version for one in world.log.decisions] == [3]
    assert world.log.loads == [(3, "boot-1")]


async def test_where_the_newest_is_refused_an_older_one_has_its_chance(world: GatedWorld) -> None:
    world.engine.own["p@3"] = -1.0
    await world.publish(2, 3)
    assert [(one.version, type(one)) for one in world.log.decisions] == [(3, PolicyRefused), (2, PolicyPromoted)]
    assert routed(world) == 2


async def test_a_broken_checkpoint_is_rejected_and_refused_so_that_training_goes_back(
    world: GatedWorld,
) -> None:
    await world.publish(1)
    arrays = {name: half * np.float32(1e4) for name, half in adapter_arrays().items()}
    world.reloader.note(world.publisher.publish(2, arrays))
    await world.reloader.settle()
    (rejection,) = world.log.rejections
    refused = world.log.decisions[-1]
    assert isinstance(refused, PolicyRefused)
    assert rejection.reason == refused.reason
    assert "reload.max_weight_change" in rejection.reason
    assert world.engine.calls == ["+p@1"]


async def test_an_engine_that_is_away_decides_nothing(world: GatedWorld) -> None:
    world.engine.away = EngineUnavailableError("away")
    with pytest.raises(EngineUnavailableError):
        await world.publish(1)
    assert world.log.events == []
    world.engine.away = None
    await world.reloader.settle()
    assert world.log.loads == [(1, "boot-1")]


async def test_a_decision_that_was_not_acknowledged_is_said_again_in_the_same_words(world: GatedWorld) -> None:
    world.log.late = BrokerUnavailableError("away")
    with pytest.raises(BrokerUnavailableError):
        await world.publish(1)
    await world.reloader.settle()
    first, again, _ = world.log.events
    assert first == again
    assert world.engine.asked == ["p@1", "p@1"]


async def test_a_reloader_that_restarted_measures_nothing_again(world: GatedWorld) -> None:
    world.engine.own["p@2"] = -1.0
    await world.publish(1)
    await world.publish(2)
    told, num_asked = list(world.log.events), len(world.engine.asked)
    world.start()
    for event in told:
        world.reloader.note(decided(event))
    await world.publish(1, 2)
    assert (world.log.events, len(world.engine.asked)) == (told, num_asked)


async def test_what_served_before_there_was_a_gate_goes_on_serving(tmp_path: Path) -> None:
    before = GatedWorld(tmp_path)
    before.gate = lambda: None  # type: ignore[method-assign]
    before.start()
    await before.publish(1, 2)
    loads = list(before.log.events)
    del before.gate
    before.start()
    for event in loads:
        before.reloader.note(decided(event))
    before.engine.restart()
    await before.publish(1, 2)
    assert before.log.decisions == []
    assert before.log.loads[-2:] == [(2, "boot-1'"), (1, "boot-1'")]


async def test_a_refused_version_does_not_serve_either_when_the_gate_is_turned_off(world: GatedWorld) -> None:
    world.engine.own["p@2"] = -1.0
    await world.publish(1)
    await world.publish(2)
    told = list(world.log.events)
    world.gate = lambda: None  # type: ignore[method-assign]
    world.start()
    for event in told:
        world.reloader.note(decided(event))
    await world.publish(1, 2, 3)  # 3 continues from 2
    assert (set(world.engine.loaded), routed(world)) == ({"p@1"}, 1)
    assert [one.version for one in world.log.decisions] == [1, 2, 3]


async def test_a_rollback_serves_old_weights_as_a_new_version_and_leaves_what_came_between(world: GatedWorld) -> None:
    for version in (1, 2, 3):
        await world.publish(version)
    world.reloader.note(rolled_back(4, 1))
    await world.reloader.settle()
    assert world.engine.loaded["p@4"] == world.publisher.root / "p-1"
    assert (world.log.loads[-1], routed(world)) == ((4, "boot-1"), 4)
    assert len({event.id for event in world.log.events}) == len(world.log.events)
    world.engine.restart()
    world.engine.refuses = {"p@4"}
    with pytest.raises(EngineRefusedError):
        await world.reloader.settle()
    await world.reloader.settle()
    assert routed(world) == 1, "what was left behind does not come back"


async def test_a_rollback_to_the_base_model_serves_it_as_a_new_version(world: GatedWorld) -> None:
    await world.publish(1)
    world.reloader.note(rolled_back(2, 0))
    await world.reloader.settle()
    assert world.log.loads == [(1, "boot-1"), (2, "boot-1")]
    assert routed(world) == 2
    assert world.log.events[-1].adapter == ""  # type: ignore[attr-defined]


async def test_a_rollback_that_is_read_before_its_weights_waits_for_them(world: GatedWorld) -> None:
    world.reloader.note(rolled_back(2, 1))
    await world.reloader.settle()
    assert world.engine.calls == []
    await world.publish(1)
    assert world.engine.calls[0] == "+p@2"


def test_questions_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text('{"question": "What is 1 + 1?", "wanted": "2|two"}\n\n{"question": "Why?"}\n')
    sum_, why = read_held_out(file)
    assert sum_.wanted is not None
    assert sum_.wanted.search("It is two.")
    assert (why.question, why.wanted) == ("Why?", None)


@pytest.mark.parametrize("text", ["", "no json\n", '{"q": 1}\n', '{"question": "a", "wanted": "("}\n'])
def test_a_file_without_questions_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text(text)
    with pytest.raises(SettingsError, match=r"gate\.questions"):
        read_held_out(file)
    with pytest.raises(SettingsError, match="cannot be read"):
        read_held_out(tmp_path / "gone")
