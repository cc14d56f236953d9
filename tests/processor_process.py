"""The processors as a process of their own, with the exact models of processor_world: for tests that kill it.

Usage: python processor_process.py KAFKA-JSON HOME CONFIG-JSON
"""

import logging
import sys
from pathlib import Path

from processor_world import EchoExtractor, EchoJudge, LetterRenderer

from processors.app import run_processors
from processors.config import ProcessorsConfig
from streams.config import KafkaConfig

if __name__ == "__main__":
    kafka, home, config = sys.argv[1:]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    run_processors(
        ProcessorsConfig.model_validate_json(config),
        KafkaConfig.model_validate_json(kafka),
        EchoJudge(),
        EchoExtractor(),
        LetterRenderer(),
        Path(home),
        Path(home) / "heartbeat",
    )
