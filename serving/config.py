"""How serving is set up: `[gateway]`, `[engine]`, `[judge]`, `[hints]`, `[gate]` and `[reload]` in the settings.

Secrets (`api_keys`, `admin_key`, `api_key`, `admin_api_key`) come from the environment only and are masked before a run
is recorded. Keys for the gateway are here by their digests only (serving/keys.py).
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, field_validator

from serving.keys import is_digest


class GatewayConfig(BaseModel):
    """The door for clients, whatever protocol they speak: where it listens, whom it lets in, and how long it tries."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    host: str = "127.0.0.1"  # address to listen on; another than loopback needs API keys
    port: int = Field(default=8400, ge=1, le=65535)  # port to listen on
    api_keys: dict[str, str] = Field(default_factory=dict, repr=False)  # digest -> tenant; empty: all are "default"
    admin_key: str | None = Field(default=None, repr=False)  # digest; for what is no tenant's: /metrics, all of /health
    max_body_bytes: PositiveInt = 8 * 1024 * 1024  # a longer request is refused before it is read whole
    max_otlp_bytes: PositiveInt = 64 * 1024 * 1024  # the same of a batch of OpenTelemetry's, unpacked
    max_choices: PositiveInt = 8  # largest `n` of one request
    # Used when the client sends none. 1.0 is the policy itself and OpenAI's default, but small models ramble at it.
    default_temperature: float = Field(default=0.7, ge=0)
    default_top_p: float = Field(default=1.0, gt=0, le=1)  # used when the client sends none; below 1 does not train
    default_max_tokens: PositiveInt | None = None  # used when the client sends none; None: what the context leaves
    # How long a finish waits for Kafka before the spool takes the action; a gateway that stops waits 4 s, no longer.
    record_deadline_s: float = Field(default=2.0, gt=0, lt=4)
    spool_max_bytes: PositiveInt = 1024**3  # room on disk for events while Kafka is away
    when_unrecordable: Literal["refuse", "serve"] = "refuse"  # neither Kafka nor spool takes events: 503, or unrecorded
    # How long a request without tokens yet waits for an engine that is away: SGLang is back from a kill in 40 s on a
    # laptop, so that nobody need notice; clients of OpenAI and Anthropic wait 10 minutes.
    engine_retry_s: PositiveFloat = 90.0
    max_open_bytes: PositiveInt = 512 * 1024 * 1024  # memory for actions that may still be answered; oldest go first
    max_open_age_s: PositiveFloat = 7 * 24 * 3600.0  # an action older than this is no longer matched
    # A prompt is stored whole where the whole one that it would build on is older. Keep it well below
    # processors.max_open_age_s: what processors have forgotten they cannot build on (the turn is skipped).
    max_chain_age_s: PositiveFloat = 24 * 3600.0

    @field_validator("api_keys", "admin_key")
    @classmethod
    def _keep_no_key_in_clear(cls, kept: dict[str, str] | str | None) -> dict[str, str] | str | None:
        digests = [kept] if isinstance(kept, str) else kept or ()
        if not all(map(is_digest, digests)):
            raise ValueError("keys are kept as serving.keys.key_digest makes them, never in clear")
        return kept


class EngineConfig(BaseModel):
    """The SGLang server that runs the policy. Most fields are for the one that nextstate starts itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str | None = None  # None: nextstate starts its own server
    model_path: str | None = None  # base model folder (its tokenizer and template too); None: the laptop model
    api_key: str | None = Field(default=None, repr=False)  # SGLang's --api-key
    admin_api_key: str | None = Field(default=None, repr=False)  # SGLang's --admin-api-key, for adapter control
    connect_timeout_s: PositiveFloat = 5.0  # to open a connection
    token_timeout_s: PositiveFloat = 120.0  # longest silence inside one generation
    boot_timeout_s: PositiveFloat = 600.0  # from start of the process to healthy
    device: Literal["auto", "cpu", "cuda"] = "auto"  # auto: CUDA where the machine has an NVIDIA GPU, else the CPU
    num_threads: PositiveInt = 1  # threads of one matrix product on a CPU; other processes need cores too
    dtype: str = "float32"  # SGLang's --dtype; bfloat16 on a GPU
    context_length: PositiveInt = 2048  # prompt and reply together, in tokens
    max_total_tokens: PositiveInt | None = None  # size of the KV cache; None: 16,384 on a CPU, what fits on a GPU
    max_running_requests: PositiveInt | None = (
        None  # requests decoded at once; None: 16 on a CPU, SGLang's own on a GPU
    )
    max_lora_rank: PositiveInt = 16  # largest rank of an adapter
    lora_target_modules: tuple[str, ...] = (
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
    )  # modules that adapters may change
    max_loras_per_batch: PositiveInt = 4  # adapters (and the base) decoded side by side
    max_loaded_loras: PositiveInt = 8  # adapters kept in memory
    extra_args: tuple[str, ...] = ()  # passed to sglang.launch_server as they are


class JudgeConfig(BaseModel):
    """Who reads a transition and says +1, 0 or -1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["reaction", "llm"] = "reaction"  # embedded classifier, or a model behind an OpenAI-compatible URL
    embedder_path: str | None = None  # reaction: folder of the sentence embedder; None: the prepared one
    url: str | None = None  # llm: base URL, ending in /v1
    model: str | None = None  # llm: model name there
    api_key: str | None = Field(default=None, repr=False)  # llm
    num_votes: PositiveInt = 3  # llm: votes per transition; the majority is the score
    temperature: float = Field(default=0.6, ge=0)  # llm
    timeout_s: PositiveFloat = 60.0  # llm: per vote; over it, the vote is an abstention
    max_concurrent: PositiveInt = 8  # llm: votes asked at once
    max_text_chars: PositiveInt = 8000  # longest context, action or next state shown to a judge


class HintsConfig(BaseModel):
    """Who writes how an action should have been different."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["verbatim", "llm"] = "verbatim"  # the correction itself, or written by a model
    url: str | None = None  # llm: base URL, ending in /v1
    model: str | None = None  # llm: model name there
    api_key: str | None = Field(default=None, repr=False)  # llm
    num_candidates: int = Field(default=3, ge=1, le=3)  # most hints per transition
    temperature: float = Field(default=0.6, ge=0)  # llm
    timeout_s: PositiveFloat = 60.0  # llm: per candidate
    max_concurrent: PositiveInt = 8  # llm: candidates asked at once
    max_text_chars: PositiveInt = 8000  # longest context, action or next state shown to the extractor


class GateConfig(BaseModel):
    """Which versions may serve: what their answers to held-out questions are measured by, and may not exceed.

    Over 25 updates the small model moved 0.1 to 0.3 nats from its base and repeated 5% of its 4-grams, where it
    learned; where it fell apart, 1.4 nats and 47% (infra/experiment/results/table.md).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True  # false: nothing is measured, each version whose files are whole serves
    questions: Path | None = None  # JSON lines with `question`, and `wanted` where known (a regex); None: eight of ours
    answer_tokens: PositiveInt = 32  # that are drawn to each question, at temperature 1
    max_kl: float = Field(default=0.5, gt=0)  # nats per token between a version and the one that serves
    max_kl_base: float = Field(default=1.0, gt=0)  # the same to the base model: many small steps lead far, too
    min_entropy: float = Field(default=0.05, ge=0)  # nats per token of its own answers; below: it says one thing only
    max_entropy: float = Field(default=5.0, gt=0)  # above: it says anything
    max_repeated: float = Field(default=0.3, ge=0, le=1)  # share of an answer's 4-grams that stood in it before
    min_tokens: float = Field(default=2.0, ge=0)  # mean length of its answers
    min_compliance: float = Field(default=0.0, ge=0, le=1)  # share of answers that are as `wanted`, of those asked for
    timeout_s: PositiveFloat = 120.0  # for all measurements of one version; over it, they are made again


class ReloadConfig(BaseModel):
    """How a promoted version reaches the engine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # How much an adapter may change a layer: the size (Frobenius norm) of its change, in sizes of the layer's weights.
    # After 8 updates of the small model it is 0.006 in the layer that changed most.
    max_weight_change: float = Field(default=0.5, gt=0)

    keep_versions: PositiveInt = 3  # newest versions that stay loaded beside each other
    drain_s: PositiveFloat = 600.0  # an older version is unloaded this long after requests stopped going to it
    load_timeout_s: PositiveFloat = 60.0  # for one adapter load, validation included
    retry_s: PositiveFloat = 1.0  # pause between attempts while the engine is away
