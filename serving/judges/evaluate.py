"""`evaluate`: how right the reaction judge is, and how often it dares to say.

`python -m serving.judges.evaluate` cross-validates on the labelled replies, a family at a time;
`python -m serving.judges.evaluate FILE.jsonl` trains on all of them and measures on replies of your own.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from serving.judges.classifier import SCORES, sure_enough
from serving.judges.embedding import SentenceEmbedder, find_model
from serving.judges.features import embed_exchanges, feature_matrix
from serving.judges.lexicon import load_lexicon
from serving.judges.replies import LabelledReply, read_replies
from serving.judges.training import abstention_threshold, build_training_set, cross_validate, fit


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was said of replies whose label is known. Shares are of the replies that were scored, not abstained on."""

    num_replies: int
    coverage: float  # share of replies that were scored
    accuracy: float
    accuracy_uncovered: float  # had it never abstained
    recall: dict[int, float]  # by label
    flips: float  # praise taken for complaint, or the reverse
    confidence: float  # mean; equals `accuracy` where the judge knows how sure it may be
    confusion: dict[tuple[int, int], int]  # (label, score) -> replies


def report(labels: Sequence[int], probabilities: npt.NDArray[np.float64], min_confidence: float) -> Report:
    """The figures of one set of replies."""
    label = np.array(labels)
    score = np.array(SCORES)[probabilities.argmax(axis=1)]
    confidence = probabilities.max(axis=1)
    kept = sure_enough(probabilities, min_confidence)
    return Report(
        num_replies=len(label),
        coverage=float(kept.mean()),
        accuracy=_mean(score[kept] == label[kept]),
        accuracy_uncovered=_mean(score == label),
        recall={value: _mean(score[kept & (label == value)] == value) for value in SCORES},
        flips=_mean(score[kept] * label[kept] == -1),
        confidence=_mean(confidence[kept]),
        confusion={
            (was, said): int(((label == was) & (score == said) & kept).sum()) for was in SCORES for said in SCORES
        },
    )


def _mean(values: npt.NDArray[np.bool_] | npt.NDArray[np.float64]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def lines(replies: Sequence[LabelledReply], probabilities: npt.NDArray[np.float64], threshold: float) -> Iterable[str]:
    """The report as text: overall, the confusion table, and by language."""
    overall = report([reply.label for reply in replies], probabilities, threshold)
    yield f"{overall.num_replies} replies, threshold {threshold:.2f}"
    yield _line("all", overall)
    yield f"without abstaining: accuracy {overall.accuracy_uncovered:.3f}; mean confidence {overall.confidence:.3f}"
    yield "label -> score    -1     0    +1"
    for was in SCORES:
        yield f"{was:+d}           " + "".join(f"{overall.confusion[was, said]:6d}" for said in SCORES)
    for language in sorted({reply.language for reply in replies}):
        rows = [row for row, reply in enumerate(replies) if reply.language == language]
        yield _line(language, report([replies[row].label for row in rows], probabilities[rows], threshold))


def _line(name: str, figures: Report) -> str:
    recall = " ".join(f"{label:+d}:{share:.2f}" for label, share in figures.recall.items())
    return (
        f"{name:4} n={figures.num_replies:<5} coverage {figures.coverage:.3f}  accuracy {figures.accuracy:.3f}  "
        f"recall {recall}  flips {figures.flips:.3f}"
    )


def main(arguments: Sequence[str]) -> None:
    """Print the report."""
    embedder = SentenceEmbedder(find_model())
    replies = read_replies()
    training = build_training_set(replies, embedder)
    probabilities = cross_validate(training)
    threshold = abstention_threshold(probabilities)
    if arguments:
        replies = read_replies(Path(arguments[0]))
        exchanges = [reply.exchange for reply in replies]
        features = feature_matrix(exchanges, embed_exchanges(exchanges, embedder), load_lexicon())
        probabilities = fit(training, np.arange(len(training.labels))).probabilities(features)
    sys.stdout.writelines(f"{line}\n" for line in lines(replies, probabilities, threshold))


if __name__ == "__main__":
    main(sys.argv[1:])
