"""Who may import whom, and what a command may load before it is asked to do anything."""

import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "transformers", "sglang", "duckdb", "confluent_kafka", "pydantic", "pyarrow", "faust", "openai"}
HELP_S = 0.3


def test_the_import_contracts_hold() -> None:
    # A process of its own: in this one it would switch off every logger that exists.
    linter = Path(sys.executable).with_name("lint-imports")
    checked = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_the_command_line_loads_nothing_heavy() -> None:
    code = f"import sys, infra.cli; print(sorted({HEAVY} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_help_answers_at_once() -> None:
    assert min(_help_s() for _ in range(3)) < HELP_S


def _help_s() -> float:
    """Processor time: what it takes on a machine that does nothing else, as this one may not during tests."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "infra.cli", "--help"], capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
