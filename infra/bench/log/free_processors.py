"""The live processors, with judgements that cost nothing: `python -m ...free_processors SETTINGS HEARTBEAT`.

For benchmarks of everything else that processors do. Every other transition is bad and gets a hint, the others are
good; so all train, and half have a teacher prompt to render.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from infra.handover import take_over
from processors.app import run_processors
from processors.ports import Hints, Judgement
from schemas.events import Score, TransitionJoined
from serving.rendering import ChatRenderer

HINT = "Answer in one paragraph of full sentences, without a list."


class FreeJudge:
    """Scores by a transition's id: as many good as bad (`processors.ports.Judge`)."""

    name, version = "free", "1"

    async def judge(self, transitions: Sequence[TransitionJoined]) -> list[Judgement]:
        """No words are read."""
        scores: list[Score] = [1 if int(transition.id, 16) % 2 else -1 for transition in transitions]
        return [Judgement(score=score, votes=(score,)) for score in scores]


class FreeExtractor:
    """The same hint for all that is bad (`processors.ports.HintExtractor`)."""

    name, version = "free", "1"

    async def extract(self, transition: TransitionJoined, judgement: Judgement) -> Hints:  # noqa: ARG002 - a HintExtractor
        """No words are read."""
        return Hints(hints=(HINT,)) if judgement.score == -1 else Hints(hints=(), reason="nothing to better")


if __name__ == "__main__":
    settings = take_over(Path(sys.argv[1]))
    run_processors(
        settings.processors,
        settings.kafka,
        FreeJudge(),
        FreeExtractor(),
        ChatRenderer(Path(str(settings.engine.model_path)), settings.engine.context_length),
        settings.home,
        Path(sys.argv[2]),
    )
