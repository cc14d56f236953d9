"""`train_classifier`: the reaction judge's classifier from its labelled replies, the same on every machine.

The threshold for abstaining comes from cross-validation in which a whole family of paraphrases is held out at once, so
that it is not set on sentences that the classifier has all but seen.
Legend: N replies, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.identity import digest_bytes, digest_text
from serving.judges.classifier import SCORES, ReplyClassifier, load_classifier, save_classifier
from serving.judges.embedding import Matrix, SentenceEmbedder
from serving.judges.features import embed_exchanges, feature_matrix
from serving.judges.lexicon import load_lexicon, without_terms
from serving.judges.replies import LabelledReply, read_replies

TARGET_COVERAGE: Final = 0.92  # share of unseen replies that the judge dares to score
NUM_FOLDS: Final = 5
_INVERSE_REGULARISATION: Final = 1.0
_WORDLESS_WEIGHT: Final = 0.2
_SOURCES: Final = (
    "data/replies.jsonl",
    "data/cues.toml",
    "lexicon.py",
    "embedding.py",
    "features.py",
    "classifier.py",
    "training.py",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSet:
    """Replies as numbers. `wordless` are the same replies read by a lexicon without words."""

    features: Matrix  # [N, F]
    wordless: Matrix  # [N, F]
    labels: npt.NDArray[np.int64]  # [N]
    families: tuple[str, ...]  # [N]


def build_training_set(replies: Sequence[LabelledReply], embedder: SentenceEmbedder) -> TrainingSet:
    """The numbers of labelled replies."""
    exchanges = [reply.exchange for reply in replies]
    embedded, lexicon = embed_exchanges(exchanges, embedder), load_lexicon()
    return TrainingSet(
        features=feature_matrix(exchanges, embedded, lexicon),
        wordless=feature_matrix(exchanges, embedded, without_terms(lexicon)),
        labels=np.array([reply.label for reply in replies]),
        families=tuple(reply.family for reply in replies),
    )


def fit(training: TrainingSet, rows: npt.NDArray[np.int64]) -> ReplyClassifier:
    """A classifier of these rows, without a threshold.

    Each row is learnt twice, the second time with little weight and as if none of its words were known: a complaint
    in words that no list holds must not look like small talk.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    labels = training.labels[rows]
    weights = np.concatenate([np.ones(len(rows)), np.full(len(rows), _WORDLESS_WEIGHT)])
    model = LogisticRegression(C=_INVERSE_REGULARISATION, max_iter=2_000)
    with threadpool_limits(1):  # these matrices are small: on a busy machine more threads take ten times as long
        model.fit(
            np.vstack([training.features[rows], training.wordless[rows]]),
            np.concatenate([labels, labels]),
            sample_weight=weights,
        )
    return ReplyClassifier(weights=model.coef_.T, bias=model.intercept_, min_confidence=0.0)


def cross_validate(training: TrainingSet) -> npt.NDArray[np.float64]:
    """Probabilities [N, 3] of each reply by a classifier that saw no reply of its family."""
    from sklearn.model_selection import StratifiedGroupKFold

    probabilities = np.zeros((len(training.labels), len(SCORES)))
    folds = StratifiedGroupKFold(NUM_FOLDS, shuffle=True, random_state=0)
    for seen, unseen in folds.split(training.features, training.labels, training.families):
        probabilities[unseen] = fit(training, seen).probabilities(training.features[unseen])
    return probabilities


def train_classifier(training: TrainingSet) -> ReplyClassifier:
    """A classifier of all replies, that abstains on what its cross-validation was least sure of."""
    threshold = abstention_threshold(cross_validate(training))
    fitted = fit(training, np.arange(len(training.labels)))
    return replace(fitted, min_confidence=threshold)


def abstention_threshold(probabilities: npt.NDArray[np.float64]) -> float:
    """The confidence that all but the least sure of these cross-validated answers reach."""
    return float(np.quantile(probabilities.max(axis=1), 1 - TARGET_COVERAGE))


def classifier_version(model: Path) -> str:
    """Digest of all that the classifier follows from: labelled replies, cues, code, library and embedder."""
    folder = files("serving.judges")
    sources = [digest_bytes((folder / name).read_bytes()) for name in _SOURCES]
    embedder = digest_bytes((model / "model.safetensors").read_bytes())
    return digest_text(*sources, embedder, metadata.version("scikit-learn"))


def load_or_train(cache: Path, version: str, embedder: SentenceEmbedder) -> ReplyClassifier:
    """The classifier of this version from the cache folder; trained, and kept there, where there is none."""
    path = cache / f"reaction-{version}.npz"
    classifier = load_classifier(path)
    if classifier is None:
        classifier = train_classifier(build_training_set(read_replies(), embedder))
        save_classifier(classifier, path)
    return classifier
