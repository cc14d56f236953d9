"""The reloader brings the newest usable versions into the engine, and never a bad one."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from schemas.errors import (
    BrokerUnavailableError,
    CheckpointInvalidError,
    EngineUnavailableError,
    MalformedEventError,
    SettingsError,
)
from schemas.events import CheckpointPublished, PolicyLoaded
from serving.adapter_fit import base_shapes, check_fit
from serving.config import EngineConfig, GateConfig, ReloadConfig
from serving.errors import EngineRefusedError
from serving.reload import run_reloader
from serving.shelf import Offer, Shelf
from streams.config import KafkaConfig
from tests.unit.serving.checkpoints_made import (
    LAYERS,
    NUM_IN,
    NUM_OUT,
    RANK,
    Publisher,
    adapter_arrays,
    make_base,
    recorded,
    write_adapter,
)
from tests.unit.serving.reload_world import World, routed


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_a_published_version_is_loaded_and_announced(world: World) -> None:
    await world.publish(1)
    assert world.engine.loaded == {"p@1": world.publisher.root / "p-1"}
    (event,) = world.log.events
    assert isinstance(event, PolicyLoaded)
    assert (event.version, event.adapter, event.checkpoint_id, event.engine) == (1, "p@1", "p-c1", "boot-1")


async def test_catching_up_loads_only_the_newest_and_the_newest_first(world: World) -> None:
    await world.publish(1, 2, 3, 4, 5)
    assert world.engine.calls == ["+p@5", "+p@4"]
    assert world.log.loads == [(5, "boot-1"), (4, "boot-1")]


async def test_a_settled_engine_is_left_alone(world: World) -> None:
    await world.publish(1, 2)
    num_calls, num_events = len(world.engine.calls), len(world.log.events)
    await world.reloader.settle()
    assert (len(world.engine.calls), len(world.log.events)) == (num_calls, num_events)


async def test_an_older_version_stays_until_nothing_can_run_on_it(tmp_path: Path) -> None:
    world = World(tmp_path, drain_s=3600)
    await world.publish(1, 2)
    await world.publish(3)
    assert set(world.engine.loaded) == {"p@1", "p@2", "p@3"}


async def test_a_drained_version_leaves_and_a_kept_one_does_not(tmp_path: Path) -> None:
    world = World(tmp_path, drain_s=1e-9)
    await world.publish(1, 2)
    await world.publish(3)
    await world.reloader.settle()
    assert set(world.engine.loaded) == {"p@2", "p@3"}


async def test_a_full_engine_lets_its_longest_retired_version_go_before_the_next_load(tmp_path: Path) -> None:
    world = World(tmp_path, drain_s=3600)
    for version in range(1, 7):
        await world.publish(version)
    assert world.engine.calls == ["+p@1", "+p@2", "+p@3", "+p@4", "-p@1", "+p@5", "-p@2", "+p@6"]


async def test_adapters_of_others_are_not_touched(tmp_path: Path) -> None:
    world = World(tmp_path, drain_s=1e-9)
    world.engine.loaded = {"other@1": Path("x"), "by-hand": Path("y")}
    await world.publish(1)
    await world.reloader.settle()
    assert set(world.engine.loaded) == {"other@1", "by-hand", "p@1"}


async def test_checkpoints_of_another_policy_are_not_ours(world: World, tmp_path: Path) -> None:
    other = Publisher(tmp_path / "others", world.base, policy="q")
    assert not world.reloader.note(other.publish(1))
    await world.reloader.settle()
    assert world.engine.calls == []


async def test_a_bad_checkpoint_is_recorded_and_the_last_good_one_stays(world: World) -> None:
    await world.publish(1)
    bad = world.publisher.publish(2)
    (world.publisher.root / "p-2" / "adapter_model.safetensors").write_bytes(b"cut short")
    world.reloader.note(bad)
    await world.reloader.settle()
    await world.reloader.settle()
    assert set(world.engine.loaded) == {"p@1"}
    (rejection,) = world.log.rejections
    assert (rejection.topic, rejection.partition, rejection.offset) == ("checkpoints", 1, 2)
    assert (rejection.error, rejection.stage, rejection.policy) == ("CheckpointInvalidError", "reload", "p")
    assert "not what its manifest lists" in rejection.reason


async def test_after_a_bad_checkpoint_the_next_good_one_is_taken(world: World) -> None:
    bad = world.publisher.publish(1)
    shutil.rmtree(world.publisher.root / "p-1")
    world.reloader.note(bad)
    await world.publish(2)
    assert world.log.loads == [(2, "boot-1")]


async def test_the_same_trouble_found_after_a_restart_is_the_same_event(world: World) -> None:
    bad = world.publisher.publish(1, kind="full")
    for _ in range(2):
        world.start()
        world.reloader.note(bad)
        await world.reloader.settle()
    first, second = world.log.rejections
    assert first == second
    assert "full weights" in first.reason


async def test_a_folder_that_is_another_version_than_published_is_refused(world: World) -> None:
    one = world.publisher.publish(1)
    assert one.event is not None
    world.reloader.note(replace(one, event=replace(one.event, version=9)))  # type: ignore[call-arg]
    await world.reloader.settle()
    assert world.engine.calls == []
    assert "is p@1, but was published as another" in world.log.rejections[0].reason


async def test_a_record_that_does_not_decode_is_recorded_once_however_often_it_is_read(world: World) -> None:
    broken = replace(recorded(None, offset=7), error=MalformedEventError("no json"))
    for _ in range(2):
        world.reloader.note(broken)
        await world.reloader.settle()
    (rejection,) = world.log.rejections
    assert (rejection.offset, rejection.error, rejection.reason) == (7, "MalformedEventError", "no json")


async def test_what_the_engine_refuses_is_recorded_with_its_reason(world: World) -> None:
    world.engine.refuses = {"p@1"}
    with pytest.raises(EngineRefusedError):
        await world.publish(1)
    assert world.log.rejections == []
    await world.reloader.settle()
    assert world.engine.loaded == {}
    assert world.log.rejections[0].reason == "p@1 is not loadable"


async def test_a_refusal_that_passes_is_no_rejection(world: World) -> None:
    world.engine.error = EngineRefusedError(400, "out of memory")
    with pytest.raises(EngineRefusedError):
        await world.publish(1)
    await world.reloader.settle()
    assert (world.log.loads, world.log.rejections) == ([(1, "boot-1")], [])


async def test_a_refused_load_of_what_the_engine_has_is_a_load(world: World) -> None:
    world.engine.refuses, world.engine.takes_although_it_refuses = {"p@1"}, True
    await world.publish(1)
    assert (world.log.loads, world.log.rejections) == ([(1, "boot-1")], [])


async def test_a_version_that_does_not_load_keeps_no_older_one_from_a_restarted_engine(world: World) -> None:
    await world.publish(1, 2)
    world.engine.restart()
    world.engine.error = EngineRefusedError(500, "oops")
    with pytest.raises(EngineRefusedError):
        await world.reloader.settle()
    assert world.log.loads[-1] == (1, "boot-1'")
    assert routed(world) == 1
    await world.reloader.settle()
    assert world.log.loads[-1] == (2, "boot-1'")
    assert routed(world) == 2


async def test_gateways_leave_a_version_that_a_restarted_engine_refuses(world: World) -> None:
    await world.publish(1, 2)
    assert routed(world) == 2
    world.engine.restart()
    world.engine.refuses = {"p@2"}
    with pytest.raises(EngineRefusedError):
        await world.reloader.settle()
    await world.reloader.settle()
    assert routed(world) == 1


async def test_a_restarted_engine_that_takes_nothing_serves_the_base_model_and_says_so_once(world: World) -> None:
    await world.publish(1)
    world.engine.restart()
    shutil.rmtree(world.publisher.root / "p-1")
    for _ in range(3):
        await world.reloader.settle()
    assert world.log.loads == [(1, "boot-1"), (0, "boot-1'")]
    assert routed(world) == 0
    await world.publish(2)
    assert routed(world) == 2


async def test_an_engine_that_never_had_a_version_is_not_spoken_of(world: World) -> None:
    world.engine.refuses = {"p@1"}
    with pytest.raises(EngineRefusedError):
        await world.publish(1)
    await world.reloader.settle()
    assert world.log.loads == []


@pytest.mark.parametrize("error", [EngineUnavailableError("away"), EngineRefusedError(500, "oops"), TimeoutError()])
async def test_an_engine_in_trouble_is_asked_again_and_the_checkpoint_is_not_blamed(
    world: World, error: Exception
) -> None:
    world.engine.error = error
    with pytest.raises(type(error)):
        await world.publish(1)
    await world.reloader.settle()
    assert world.log.loads == [(1, "boot-1")]
    assert world.log.rejections == []


async def test_a_wrong_admin_key_stops_the_reloader_with_the_setting(world: World) -> None:
    world.engine.error = EngineRefusedError(401, "Unauthorized")
    with pytest.raises(SettingsError, match=r"engine\.admin_api_key"):
        await world.publish(1)


async def test_a_load_that_could_not_be_told_is_told_later_without_loading_again(world: World) -> None:
    world.log.error = BrokerUnavailableError("away")
    with pytest.raises(BrokerUnavailableError):
        await world.publish(1)
    await world.reloader.settle()
    assert world.engine.calls == ["+p@1"]
    assert world.log.loads == [(1, "boot-1")]


async def test_an_announcement_that_arrives_although_nobody_acknowledged_it_says_the_same_as_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.reload_events.now_ms", iter([1_000, 40_000, 41_000, 80_000]).__next__)
    world.log.late = BrokerUnavailableError("Kafka did not acknowledge in time.")
    with pytest.raises(BrokerUnavailableError):
        await world.publish(1)
    await world.reloader.settle()
    first, again = world.log.events
    assert first == again


async def test_an_engine_that_restarted_gets_everything_back_newest_first(world: World) -> None:
    await world.publish(1, 2, 3)
    world.engine.restart()
    world.engine.calls.clear()
    await world.reloader.settle()
    assert world.engine.calls == ["+p@3", "+p@2"]
    assert world.log.loads[-2:] == [(3, "boot-1'"), (2, "boot-1'")]
    assert len({event.id for event in world.log.events}) == len(world.log.events)


async def test_an_adapter_that_one_process_lost_is_loaded_again_but_announced_once(world: World) -> None:
    await world.publish(1)
    await world.engine.unload_adapter("p@1")
    await world.reloader.settle()
    assert set(world.engine.loaded) == {"p@1"}
    assert world.log.loads == [(1, "boot-1")]


async def test_a_reloader_that_restarted_repeats_nothing(world: World) -> None:
    await world.publish(1, 2)
    told = list(world.log.events)
    world.start()
    for event in told:
        world.reloader.note(replace(recorded(None, 0), topic="reloads", event=event))
    for version in (1, 2):
        world.reloader.note(world.publisher.publish(version))
    await world.reloader.settle()
    assert world.log.events == told


async def test_a_reloader_that_died_between_load_and_event_tells_it_when_it_is_back(world: World) -> None:
    await world.publish(1)
    world.log.events.clear()
    world.start()
    await world.publish(1)
    assert world.engine.calls == ["+p@1"]
    assert world.log.loads == [(1, "boot-1")]


def test_the_first_record_of_a_version_counts(tmp_path: Path) -> None:
    shelf = Shelf("p", 2)
    record = Publisher(tmp_path, make_base(tmp_path / "base")).publish(1)
    assert record.event is not None
    assert shelf.put(record)
    assert not shelf.put(record)
    assert not shelf.put(replace(record, event=replace(record.event, id="another"), offset=9))
    assert shelf.wanted() == (Offer.of(record),)


def test_of_a_record_its_place_and_what_it_says_are_kept_but_not_its_bytes(tmp_path: Path) -> None:
    shelf = Shelf("p", 2)
    record = Publisher(tmp_path, make_base(tmp_path / "base")).publish(1)
    assert isinstance(record.event, CheckpointPublished)
    event = replace(record.event, action_ids=("a",) * 100)
    long = replace(record, event=event, value=b"v" * 5000, headers=[("h", b"")])
    shelf.put(long)
    kept = replace(long, event=replace(event, batch_ids=(), sample_ids=(), action_ids=()), value=b"", headers=[])
    assert [offer.recorded for offer in shelf.wanted()] == [kept]
    assert not shelf.is_stale(long)


async def test_a_version_that_is_published_again_or_too_late_is_refused_with_its_reason(world: World) -> None:
    await world.publish(2, 3)
    for record in (world.publisher.publish(1), replace(world.publisher.publish(3), offset=9)):
        world.reloader.note(record)
    await world.reloader.settle()
    assert set(world.engine.loaded) == {"p@2", "p@3"}
    assert [one.reason for one in world.log.rejections] == [
        f"Version {version} comes after newer ones, or again; versions only grow." for version in (1, 3)
    ]


async def test_a_log_that_is_read_twice_refuses_nothing(world: World) -> None:
    records = [world.publisher.publish(version) for version in (1, 2)]
    for record in (*records, *records):
        world.reloader.note(record)
    await world.reloader.settle()
    assert world.log.rejections == []


def test_an_adapter_for_this_base_fits(tmp_path: Path) -> None:
    write_adapter(tmp_path / "a")
    check_fit(tmp_path / "a", base_shapes(make_base(tmp_path / "base")), RANK)


FIRST_A = f"base_model.model.{LAYERS[0]}.lora_A.weight"


@pytest.mark.parametrize(
    ("change", "config", "sentence"),
    [
        ({FIRST_A: np.ones((RANK, NUM_IN + 1), np.float32)}, {}, r"\(2, 5\) for model\.layers\.0\.q_proj\.lora_A"),
        ({FIRST_A: np.ones((RANK + 1, NUM_IN), np.float32)}, {}, "lora_A; the base model needs"),
        ({FIRST_A: None}, {}, r"lacks model\.layers\.0\.q_proj\.lora_A; the base model needs one of shape \(2, 4\)"),
        ({f"{FIRST_A}x": np.ones(1, np.float32)}, {}, "engines load LoRA matrices only"),
        (
            {"base_model.model.model.layers.2.q_proj.lora_A.weight": np.ones((RANK, NUM_IN), np.float32)},
            {},
            r"changes model\.layers\.2\.q_proj, which the base model",
        ),
        ({}, {"target_modules": []}, "or the adapter's own list does not have"),
        ({}, {"r": RANK + 1}, r"rank 3; raise engine\.max_lora_rank, which is 2"),
        ({}, {"r": "two"}, "no usable adapter_config"),
    ],
)
def test_an_adapter_that_does_not_fit_is_named(
    tmp_path: Path, change: dict[str, object], config: dict[str, object], sentence: str
) -> None:
    arrays = {name: value for name, value in {**adapter_arrays(), **change}.items() if value is not None}
    write_adapter(tmp_path / "a", arrays, **config)  # type: ignore[arg-type]
    with pytest.raises(CheckpointInvalidError, match=sentence):
        check_fit(tmp_path / "a", dict.fromkeys(LAYERS, (NUM_OUT, NUM_IN)), RANK)


def test_a_layer_that_the_adapter_forgot_is_found(tmp_path: Path) -> None:
    arrays = {name: value for name, value in adapter_arrays().items() if LAYERS[0] in name}
    write_adapter(tmp_path / "a", arrays)
    with pytest.raises(CheckpointInvalidError, match=r"lacks model\.layers\.1\.q_proj\.lora_A"):
        check_fit(tmp_path / "a", base_shapes(make_base(tmp_path / "base")), RANK)


async def test_more_kept_versions_than_places_is_a_setting_to_change(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"reload\.keep_versions below engine\.max_loaded_loras"):
        await run_reloader(
            ReloadConfig(keep_versions=4),
            GateConfig(),
            KafkaConfig(),
            EngineConfig(max_loaded_loras=4),
            policy="p",
            heartbeat=tmp_path / "beat",
        )
