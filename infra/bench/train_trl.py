"""`time_trl_step`: the same optimizer step by TRL's `GRPOTrainer`, on the same samples, adapter and log-probs.

Its own code computes loss and gradient (`compute_loss` and the accelerator's `backward`, as its `training_step` does);
only what its rollout would have filled in is given. Every turn is a micro-batch without padding and without gradient
checkpointing: the fastest that it can do here, for in one batch it would pad each turn to the longest.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from infra.bench.measured import Measured
from infra.bench.train_ours import TEMPERATURE, load, peak_bytes
from infra.bench.train_samples import Sample
from trainer.backends.torch import TorchBackend
from trainer.config import TrainerConfig


def time_trl_step(
    model_path: Path, config: TrainerConfig, samples: Sequence[Sample], drawn: Sequence[Sequence[float]]
) -> Measured:
    """One step of binary RL."""
    with TemporaryDirectory() as folder:
        trainer = _trainer(model_path, config, samples, Path(folder))
    micro_batches = [_micro_batch(*pair) for pair in zip(samples, drawn, strict=True)]
    (0.0 * trainer.compute_loss(trainer.model, micro_batches[0])).backward()  # warm
    started_s = time.process_time()
    loss = 0.0
    for micro_batch in micro_batches:
        one = trainer.compute_loss(trainer.model, micro_batch)
        trainer.accelerator.backward(one)
        loss += float(one.detach())
    gradient = torch.cat([gradient.flatten() for gradient in _gradients(trainer)])
    trainer.optimizer.step()
    seconds = time.process_time() - started_s
    return Measured(seconds=seconds, peak_bytes=peak_bytes(), loss=loss, gradient=gradient.numpy().tobytes())


def _trainer(model_path: Path, config: TrainerConfig, samples: Sequence[Sample], folder: Path) -> Any:
    from datasets import Dataset
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer

    load(TorchBackend, model_path, config).export_adapter(folder)
    base = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32)
    num_turns = len(samples)
    settings = GRPOConfig(
        output_dir=str(folder),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=num_turns,
        num_generations=num_turns,
        loss_type="grpo",
        beta=0.0,
        epsilon=0.2,
        epsilon_high=0.28,
        temperature=TEMPERATURE,
        learning_rate=config.learning_rate,
        report_to=[],
    )
    trainer = GRPOTrainer(
        model=PeftModel.from_pretrained(base, folder, is_trainable=True),
        reward_funcs=_never_asked,
        args=settings,
        train_dataset=Dataset.from_list([{"prompt": ""}] * num_turns),
        processing_class=AutoTokenizer.from_pretrained(model_path, padding_side="left"),
    )
    trainer.create_optimizer()
    trainer.current_gradient_accumulation_steps = num_turns
    return trainer


def _never_asked(**_: object) -> list[float]:
    raise NotImplementedError  # the rewards are in the samples


def _micro_batch(sample: Sample, drawn: Sequence[float]) -> dict[str, torch.Tensor]:
    prompt, completion = torch.tensor([sample.prompt_ids]), torch.tensor([sample.response_ids])
    return {
        "prompt_ids": prompt,
        "prompt_mask": torch.ones_like(prompt),
        "completion_ids": completion,
        "completion_mask": torch.ones_like(completion),
        "advantages": torch.tensor([sample.reward]),
        "old_per_token_logps": torch.tensor([drawn]),
        "num_items_in_batch": torch.tensor(float(len(sample.response_ids))),
    }


def _gradients(trainer: Any) -> Iterator[torch.Tensor]:
    """By name, as `TorchBackend.adapter` names weights, so that gradients of both can be laid side by side."""
    trained = {name: weight for name, weight in trainer.model.named_parameters() if weight.requires_grad}
    return (trained[name].grad for name in sorted(trained))
