"""`ReactionJudge`: reads what the user, or else the tool, did after an action; embedded, offline, one vote.

Consumes transitions; a user's word outweighs a tool's. User replies go through the sentence embedder and the
classifier, tool results through patterns. Unsure is an abstention.
"""

import asyncio
import threading
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Final

import numpy as np

from schemas.events import TransitionJoined
from schemas.identity import digest_bytes, digest_text
from schemas.judgement import Judgement
from serving.config import JudgeConfig
from serving.judges.classifier import SCORES, ReplyClassifier
from serving.judges.embedding import SentenceEmbedder, find_model
from serving.judges.features import Exchange, embed_exchanges, feature_matrix
from serving.judges.lexicon import Lexicon, load_lexicon
from serving.judges.next_state import read_next_state, read_question
from serving.judges.tool_result import read_tool_results
from serving.judges.training import classifier_version, load_or_train

_RULES: Final = ("next_state.py", "reaction.py", "tool_result.py")  # what verdicts follow from beside the classifier
_MOST_CHARS: Final = 20_000  # of a question or an answer; the embedder reads their first hundred words


class ReactionJudge:
    """The embedded judge (processors.ports.Judge)."""

    name = "reaction"

    def __init__(self, version: str, embedder: SentenceEmbedder, classifier: ReplyClassifier, lexicon: Lexicon) -> None:
        self.version = version
        self._embedder = embedder
        self._classifier = classifier
        self._lexicon = lexicon
        self._reading = threading.Lock()  # the embedder is not for several threads at once

    async def judge(self, transitions: Sequence[TransitionJoined]) -> list[Judgement]:
        """One judgement per transition, in order."""
        return await asyncio.to_thread(self._judge, transitions)

    def _judge(self, transitions: Sequence[TransitionJoined]) -> list[Judgement]:
        exchanges = {place: exchange for place, one in enumerate(transitions) if (exchange := read_exchange(one))}
        replies = dict(zip(exchanges, self._read(list(exchanges.values())), strict=True))
        return [replies[place] if place in replies else _without_user(one) for place, one in enumerate(transitions)]

    def _read(self, exchanges: Sequence[Exchange]) -> list[Judgement]:
        if not exchanges:
            return []
        with self._reading:
            embedded = embed_exchanges(exchanges, self._embedder)
        features = feature_matrix(exchanges, embedded, self._lexicon)
        return [self._judgement(row) for row in self._classifier.probabilities(features)]

    def _judgement(self, probabilities: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> Judgement:
        best = int(probabilities.argmax())
        score, confidence = SCORES[best], float(probabilities[best])
        if not self._classifier.dares(probabilities[None])[0]:
            return Judgement(
                score=None,
                votes=(None,),
                confidence=confidence,
                abstention=f"unsure: {score:+d} with confidence {confidence:.2f}",
            )
        return Judgement(score=score, votes=(score,), confidence=confidence)


def load_reaction_judge(config: JudgeConfig, cache: Path) -> ReactionJudge:
    """The judge of this machine; trains its classifier once, and keeps it in the cache folder.

    Raises:  MissingRuntimeError: no embedder.
    """
    model = find_model(config.embedder_path)
    embedder = SentenceEmbedder(model)
    trained = classifier_version(model)
    version = digest_text(trained, *(digest_bytes((files("serving.judges") / name).read_bytes()) for name in _RULES))
    return ReactionJudge(version, embedder, load_or_train(cache, trained, embedder), load_lexicon())


def read_exchange(transition: TransitionJoined) -> Exchange | None:
    """What the user said to what; None where no user said anything."""
    reply = read_next_state(transition).reply
    if not reply:
        return None
    question, answer = read_question(transition), transition.reply.content
    return Exchange(question=question[:_MOST_CHARS], answer=answer[:_MOST_CHARS], reply=reply)


def _without_user(transition: TransitionJoined) -> Judgement:
    if transition.kind == "ended":
        return Judgement(score=None, votes=(None,), abstention="no next state")
    results = read_next_state(transition).results
    if not results and transition.exit_code is None:
        return Judgement(score=None, votes=(None,), abstention="the reply holds no text")
    return read_tool_results(results, transition.exit_code)
