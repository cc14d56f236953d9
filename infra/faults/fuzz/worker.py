"""A worker: `python -m infra.faults.fuzz.worker`, tries its part of one target's inputs and leaves a tally.

A tenth of the inputs is hypothesis's. The others are mutated from seeds by a fuzzer that keeps those which reach new
code of ours: atheris, where there is one for this machine; else each seed is mutated again and again. Our code is
imported last, and under the fuzzer's eyes.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from infra.faults.fuzz.mutation import MAX_INPUT_BYTES, Mutator
from infra.faults.fuzz.target import Target
from infra.faults.fuzz.trying import Trying

GUIDE = "atheris"  # has wheels for Linux on x86-64
GENERATED = 0.1  # of the inputs: hypothesis takes milliseconds to make one
_WATCHED_CODE = ["schemas", "streams", "serving", "infra.settings_file", "infra.imports", "trainer.batches"]
_AT_ONCE = 500  # inputs of one run of hypothesis: it remembers each


class Work(msgspec.Struct, frozen=True):
    """What one worker has to do."""

    target: str
    module: str  # that makes it
    folder: str
    name: str  # of the worker
    num_inputs: int
    seed: int


def has_guide() -> bool:
    """Whether inputs are guided by coverage on this machine."""
    return find_spec(GUIDE) is not None


def make_target(module: str, name: str, folder: Path) -> Target:
    """A target. Args: module: whose `make` makes it; folder: it may write into."""
    made: Target = importlib.import_module(module).make(name, folder)
    return made


def work(given: Work) -> None:
    """Try the inputs. May not return: the fuzzer ends the process."""
    guide: Any = importlib.import_module(GUIDE) if has_guide() else None
    folder = Path(given.folder)
    with guide.instrument_imports(include=_WATCHED_CODE) if guide else nullcontext():
        target = make_target(given.module, given.target, folder)
    trying = Trying(target, folder, given.name)
    for seed in target.material.seeds:
        trying.one(seed.packed(), "seeds")
    _generate(trying, target, round(given.num_inputs * GENERATED), given.seed)
    trying.save()
    if guide:
        _guided(trying, target, given, guide)
    else:
        _mutated(trying, target, given)
        trying.save()


def _generate(trying: Trying, target: Target, num_inputs: int, seed: int) -> None:
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded

    from infra.faults.fuzz.generation import cases

    strategy, wanted = cases(target.material), trying.tally.tried + num_inputs
    for number in range(0, 2 * num_inputs, _AT_ONCE):
        left = wanted - trying.tally.tried
        if left <= 0:
            break

        @seeded(seed * 1_000_003 + number)
        @settings(
            max_examples=min(_AT_ONCE, left),
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(strategy)
        def attempt(data: bytes) -> None:
            if trying.tally.tried < wanted:
                trying.one(data, "hypothesis")

        attempt()


def _mutated(trying: Trying, target: Target, given: Work) -> None:
    rng, mutate = Random(given.seed), Mutator(target.material)
    seeds = [seed.packed() for seed in target.material.seeds]
    data = b""
    while trying.tally.tried < given.num_inputs:
        data = mutate(data if data and rng.random() < 0.5 else rng.choice(seeds), rng)
        trying.one(data, "mutation")


def _guided(trying: Trying, target: Target, given: Work, guide: Any) -> None:
    corpus = Path(given.folder) / f"{given.name}.corpus"
    corpus.mkdir()
    for number, seed in enumerate(target.material.seeds):
        (corpus / f"{number:04}").write_bytes(seed.packed())
    mutate = Mutator(target.material, of_bytes=lambda data, _: bytes(guide.Mutate(data, MAX_INPUT_BYTES)))

    def attempt(data: bytes) -> None:
        trying.one(data, "coverage")
        if trying.tally.tried >= given.num_inputs:
            trying.save()
            os._exit(0)  # the fuzzer has no other end than a crash

    def mutated(data: bytes, max_size: int, seed: int) -> bytes:
        return mutate(bytes(data), Random(seed))[:max_size]

    options: Sequence[str] = (
        f"-seed={given.seed % 2**31 + 1}",
        f"-max_len={MAX_INPUT_BYTES}",
        "-rss_limit_mb=0",
        "-timeout=100000",  # whoever started this worker watches it
        "-verbosity=0",
        f"-artifact_prefix={given.folder}/",
    )
    guide.Setup([given.name, str(corpus), *options], attempt, custom_mutator=mutated)
    guide.Fuzz()


if __name__ == "__main__":
    work(msgspec.json.decode(sys.argv[1], type=Work))
