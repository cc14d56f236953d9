"""`prepare`: what the first start of a stack needs and no package manager installs; skips what is there.

Produces in the runtime home: Kafka's jars, where the broker is ours; the small model, where no other is named; the
classifier of the embedded judge, where that is the one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson

from infra.home import Home
from infra.kafka.jars import fetch_jars
from infra.model import prepare_small_model
from infra.settings import Settings
from serving.model_folder import vocab_size

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is there now."""

    settings: Settings  # with the model's folder filled in
    jars: tuple[Path, ...]  # empty where the broker is not ours


def prepare(settings: Settings, report: Report) -> Prepared:
    """Fetches and converts what is missing.

    Raises:  MissingRuntimeError that says what could not be had, and what to do; SettingsError: no model lies there.
    """
    home = runtime_home(settings)
    if settings.engine.model_path is not None:
        vocab_size(Path(settings.engine.model_path))  # a folder that is no model ends the start before it begins
    jars = fetch_jars(home.jars, report) if settings.kafka.bootstrap_servers is None else ()
    model_path = str(model_folder(settings, report))
    if settings.judge.kind == "reaction" and not any(home.judge.glob("*.npz")):  # a later version trains as it starts
        _train_judge(settings, home, report)
    engine = settings.engine.model_copy(update={"model_path": model_path})
    return Prepared(settings.model_copy(update={"engine": engine}), jars)


def model_folder(settings: Settings, report: Report) -> Path:
    """The base model's folder: the one that is named, or the small one, converted if it is not there yet."""
    named = settings.engine.model_path
    return Path(named) if named is not None else prepare_small_model(runtime_home(settings).models, report)


def _train_judge(settings: Settings, home: Home, report: Report) -> None:
    report("Training the judge's classifier (once, about half a minute)")
    from serving.judges.factory import make_judge

    make_judge(settings.judge, home.judge)


def runtime_home(settings: Settings) -> Home:
    """Where all of it lies, which several stacks can share; a home that has run before goes on with what it used."""
    return Home(settings.runtime_home or _used_before(Home(settings.home)) or settings.home)


def _used_before(home: Home) -> Path | None:
    try:
        named = orjson.loads(home.settings_file.read_bytes()).get("runtime_home")
    except (FileNotFoundError, orjson.JSONDecodeError):
        return None
    return Path(named) if named is not None and Path(named).is_dir() else None
