"""`replay_log`: one replay from end to end: choose, read what was derived, derive it again, compare.

Consumes a log (`Read`) and settings; produces a `Report`, and on request the replayed records as Parquet files.
"""

import asyncio
from pathlib import Path

import pyarrow.parquet as pq

from infra.prepare import Report as Tell
from infra.prepare import model_folder, runtime_home
from infra.replay.history import DERIVED, read_recorded
from infra.replay.report import Report
from infra.replay.run import Assessors, replay
from infra.replay.runs import note_on_template, notes_on_runs
from infra.replay.slice import Read, Selection
from infra.settings import Settings
from schemas.errors import RejectedError
from serving.judges.factory import make_extractor, make_judge
from serving.rendering import ChatRenderer
from streams.columns import view_name
from streams.recorded import Recorded
from streams.tables import tables

_PACKED_APART = ("Batches are packed from this slice alone, so they hold other samples than the recorded ones.",)


def replay_log(
    read: Read, settings: Settings, selection: Selection, *, is_fresh: bool, out: Path | None, tell: Tell
) -> Report:
    """Replays a slice with the settings' model and, where it is judged afresh, with their judge and extractor.

    Args:    out: a folder for what was derived, in the columns of the views (streams/VIEWS.md); None: it is dropped.
    Raises:  EmptySliceError: the selection fits nothing; RejectedError: `out` holds something already.
    """
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RejectedError(f"--out {out} is not an empty folder: name a new one.")
    taken, history = read_recorded(read, selection, settings.processors.max_open_age_s)
    tell(f"Replaying {len(taken.action_ids)} actions of {len(taken.conversations)} conversations")
    renderer = ChatRenderer(model_folder(settings, tell), settings.engine.context_length)
    assessors = assessors_of(settings) if is_fresh else None
    written: list[Recorded] = []
    keep = written.append if out is not None else _drop
    comparison = asyncio.run(replay(taken, history, renderer, settings.processors, assessors, keep))
    if out is not None:
        _write(written, out)
    return Report(
        taken=taken,
        is_fresh=is_fresh,
        notes=(
            *notes_on_runs(read, taken, settings),
            *note_on_template(taken, renderer.template_digest),
            *(_PACKED_APART if is_fresh and not taken.is_everything else ()),
        ),
        outcome=comparison.outcome(read),
    )


def assessors_of(settings: Settings) -> Assessors:
    """The settings' judge and hint extractor.

    Raises:  SettingsError: an llm without url or model; MissingRuntimeError: no sentence embedder.
    """
    judge = make_judge(settings.judge, runtime_home(settings).judge)
    return Assessors(judge=judge, extractor=make_extractor(settings.hints))


def _drop(_: Recorded) -> None:
    """Nobody asked for the records."""


def _write(records: list[Recorded], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    found = tables(records)
    for topic in DERIVED:
        pq.write_table(found[view_name(topic)], folder / f"{view_name(topic)}.parquet", compression="zstd")
