"""`notes_on_runs`: where the stack that recorded a slice was configured or built otherwise than the replay is."""

from collections.abc import Iterable, Iterator
from importlib.metadata import version

import orjson

from infra.replay.slice import Read, Slice
from infra.settings import Settings
from schemas.events import ActionTaken, RunConfigured
from schemas.origin import lacks_tokens
from streams.topics import RUNS


def notes_on_runs(read: Read, taken: Slice, settings: Settings) -> tuple[str, ...]:
    """One sentence for each setting of the processors, and for the release, that was another when the slice began."""
    runs = [record.event for record in read((RUNS,)) if isinstance(record.event, RunConfigured)]
    return tuple(dict.fromkeys(note for run in _in_force(runs, taken) for note in _differences(run, settings)))


def note_on_template(taken: Slice, template_digest: str) -> tuple[str, ...]:
    """A sentence where actions were rendered by another chat template than today's model has."""
    actions = [record.event for record in taken.inputs if isinstance(record.event, ActionTaken)]
    num_others = sum(action.template_digest != template_digest for action in actions if not lacks_tokens(action))
    note = (
        f"{num_others} actions were rendered by another chat template than {template_digest}: their hints cannot be "
        "rendered; set engine.model_path to the model that served them."
    )
    return (note,) if num_others else ()


def _in_force(runs: Iterable[RunConfigured], taken: Slice) -> list[RunConfigured]:
    """The run that was up when the slice began, and those that started before it ended."""
    times_ms = [record.timestamp_ms for record in taken.inputs]
    before = [run for run in runs if run.time_ms <= max(times_ms)]
    started = [run for run in before if run.time_ms <= min(times_ms)]
    return [*started[-1:], *(run for run in before if run.time_ms > min(times_ms))]


def _differences(run: RunConfigured, settings: Settings) -> Iterator[str]:
    then = orjson.loads(run.settings).get("processors", {})
    for name, now in settings.processors.model_dump(mode="json").items():
        if name in then and then[name] != now:
            yield f"processors.{name} is {now} here, and was {then[name]} in the run that recorded this."
    release = run.versions.get("nextstate")
    if release is not None and release != version("nextstate"):
        yield f"This is release {version('nextstate')}; release {release} recorded this."
