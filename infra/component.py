"""One component as a process: `python -m infra.component NAME SETTINGS HEARTBEAT`, started by the supervisor.

Builds the component from the run's settings and hands it what it needs from other folders: the processors get
serving's judge, hint extractor and renderer. An error of ours is the last line of the log; `FATAL_EXIT` tells the
supervisor that another start would meet it again.
"""

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from infra.handover import take_over
from infra.keeper import FATAL_EXIT
from infra.prepare import runtime_home
from infra.secrets import SECRETS
from infra.settings import Settings, archive_folder
from schemas.errors import FatalError, NextstateError
from streams.masking import hide_in_logs, mask_text

AGAIN_EXIT = 1


def main(name: str, settings_file: Path, heartbeat: Path) -> int:
    """Runs a component until SIGTERM; its exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # one line per request otherwise
    hidden = [value for secret in SECRETS if (value := os.environ.get(secret.variable))]
    hide_in_logs(hidden)
    heartbeat.parent.mkdir(parents=True, exist_ok=True)
    try:
        COMPONENTS[name](take_over(settings_file), heartbeat)
    except NextstateError as error:
        sys.stderr.write(f"{mask_text(str(error), hidden)}\n")
        return FATAL_EXIT if isinstance(error, FatalError) else AGAIN_EXIT
    return 0


def _gateway(settings: Settings, heartbeat: Path) -> None:
    import uvloop

    from serving.gateway_process import run_gateway

    uvloop.run(  # most of its time goes into sockets and wake-ups, which cost libuv less than asyncio's own loop
        run_gateway(
            settings.gateway,
            settings.kafka,
            settings.engine,
            engine_url=str(settings.engine.url),
            model_path=Path(str(settings.engine.model_path)),
            policy=settings.policy,
            home=settings.home,
            heartbeat=heartbeat,
        )
    )


def _processors(settings: Settings, heartbeat: Path) -> None:
    from processors.app import run_processors
    from serving.judges.factory import make_extractor, make_judge
    from serving.rendering import ChatRenderer

    run_processors(
        settings.processors,
        settings.kafka,
        make_judge(settings.judge, runtime_home(settings).judge),
        make_extractor(settings.hints),
        ChatRenderer(Path(str(settings.engine.model_path)), settings.engine.context_length),
        settings.home,
        heartbeat,
    )


def _trainer(settings: Settings, heartbeat: Path) -> None:
    from trainer.loop import run_trainer

    run_trainer(
        settings.trainer,
        settings.kafka,
        settings.policy,
        model_path=Path(str(settings.engine.model_path)),
        home=settings.home,
        heartbeat=heartbeat,
        stop=_asked_to_stop(),
    )


def _reloader(settings: Settings, heartbeat: Path) -> None:
    from serving.reload import run_reloader

    asyncio.run(
        run_reloader(
            settings.reload, settings.gate, settings.kafka, settings.engine, policy=settings.policy, heartbeat=heartbeat
        )
    )


def _archiver(settings: Settings, heartbeat: Path) -> None:
    from streams.archive.archiver import run_archiver

    run_archiver(settings.archive, settings.kafka, archive_folder(settings), heartbeat, _asked_to_stop())


def _asked_to_stop() -> threading.Event:
    """Set by SIGTERM."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    return stop


COMPONENTS: Mapping[str, Callable[[Settings, Path], None]] = {
    "gateway": _gateway,
    "processors": _processors,
    "trainer": _trainer,
    "reloader": _reloader,
    "archiver": _archiver,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
