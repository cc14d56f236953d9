"""Judges and hint extractors of the experiment's controls and variants, around the ordinary ones."""

from collections.abc import Sequence
from dataclasses import replace

from infra.experiment.methods import Method
from infra.home import Home
from processors.ports import HintExtractor, Hints, Judge, Judgement
from schemas.events import Score, TransitionJoined
from serving.config import HintsConfig, JudgeConfig
from serving.hints.verbatim import MIN_HINT_CHARS, correction
from serving.judges.factory import make_extractor, make_judge

_NEGATED: dict[Score | None, Score | None] = {1: -1, -1: 1, 0: 0, None: None}


class FlippedJudge:
    """Says the opposite of another judge: a method that learns from it must not improve."""

    name = "flipped"

    def __init__(self, judge: Judge) -> None:
        self.version = judge.version
        self._judge = judge

    async def judge(self, transitions: Sequence[TransitionJoined]) -> list[Judgement]:
        """The other's judgements, negated."""
        return [
            replace(one, score=_NEGATED[one.score], votes=tuple(_NEGATED[vote] for vote in one.votes))
            for one in await self._judge.judge(transitions)
        ]


class NoHints:
    """Never finds hindsight."""

    name, version = "none", "1"

    async def extract(self, transition: TransitionJoined, judgement: Judgement) -> Hints:  # noqa: ARG002
        """None."""
        return Hints(hints=(), reason="this method takes no hints")


class FollowUpHints:
    """The user's reply is teacher context, whatever its verdict."""

    name, version = "follow-up", "1"

    async def extract(self, transition: TransitionJoined, judgement: Judgement) -> Hints:  # noqa: ARG002
        """What the user said next."""
        said = correction(transition)
        return Hints(hints=(said,)) if len(said) >= MIN_HINT_CHARS else Hints(hints=(), reason="the reply is too short")


def judge_of(method: Method, home: Home) -> Judge:
    """Who judges in a method."""
    judge = make_judge(JudgeConfig(), home.judge)
    return FlippedJudge(judge) if method.judging == "flipped" else judge


def extractor_of(method: Method) -> HintExtractor:
    """Who writes hints in a method."""
    match method.hinting:
        case "verbatim":
            return make_extractor(HintsConfig())
        case "follow_up":
            return FollowUpHints()
        case "none":
            return NoHints()
