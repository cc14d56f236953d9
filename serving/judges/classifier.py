"""`ReplyClassifier`: a reply's score and how sure it is, by multinomial logistic regression; and its place on disk.

Plain arrays in an .npz file, so that a cached classifier is data and never code. Fitted by serving/judges/training.py.
Legend: N exchanges, F features, 3 scores in the order of `SCORES`.
"""

import os
import secrets
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.events import Score
from serving.judges.embedding import Matrix

# A complaint is scored from this share of the confidence that the other two need: it carries the hint, so that missing
# one costs more than now and then taking a neutral word for one. Praise, which would train the fault in, stays strict.
COMPLAINT_LENIENCE: Final = 0.8
SCORES: Final[tuple[Score, Score, Score]] = (-1, 0, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyClassifier:
    """Fitted weights, and the confidence below which its word should not count."""

    weights: npt.NDArray[np.float64]  # [F, 3]
    bias: npt.NDArray[np.float64]  # [3]
    min_confidence: float

    def dares(self, probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """[N], where the likeliest score is sure enough to count."""
        return sure_enough(probabilities, self.min_confidence)

    def probabilities(self, features: Matrix) -> npt.NDArray[np.float64]:
        """[N, 3], rows sum to 1."""
        logits = features @ self.weights + self.bias
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares: npt.NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
        return shares


def sure_enough(probabilities: npt.NDArray[np.float64], min_confidence: float) -> npt.NDArray[np.bool_]:
    """[N], where the likeliest of three scores reaches the confidence that it needs."""
    needed = np.where(probabilities.argmax(axis=1) == SCORES.index(-1), COMPLAINT_LENIENCE, 1.0) * min_confidence
    is_sure: npt.NDArray[np.bool_] = probabilities.max(axis=1) >= needed
    return is_sure


def save_classifier(classifier: ReplyClassifier, path: Path) -> None:
    """Write it whole or not at all; two processes may do so at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{secrets.token_hex(4)}.partial")
    with partial.open("wb") as file:
        np.savez(file, **asdict(classifier))
    os.replace(partial, path)


def load_classifier(path: Path) -> ReplyClassifier | None:
    """The classifier of a file; None where there is none that can be read."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return ReplyClassifier(
                weights=arrays["weights"], bias=arrays["bias"], min_confidence=float(arrays["min_confidence"])
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
