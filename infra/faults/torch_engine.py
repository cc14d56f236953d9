"""`TorchEngine`: an engine in this process, for the reloader and its gate: it holds adapters, draws and scores.

Owns the adapters that were loaded. Drawing is the experiment's decoder's, scoring the trainer's backend's, so both
agree with what trains. One request after the other: nothing here is in a hurry.
"""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file

from infra.experiment.decoder import Decoder, DrawRequest, Reply
from infra.experiment.llama import Llama
from serving.sglang_wire import EngineChunk, GenerateRequest
from trainer.backends.base import ADAPTER_WEIGHTS, Response, Tensors
from trainer.backends.torch import TorchBackend
from trainer.config import TrainerConfig


class TorchEngine:
    """Build it with the base model's folder. Args: config: of the adapters to come."""

    def __init__(self, model_path: Path, config: TrainerConfig) -> None:
        self._decoder = Decoder(Llama.load(model_path))
        self._scale = config.lora_alpha / config.lora_rank
        self._scorer = TorchBackend.load(model_path, config)
        self._adapters: dict[str, Tensors] = {}
        self._drawing: str | None = None

    async def load_adapter(self, name: str, path: Path) -> None:
        """Take the adapter of a checkpoint folder."""
        self._adapters[name] = load_file(path / ADAPTER_WEIGHTS)

    async def unload_adapter(self, name: str) -> None:
        """Forget it."""
        del self._adapters[name]

    async def loaded_adapters(self) -> set[str]:
        """Their names."""
        return set(self._adapters)

    async def instance(self) -> str:
        """It never restarts."""
        return "in this process"

    async def generate(self, request: GenerateRequest) -> AsyncIterator[EngineChunk]:
        """An answer, in one chunk; its text is nobody's business here."""
        sampling = request.sampling
        wanted = DrawRequest(
            prompt_ids=request.prompt_ids,
            temperature=sampling.temperature,
            max_tokens=sampling.max_tokens or 1,
            seed=sampling.seed or 0,
        )
        (reply,) = self.draw([wanted], request.adapter)
        ids, logprobs = tuple(reply.ids), tuple(reply.logprobs)
        yield EngineChunk(text_delta="", ids=ids, logprobs=logprobs, finish_reason=reply.finish_reason)

    async def score(
        self, prompt_ids: tuple[int, ...], response_ids: tuple[int, ...], adapter: str | None
    ) -> tuple[float, ...]:
        """[T] nats, at temperature 1."""
        response = Response(
            prompt_ids_P=torch.tensor(prompt_ids), response_ids_T=torch.tensor(response_ids), temperature=1.0
        )
        found: list[float] = self._scorer.logprobs(response, self._adapters[adapter] if adapter else None).tolist()
        return tuple(found)

    def draw(self, wanted: Sequence[DrawRequest], adapter: str | None) -> list[Reply]:
        """Several answers side by side. Args: adapter: None: the base model."""
        if adapter != self._drawing:
            self._decoder.take(self._adapters[adapter] if adapter else {}, self._scale)
            self._drawing = adapter
        return self._decoder.draw(wanted)
