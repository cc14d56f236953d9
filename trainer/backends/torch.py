"""`TorchBackend`: a LoRA adapter on a Hugging Face model, in one process.

Owns the model, its AdamW and the process's random generator. float32 throughout: the engine computes the same on CPU,
and log-probs of both are compared on every batch. The head runs on the responses' positions only: over a vocabulary of
50,000 the logits of the prompt would cost more memory than the model.

Responses that begin alike are one row (trainer/prefix_tree.py), never a padded batch: eight padded turns in one pass
take as long per turn as eight passes (0.94 s against 1.0 s for prompt 40 and response 64 tokens on one core).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import orjson
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from schemas.errors import MissingRuntimeError, RejectedError, SettingsError
from trainer.backends.base import ADAPTER_WEIGHTS, Response, Tensors
from trainer.config import TrainerConfig
from trainer.prefix_tree import PrefixTree, share

ADAPTER_CONFIG = "adapter_config.json"  # PEFT's name, too
_PEFT_NAME = "default"  # PEFT's name of the only adapter; it leaves it out of tensor names in files
_RANDOM = "random.torch"
# The row at which attention costs as much as all other layers, per unit of the model's width; measured on one core at
# width 576. From operations alone it would be 6: attention is the slower kernel, most of all its backward.
_EVEN_TOKENS_PER_WIDTH = 2.4
_EVEN_TOKENS_PER_WIDTH_FROZEN = 3.8
_FROZEN_ROWS = 4  # without a gradient no layer's activations stay in memory, so a row may be this much longer


class TorchBackend:
    """Implements `trainer.backends.base.Backend`; build it with `load`."""

    def __init__(self, model: Any, optimizer: torch.optim.AdamW, config: TrainerConfig) -> None:
        self._model = model
        self._optimizer = optimizer
        self._max_grad_norm = config.max_grad_norm
        self._max_pass_tokens = config.max_pass_tokens
        self._width = int(model.get_input_embeddings().embedding_dim)
        self._trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        self.vocab_size = int(model.get_input_embeddings().num_embeddings)

    @classmethod
    def load(cls, model_path: Path, config: TrainerConfig) -> Self:
        """The base model of a folder with a fresh adapter, which changes nothing until the first step.

        Threads and seed are the process's: a trainer is a process of its own.
        """
        if not (model_path / "config.json").is_file():
            message = f"There is no model in {model_path}; let `nextstate up` prepare it, or name a model folder."
            raise MissingRuntimeError(message)
        disable_progress_bar()  # it would fill a log file with carriage returns
        torch.set_num_threads(config.num_threads)
        torch.manual_seed(config.seed)
        base = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32, local_files_only=True)
        lora = LoraConfig(r=config.lora_rank, lora_alpha=config.lora_alpha, target_modules=list(config.lora_targets))
        try:
            model = get_peft_model(base, lora).eval()
        except ValueError as error:
            message = (
                f"The model in {model_path} has none of the layers of trainer.lora_targets: name its linear layers."
            )
            raise SettingsError(message) from error
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        # No weight decay: between two batches it would pull the adapter back towards the base that users corrected.
        optimizer = torch.optim.AdamW(trained, lr=config.learning_rate, weight_decay=0.0)
        return cls(model, optimizer, config)

    def groups(self, responses: Sequence[Response], *, frozen: bool) -> list[list[int]]:
        """Indices of the responses that are computed together, as `share` finds it worth."""
        return share(
            [_sequence(response) for response in responses],
            max_tokens=self._max_pass_tokens * (_FROZEN_ROWS if frozen else 1),
            even_tokens=self._width * (_EVEN_TOKENS_PER_WIDTH_FROZEN if frozen else _EVEN_TOKENS_PER_WIDTH),
        )

    def student(self, responses: Sequence[Response]) -> list[Tensor]:
        """[T, V] with gradient for each response of a group, under the weights as they are now."""
        return self._pass(responses)

    def base(self, responses: Sequence[Response]) -> list[Tensor]:
        """[T, V] without gradient for each response of a group, adapter off."""
        with torch.no_grad(), self._model.disable_adapter():
            return self._pass(responses)

    def logprobs(self, response: Response, adapter: Tensors | None) -> Tensor:
        """[T] without gradient, of the response's own tokens, under `adapter` (None: adapter off)."""
        if adapter is None:
            (logprobs_TV,) = self.base([response])
        else:
            with torch.no_grad(), self._swapped(adapter):
                (logprobs_TV,) = self._pass([response])
        return logprobs_TV.gather(-1, response.response_ids_T.long()[:, None])[:, 0]

    def backward(self, loss: Tensor) -> None:
        """Adds the gradient of a turn's loss to the batch's."""
        loss.backward()  # type: ignore[no-untyped-call]

    def step(self, num_turns: int) -> float:
        """One AdamW step along the mean gradient, clipped; a gradient that is 0 or not finite moves nothing."""
        for weight in self._trained.values():
            if weight.grad is not None:
                weight.grad.div_(num_turns)
        norm = float(torch.nn.utils.clip_grad_norm_(self._trained.values(), self._max_grad_norm))
        is_finite = norm < float("inf")  # False for NaN, too
        if is_finite and norm > 0:  # at 0 AdamW would still move on, by the momentum of earlier batches
            self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        if not is_finite:
            raise RejectedError(
                "The batch's gradient is not finite; its log-probs or rewards are not numbers to learn from."
            )
        return norm

    def adapter(self) -> Tensors:
        """A copy of the adapter, by PEFT's names in files."""
        return {_file_name(name): weight.detach().clone() for name, weight in self._trained.items()}

    def export_adapter(self, folder: Path) -> None:
        """Writes the two files of a PEFT adapter; equal weights give equal bytes."""
        save_file(dict(self.adapter()), folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})
        # The manifest names the base by its digest; where it lay on this machine is nobody else's business.
        own = {"inference_mode": True, "base_model_name_or_path": None}
        lora = self._model.peft_config[_PEFT_NAME].to_dict() | own
        # PEFT keeps layer names in a set, whose order differs from process to process.
        fields = {key: sorted(value) if isinstance(value, set) else value for key, value in lora.items()}
        (folder / ADAPTER_CONFIG).write_bytes(orjson.dumps(fields, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2))

    def state(self) -> Tensors:
        """A copy of AdamW's moments and step counts, and of the random generator."""
        moments = {
            f"{_file_name(name)}.{key}": value.detach().clone()
            for name, weight in self._trained.items()
            for key, value in self._optimizer.state.get(weight, {}).items()
        }
        return {**moments, _RANDOM: torch.get_rng_state()}

    def load_state(self, adapter: Tensors, state: Tensors) -> None:
        """Continues from a checkpoint's weights and state. The learning rate stays the configured one."""
        self._check_shapes(adapter)
        self._optimizer.state.clear()
        for name, weight in self._trained.items():
            weight.data.copy_(adapter[_file_name(name)])
            moments = {key: f"{_file_name(name)}.{key}" for key in ("step", "exp_avg", "exp_avg_sq")}
            if moments["step"] in state:  # AdamW has none until a first gradient that is not 0
                self._optimizer.state[weight] = {key: state[saved].clone() for key, saved in moments.items()}
        torch.set_rng_state(state[_RANDOM])

    def _pass(self, responses: Sequence[Response]) -> list[Tensor]:
        """[T, V] of each response, all in one row. Legend: R response tokens of all."""
        tree = PrefixTree.of([_sequence(response) for response in responses])
        lengths = [len(response.response_ids_T) for response in responses]
        # The logits before a token say what it was drawn from.
        before = [places_L[-length - 1 : -1] for places_L, length in zip(tree.places_SL, lengths, strict=True)]
        answer = self._model(
            input_ids=tree.ids_N[None],
            position_ids=tree.depths_N[None],
            attention_mask=None if tree.sees_NN is None else _additive(tree.sees_NN)[None, None],
            logits_to_keep=torch.cat(before),
            use_cache=False,
        )
        logits_RV: Tensor = answer.logits[0].float()
        temperatures = torch.tensor([response.temperature for response in responses])
        # In place: over a vocabulary of 50,000 a copy of [R, V] is 200 kB for each response token.
        logits_RV.div_(temperatures.repeat_interleave(torch.tensor(lengths))[:, None])
        return list(torch.split(torch.log_softmax(logits_RV, dim=-1), lengths))

    @contextmanager
    def _swapped(self, adapter: Tensors) -> Iterator[None]:
        """Other weights in place of the trained ones; by reference, so nothing is copied or rounded."""
        self._check_shapes(adapter)
        own = {name: weight.data for name, weight in self._trained.items()}
        try:
            for name, weight in self._trained.items():
                weight.data = adapter[_file_name(name)]
            yield
        finally:
            for name, weight in self._trained.items():
                weight.data = own[name]

    def _check_shapes(self, adapter: Tensors) -> None:
        expected = {_file_name(name): weight.shape for name, weight in self._trained.items()}
        if expected != {name: weight.shape for name, weight in adapter.items()}:
            raise SettingsError(
                "The checkpoint's adapter has another rank or other layers than trainer.lora_rank and "
                "trainer.lora_targets say: set them back, or start a policy of another name."
            )


def _sequence(response: Response) -> Tensor:
    return torch.cat((response.prompt_ids_P, response.response_ids_T))


def _additive(sees_NN: Tensor) -> Tensor:
    """What attention adds to its scores. Made once: from a bool every layer would make its own."""
    return torch.zeros(sees_NN.shape).masked_fill_(~sees_NN, float("-inf"))


def _file_name(name: str) -> str:
    return name.replace(f".{_PEFT_NAME}.", ".")
