"""Stand-in for SGLang's compiled kernels, for its process on a CPU only: every name exists, none may be called.

SGLang imports kernel names at module top, but takes PyTorch paths on a CPU. The package `sglang-kernel` is a CUDA
build; this folder stands before it on PYTHONPATH (see serving/launch) and is never imported by nextstate itself.
"""

from collections.abc import Callable
from typing import Any, NoReturn

import torch

__version__ = "0.4.10"  # SGLang compares it with the least that it accepts

_FACTORIES = ("tensor", "empty", "zeros", "ones", "full", "empty_like", "zeros_like", "ones_like")


def __getattr__(name: str) -> Callable[..., NoReturn]:
    if name.startswith("__"):
        raise AttributeError(name)

    def missing(*_args: object, **_kwargs: object) -> NoReturn:
        message = f"SGLang called the CUDA kernel {name!r} on a CPU; choose another backend in [engine] extra_args."
        raise NotImplementedError(message)

    return missing


def _unpinned(factory: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    def create(*args: Any, pin_memory: bool = False, **kwargs: Any) -> torch.Tensor:  # noqa: ARG001
        return factory(*args, **kwargs)

    return create


# The LoRA code asks for page-locked memory, which only a GPU's driver can give.
if not torch.cuda.is_available():
    for _name in _FACTORIES:
        setattr(torch, _name, _unpinned(getattr(torch, _name)))
    torch.Tensor.pin_memory = lambda self, *_args, **_kwargs: self  # type: ignore[method-assign]
