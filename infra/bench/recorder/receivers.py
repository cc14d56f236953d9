"""Who takes OTLP batches: our gateway, a bare receiver, and the OpenTelemetry Collector, where one is at hand.

Each is a process of its own. The gateway is the component that `nextstate up` starts, on a broker of its own. The
collector is the program that its path names, with one receiver and one exporter, debug, as verbose as is said.
"""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from infra.bench.gateway.load import Side
from infra.bench.live import served
from infra.bench.recorder import bare
from infra.bench.recorder.ways import num_received
from infra.components import ENVIRONMENT
from infra.ports import HOST, choose_port
from schemas.errors import FatalError
from schemas.events import ActionTaken
from streams.config import KafkaConfig
from streams.consumer import read_all
from streams.topics import ACTIONS

Verbosity = Literal["basic", "detailed"]
VERBOSITIES: tuple[Verbosity, ...] = ("basic", "detailed")  # a line for each batch, as by default; every word of it
_SPANS_IN_LOG = re.compile(rb'"spans": ?(\d+)')
_CONFIGURATION = """\
receivers:
  otlp:
    protocols:
      http:
        endpoint: {host}:{port}
exporters:
  debug:
    verbosity: {verbosity}
service:
  telemetry:
    logs:
      sampling:
        enabled: false  # else it leaves out some of the lines by which its spans are counted
    metrics:
      level: none
  pipelines:
    traces:
      receivers: [otlp]
      exporters: [debug]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """One of them. `pids`: of what it costs, `kafka_pids` beside it; `num_taken`: spans that it has had, as it says."""

    name: str
    url: str
    pids: tuple[int, ...]
    kafka_pids: tuple[int, ...] = ()
    num_taken: Callable[[], int]


def gateway_receiver(gateway: Side, kafka: KafkaConfig, kafka_pids: tuple[int, ...]) -> Receiver:
    """Ours; what it has had is what the log holds."""

    def num_taken() -> int:
        return sum(isinstance(record.event, ActionTaken) for record in read_all(kafka, (ACTIONS,)))

    return Receiver(name="gateway", url=gateway.url, pids=gateway.pids, kafka_pids=kafka_pids, num_taken=num_taken)


@contextmanager
def bare_receiver(folder: Path) -> Iterator[Receiver]:
    """The bare one.

    Raises:  FatalError: it did not start.
    """
    port = choose_port(None, "")
    url = f"http://{HOST}:{port}"
    command = [sys.executable, "-m", bare.__name__, str(port)]
    with served("bare receiver", command, folder / "bare.log", ENVIRONMENT, f"{url}/received") as pid:
        yield Receiver(name="bare receiver", url=url, pids=(pid,), num_taken=lambda: num_received(url))


@contextmanager
def collector(program: Path, verbosity: Verbosity, folder: Path) -> Iterator[Receiver]:
    """The OpenTelemetry Collector.

    Args:    program: `otelcol` or another distribution that has the OTLP receiver and the debug exporter.
    Raises:  FatalError: it did not start; its log's last line says why.
    """
    port, log_file = choose_port(None, ""), folder / f"collector-{verbosity}.log"
    configuration = folder / f"collector-{verbosity}.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    configuration.write_text(_CONFIGURATION.format(host=HOST, port=port, verbosity=verbosity))
    command = [str(program), f"--config={configuration}"]
    url = f"http://{HOST}:{port}"
    with served("collector", command, log_file, {}, url, is_any_answer=True) as pid:
        yield Receiver(
            name=f"collector, {verbosity}",
            url=url,
            pids=(pid,),
            num_taken=lambda: _num_logged(log_file),
        )


def check_collector(program: Path) -> None:
    """Raises FatalError: there is no such program."""
    if not program.is_file():
        raise FatalError(f"--collector: there is no program {program}; name one of the OpenTelemetry Collector's.")


def _num_logged(log_file: Path) -> int:
    with log_file.open("rb") as log:
        return sum(int(found.group(1)) for line in log if (found := _SPANS_IN_LOG.search(line)))
