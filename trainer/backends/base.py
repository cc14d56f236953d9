"""`Backend`: where forward and backward passes run, and the weights they move live.

Owns nothing but the contract. The loop calls `student` and `backward` once per group of turns, `step` once per
batch, and saves between steps; a method of training is never named here. Responses that come in one call are one of
`groups`'s groups and share work where they begin alike; what is answered for each is the same as alone, but for
rounding.

Legend: P prompt tokens, T response tokens, V vocabulary. Log-probs are log_softmax(logits / temperature), in nats, of
the response tokens' positions only: row t says what the policy thought before it drew response token t.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor

Tensors = Mapping[str, Tensor]

ADAPTER_WEIGHTS = "adapter_model.safetensors"  # PEFT's name, which engines look for and a checkpoint is loaded from


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """The tokens of one turn: what was read, what was answered, and at which temperature it was drawn."""

    prompt_ids_P: Tensor  # int32 or int64
    response_ids_T: Tensor
    temperature: float


class Backend(Protocol):
    """One policy's weights, with its frozen base."""

    vocab_size: int

    def groups(self, responses: Sequence[Response], *, frozen: bool) -> list[list[int]]:
        """Which responses, by index, are best computed together: bounded in memory, and each in exactly one group.

        Args:    frozen: for `base`, which keeps nothing for a gradient, and not for `student`.
        """

    def student(self, responses: Sequence[Response]) -> list[Tensor]:
        """[T, V] float32 with gradient for each response, under the weights as they are now."""

    def base(self, responses: Sequence[Response]) -> list[Tensor]:
        """[T, V] float32 without gradient for each response, under the frozen base."""

    def logprobs(self, response: Response, adapter: Tensors | None) -> Tensor:
        """[T] float32 without gradient: of the response's own tokens, under these weights (None: the frozen base)."""

    def backward(self, loss: Tensor) -> None:
        """Adds the gradient of a turn's loss to the batch's."""

    def step(self, num_turns: int) -> float:
        """Moves the weights by the mean gradient of `num_turns` turns, and forgets the gradient.

        Returns: the norm of the mean gradient before clipping.
        Raises:  RejectedError: the norm is not finite; the weights have not moved.
        """

    def adapter(self) -> Tensors:
        """A copy of the trained weights, by their names in a checkpoint."""

    def export_adapter(self, folder: Path) -> None:
        """Writes the trained weights in the format that the engine loads."""

    def state(self) -> Tensors:
        """A copy of all else that the next step depends on: optimizer moments and random generator."""

    def load_state(self, adapter: Tensors, state: Tensors) -> None:
        """Continues from these weights and this state.

        Raises:  SettingsError: they belong to an adapter of another rank or other target layers.
        """
