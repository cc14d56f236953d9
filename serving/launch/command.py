"""`command`: the command line and environment of the SGLang server that nextstate starts itself.

Consumes `[engine]` of the settings. Produces arguments and variables for the supervisor, which owns the process. On a
CPU the server takes PyTorch's own paths, with stand-ins for the CUDA packages that it imports (`shims/`); on a GPU it
runs as SGLang's makers ship it. Both load adapters while they serve.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

from serving.config import EngineConfig
from serving.launch.server import keys_for

HOST = "127.0.0.1"
CPU_TOTAL_TOKENS = 16_384  # 16 requests of 1,000 tokens; 46 KB each with SmolLM2-135M in float32
CPU_RUNNING_REQUESTS = 16  # tokens per second still grow up to here on two cores
_SHIMS = Path(__file__).parent / "shims"


def command(
    config: EngineConfig, model_path: Path, port: int, device: Literal["cpu", "cuda"] | None = None
) -> tuple[list[str], dict[str, str]]:
    """Arguments, and the environment variables to set beside the present ones.

    Args:    port: free, on the loopback interface; device: None: `config.device`, asking the machine where it is auto.
    """
    device = device or device_of(config)
    arguments = {
        "model-path": str(model_path),
        "host": HOST,
        "port": port,
        "device": device,
        "dtype": config.dtype,
        "context-length": config.context_length,
        "max-total-tokens": config.max_total_tokens,
        "max-running-requests": config.max_running_requests,
        "max-lora-rank": config.max_lora_rank,
        "max-loras-per-batch": config.max_loras_per_batch,
        "max-loaded-loras": config.max_loaded_loras,
        "log-level-http": "warning",  # no line per request
    }
    flags = ["--enable-lora", "--incremental-streaming-output", "--sleep-on-idle"]
    flags += ["--constrained-json-disable-any-whitespace"]  # small models fill a reply with line breaks otherwise
    environment = {"HF_HUB_OFFLINE": "1", "SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION": "false"} | keys_for(config)
    if device == "cpu":
        arguments = {**_cpu_arguments(), **{name: value for name, value in arguments.items() if value is not None}}
        flags += ["--disable-overlap-schedule", "--disable-cuda-graph", "--skip-server-warmup"]
        environment |= _cpu_environment(config)
    given = [part for name, value in arguments.items() if value is not None for part in (f"--{name}", str(value))]
    modules = ["--lora-target-modules", *config.lora_target_modules]
    # Only a server that has keys to hide needs ours around it.
    server = "serving.launch.server" if any(keys_for(config).values()) else "sglang.launch_server"
    return [sys.executable, "-m", server, *given, *flags, *modules, *config.extra_args], environment


def device_of(config: EngineConfig) -> Literal["cpu", "cuda"]:
    """The configured device, or what the machine has."""
    if config.device != "auto":
        return config.device
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "cpu"
    return "cuda" if listed.returncode == 0 and listed.stdout.startswith(b"GPU ") else "cpu"


def _cpu_arguments() -> dict[str, object]:
    return {
        "attention-backend": "torch_native",
        "sampling-backend": "pytorch",
        "lora-backend": "torch_native",
        "max-total-tokens": CPU_TOTAL_TOKENS,
        "max-running-requests": CPU_RUNNING_REQUESTS,
    }


def _cpu_environment(config: EngineConfig) -> dict[str, str]:
    inherited = os.environ.get("PYTHONPATH")
    return {
        "SGLANG_USE_CPU_ENGINE": "1",
        "OMP_NUM_THREADS": str(config.num_threads),
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": os.pathsep.join([str(_SHIMS), *([inherited] if inherited else [])]),
    }
