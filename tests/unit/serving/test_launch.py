"""The command line of SGLang, per device, and the stand-ins that its CPU path needs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from serving.config import EngineConfig
from serving.launch.command import CPU_RUNNING_REQUESTS, CPU_TOTAL_TOKENS, command, device_of
from serving.launch.server import with_keys

MODEL = Path("/models/m")


def option(arguments: list[str], name: str) -> str:
    return arguments[arguments.index(f"--{name}") + 1]


def shims_of(config: EngineConfig) -> str:
    return command(config, MODEL, 1, "cpu")[1]["PYTHONPATH"].split(os.pathsep)[0]


def test_the_cpu_path_has_its_shims_and_its_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/mine")
    arguments, environment = command(EngineConfig(num_threads=2), MODEL, 1234, "cpu")
    assert arguments[:3] == [sys.executable, "-m", "sglang.launch_server"]
    assert option(arguments, "model-path") == "/models/m"
    assert option(arguments, "port") == "1234"
    assert option(arguments, "device") == "cpu"
    assert option(arguments, "attention-backend") == option(arguments, "lora-backend") == "torch_native"
    assert option(arguments, "max-total-tokens") == str(CPU_TOTAL_TOKENS)
    assert option(arguments, "max-running-requests") == str(CPU_RUNNING_REQUESTS)
    assert environment["SGLANG_USE_CPU_ENGINE"] == "1"
    assert environment["OMP_NUM_THREADS"] == "2"
    shims, inherited = environment["PYTHONPATH"].split(os.pathsep)
    assert (Path(shims) / "sgl_kernel" / "__init__.py").is_file()
    assert inherited == "/mine"


def test_the_gpu_path_is_sglang_as_it_is_shipped() -> None:
    arguments, environment = command(EngineConfig(), MODEL, 1234, "cuda")
    assert option(arguments, "device") == "cuda"
    for name in ("attention-backend", "sampling-backend", "lora-backend", "max-total-tokens", "disable-cuda-graph"):
        assert f"--{name}" not in arguments
    assert not {"PYTHONPATH", "SGLANG_USE_CPU_ENGINE", "OMP_NUM_THREADS"} & environment.keys()


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_adapters_can_be_loaded_while_it_serves(device: str) -> None:
    config = EngineConfig(max_lora_rank=8, max_loaded_loras=5, max_loras_per_batch=3, lora_target_modules=("a", "b"))
    arguments, _ = command(config, MODEL, 1, "cuda" if device == "cuda" else "cpu")
    assert "--enable-lora" in arguments
    assert option(arguments, "max-lora-rank") == "8"
    assert option(arguments, "max-loaded-loras") == "5"
    assert option(arguments, "max-loras-per-batch") == "3"
    place = arguments.index("--lora-target-modules")
    assert arguments[place + 1 : place + 3] == ["a", "b"]


def test_settings_win_over_what_a_cpu_would_get() -> None:
    arguments, _ = command(EngineConfig(max_total_tokens=99, max_running_requests=3), MODEL, 1, "cpu")
    assert option(arguments, "max-total-tokens") == "99"
    assert option(arguments, "max-running-requests") == "3"


def test_keys_reach_the_server_and_no_command_line() -> None:
    arguments, environment = command(EngineConfig(api_key="of-users", admin_api_key="of-admins"), MODEL, 1, "cpu")
    assert arguments[:3] == [sys.executable, "-m", "serving.launch.server"]
    assert not any("of-users" in argument or "of-admins" in argument for argument in arguments)
    inside = with_keys(["--port", "1"], environment)
    assert inside == ["--port", "1", "--api-key", "of-users", "--admin-api-key", "of-admins"]


def test_keys_that_are_not_set_are_not_passed_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXTSTATE_ENGINE_API_KEY", "of another stack")
    environment = os.environ | command(EngineConfig(), MODEL, 1, "cpu")[1]
    assert with_keys([], environment) == []


def test_the_servers_log_holds_no_key_in_any_of_its_processes(tmp_path: Path) -> None:
    """The record that SGLang makes of its arguments, in a process that is spawned as SGLang's are."""
    for name in ("__main__", "__mp_main__"):
        code = f"""
import runpy, sys, logging
sys.modules["sglang"] = None  # nothing is served
logging.basicConfig(stream=sys.stdout, format="%(message)s")
try:
    runpy.run_module("serving.launch.server", run_name={name!r})
except ImportError:
    pass
logging.getLogger("sglang.srt.entrypoints.engine").error(f"server_args={{{{'api_key': 'of-users', 'port': 1}}}}")
"""
        environment = {**os.environ, "NEXTSTATE_ENGINE_API_KEY": "of-users"}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout == "server_args={'api_key': '***', 'port': 1}\n"


def test_extra_arguments_come_last_and_as_they_are() -> None:
    arguments, _ = command(EngineConfig(extra_args=("--tp-size", "2")), MODEL, 1, "cuda")
    assert arguments[-2:] == ["--tp-size", "2"]


@pytest.mark.parametrize(
    ("script", "device"),
    [("echo 'GPU 0: H100'", "cuda"), ("echo 'No devices were found'; exit 6", "cpu"), ("exit 0", "cpu"), (None, "cpu")],
)
def test_auto_is_cuda_only_where_the_driver_lists_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, device: str
) -> None:
    if script is not None:
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert device_of(EngineConfig(device="auto")) == device


def test_a_device_that_is_set_is_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert device_of(EngineConfig(device="cuda")) == "cuda"


def test_the_stand_in_kernels_import_and_none_can_be_called() -> None:
    code = """
from sgl_kernel import silu_and_mul
import sgl_kernel, torch
assert not hasattr(sgl_kernel, "__path_to_nowhere__")
try:
    silu_and_mul(torch.ones(1))
except NotImplementedError as error:
    assert "'silu_and_mul' on a CPU" in str(error)
else:
    raise SystemExit("a kernel ran")
if not torch.cuda.is_available():
    assert torch.zeros(2, pin_memory=True).pin_memory().tolist() == [0.0, 0.0]
"""
    environment = {**os.environ, "PYTHONPATH": shims_of(EngineConfig())}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_nextstate_itself_never_sees_the_stand_ins() -> None:
    code = "import serving.launch.command, sys; sys.exit('sgl_kernel' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
