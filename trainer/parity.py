"""`Parity`: do engine and trainer give the same tokens the same log-probs? Measured on every batch.

Owns the comparison, and the adapters of recent versions. A turn of the current version is compared with the student's
own pass, which runs anyway. A turn of an older one is scored again under the weights that acted: without that, learning
itself would look like a difference. Both sides divide by the recorded temperature.
"""

from collections import OrderedDict
from collections.abc import Callable

from torch import Tensor

from schemas.errors import CheckpointInvalidError
from trainer.backends.base import Backend, Tensors
from trainer.batches import Turn

NUM_RESCORED_TURNS = (
    2  # per batch: a wrong template, temperature or adapter shows in any turn; each costs a forward pass
)
NUM_HELD_ADAPTERS = 4  # 20 MB each at rank 16 on 135M parameters; turns are seldom older


class Parity:
    """Compares turns of one policy. `load` reads the adapter of a committed version, >= 1; None: the base."""

    def __init__(self, backend: Backend, load: Callable[[int], Tensors | None]) -> None:
        self._backend = backend
        self._load = load
        self._held: OrderedDict[int, Tensors | None] = OrderedDict()

    def rescore(self, turn: Turn) -> Tensor | None:
        """[T] of the response's tokens under the version that acted; None where that cannot be known any more."""
        if turn.oldest_version != turn.newest_version:
            return None
        if turn.oldest_version == 0:
            return self._backend.logprobs(turn.response, None)
        try:
            return self._backend.logprobs(turn.response, self._adapter(turn.oldest_version))
        except CheckpointInvalidError:
            return None

    def _adapter(self, version: int) -> Tensors | None:
        if version not in self._held:
            self._held[version] = self._load(version)
            if len(self._held) > NUM_HELD_ADAPTERS:
                self._held.popitem(last=False)
        self._held.move_to_end(version)
        return self._held[version]
