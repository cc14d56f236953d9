"""`Home`: the folder where one stack keeps all that it makes, and the place of each thing that infra keeps there.

It is `.nextstate/` in the current folder, or what NEXTSTATE_HOME names. Components make folders of their own in it:
`spool` (gateway), `faust` (processors), `checkpoints` (trainer). Only paths: nothing here touches the disk.
"""

import os
from dataclasses import dataclass
from pathlib import Path


def default_home() -> Path:
    """NEXTSTATE_HOME, or `.nextstate` in the current folder."""
    return Path(os.environ.get("NEXTSTATE_HOME", ".nextstate")).absolute()


@dataclass(frozen=True, slots=True)
class Home:
    """Paths below one home folder."""

    root: Path

    @property
    def jars(self) -> Path:
        """Kafka's jars, laid out as a Maven repository."""
        return self.root / "kafka" / "jars"

    @property
    def broker(self) -> Path:
        """Configuration and log segments of the embedded broker."""
        return self.root / "kafka" / "broker"

    @property
    def archive(self) -> Path:
        """The log as Parquet files, where `archive.folder` names no other place."""
        return self.root / "archive"

    @property
    def models(self) -> Path:
        """Prepared models, one folder each."""
        return self.root / "models"

    @property
    def judge(self) -> Path:
        """What the embedded judge keeps between starts."""
        return self.root / "judge"

    @property
    def clients(self) -> Path:
        """What `nextstate bench clients` installs, one folder each, and its last run."""
        return self.root / "clients"

    @property
    def logs(self) -> Path:
        """One log file per component."""
        return self.root / "logs"

    @property
    def heartbeats(self) -> Path:
        """One file per component, touched while it is healthy."""
        return self.root / "heartbeats"

    @property
    def settings_file(self) -> Path:
        """The resolved settings of the run, for its components (infra/handover.py)."""
        return self.root / "settings.json"

    @property
    def run_file(self) -> Path:
        """What runs: process ids, ports, urls (infra/run_file.py)."""
        return self.root / "run.json"

    @property
    def lock_file(self) -> Path:
        """Held by the supervisor for as long as it lives."""
        return self.root / "supervisor.lock"
