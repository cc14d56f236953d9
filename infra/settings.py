"""`Settings`: everything that one stack is configured with; each table belongs to the component that it configures.

`load_settings` (infra/settings_file.py) makes one from defaults < TOML < command line, with secrets from the
environment. `run_configured` is the event that records it.
"""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, model_validator

from infra.home import Home, default_home
from infra.secrets import masked
from processors.config import ProcessorsConfig
from schemas.clock import now_ms
from schemas.errors import SettingsError
from schemas.events import RunConfigured
from schemas.identity import new_id
from serving.config import EngineConfig, GateConfig, GatewayConfig, HintsConfig, JudgeConfig, ReloadConfig
from streams.config import ArchiveConfig, KafkaConfig
from trainer.config import TrainerConfig

RECORDED_VERSIONS = ("nextstate", "sglang", "torch", "transformers", "peft", "faust-streaming", "confluent-kafka")


POLICY_PATTERN, MAX_POLICY_CHARS = r"^[A-Za-z0-9][A-Za-z0-9._-]*$", 64


class BrokerConfig(BaseModel):
    """The one-node Kafka that nextstate starts where `kafka.bootstrap_servers` names none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    port: int | None = Field(default=None, ge=1, le=65_535)  # None: any free one, another at each start


class Settings(BaseModel):
    """One stack."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Whom the stack trains; also the model id that clients use, and part of adapter, topic key and folder names.
    policy: str = Field(default="assistant", pattern=POLICY_PATTERN, max_length=MAX_POLICY_CHARS)
    home: Path = Field(default_factory=default_home)  # where the stack keeps what it makes
    runtime_home: Path | None = None  # where Kafka's jars and prepared models lie; None: in `home`
    kafka: KafkaConfig = KafkaConfig()
    broker: BrokerConfig = BrokerConfig()
    archive: ArchiveConfig = ArchiveConfig()
    gateway: GatewayConfig = GatewayConfig()
    engine: EngineConfig = EngineConfig()
    judge: JudgeConfig = JudgeConfig()
    hints: HintsConfig = HintsConfig()
    gate: GateConfig = GateConfig()
    reload: ReloadConfig = ReloadConfig()
    processors: ProcessorsConfig = ProcessorsConfig()
    trainer: TrainerConfig = TrainerConfig()

    @model_validator(mode="after")
    def _keep_admins_apart(self) -> Self:
        """One key is not for two: who uses the policy would see what is for admins."""
        if self.gateway.admin_key in self.gateway.api_keys:
            raise SettingsError("NEXTSTATE_ADMIN_KEY is one of NEXTSTATE_API_KEYS, too: take another key for admins.")
        return self

    @model_validator(mode="after")
    def _keep_what_serves(self) -> Self:
        """What one table asks of another; raised as ours, so that it is a sentence as it stands."""
        kept, served = self.trainer.keep_checkpoints, self.reload.keep_versions
        if kept < served:
            raise SettingsError(
                f"trainer.keep_checkpoints is {kept}, but reload.keep_versions is {served}: an engine that restarts "
                f"loads that many from disk; set trainer.keep_checkpoints to at least {served}."
            )
        return self


def private(settings: Settings) -> Settings:
    """The settings of a stack that only this process talks to: on loopback, and without keys."""
    alone = settings.gateway.model_copy(update={"host": GatewayConfig().host, "api_keys": {}, "admin_key": None})
    return settings.model_copy(update={"gateway": alone})


def archive_folder(settings: Settings) -> Path:
    """Where the archive of a stack lies."""
    return settings.archive.folder or Home(settings.home).archive


def run_configured(settings: Settings) -> RunConfigured:
    """The event that says how this run is configured, with secrets masked."""
    table = masked(settings.model_dump(mode="json"))
    return RunConfigured(
        id=new_id(),
        time_ms=now_ms(),
        policy=settings.policy,
        settings=orjson.dumps(table, option=orjson.OPT_SORT_KEYS).decode(),
        versions={"python": platform.python_version()} | {name: version(name) for name in RECORDED_VERSIONS},
    )
