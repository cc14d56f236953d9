"""Random LoRA adapters for the small model, made by PEFT, and the model itself to compare with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from serving.config import EngineConfig

RANK = 16
_STRENGTH = 0.02  # far from nothing (it changes what is written), not so far that the text falls apart


def random_adapter(model_path: Path, folder: Path, seed: int) -> PeftModel:
    """A model with a random adapter, which is also saved."""
    torch.manual_seed(seed)
    base = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32).eval()
    lora = LoraConfig(r=RANK, lora_alpha=32, target_modules=list(EngineConfig().lora_target_modules))
    model = get_peft_model(base, lora)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=_STRENGTH)
    model.save_pretrained(folder)
    (folder / "README.md").unlink()
    return model


@dataclass(frozen=True)
class Reference:
    """What the trainer's side computes, for the same tokens."""

    model: Any

    def logprobs(self, prompt: tuple[int, ...], response: tuple[int, ...], temperature: float) -> torch.Tensor:
        """[T] float32 under the adapter."""
        with torch.no_grad():
            logits = self.model(torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1].float()
        chosen = torch.tensor(response)[:, None]
        return torch.log_softmax(logits / temperature, dim=-1).gather(1, chosen)[:, 0]

    def base_logprobs(self, prompt: tuple[int, ...], response: tuple[int, ...], temperature: float) -> torch.Tensor:
        """[T] float32 without it."""
        with self.model.disable_adapter():
            return self.logprobs(prompt, response, temperature)
