"""The archiver as a process of its own, for tests that kill it.

Usage: python archiver_process.py KAFKA-JSON FOLDER
"""

import signal
import sys
import threading
from pathlib import Path

from streams.archive.archiver import run_archiver
from streams.config import ArchiveConfig, KafkaConfig

if __name__ == "__main__":
    kafka, folder = sys.argv[1:]
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    run_archiver(
        ArchiveConfig(flush_s=0.1),
        KafkaConfig.model_validate_json(kafka),
        Path(folder),
        Path(folder).with_name("heartbeat"),
        stop,
    )
