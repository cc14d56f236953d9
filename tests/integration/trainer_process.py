"""A trainer as a process of its own: `python -m tests.integration.trainer_process SETTINGS_JSON`, until SIGTERM."""

import json
import logging
import signal
import sys
import threading
from pathlib import Path

from streams.config import KafkaConfig
from trainer.config import TrainerConfig
from trainer.loop import run_trainer


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout, force=True)
    logging.getLogger("trainer").setLevel(logging.DEBUG)  # tells when a step begins
    settings = json.loads(sys.argv[1])
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    run_trainer(
        TrainerConfig(),
        KafkaConfig.model_validate(settings["kafka"]),
        "assistant",
        model_path=Path(settings["model_path"]),
        home=Path(settings["home"]),
        heartbeat=Path(settings["home"]) / "heartbeat",
        stop=stop,
    )


if __name__ == "__main__":
    main()
