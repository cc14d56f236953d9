"""`judge_all` and `extract_all`: what models say of transitions, as events that are recorded before they are used.

The only stage that asks models. Every asked transition gets a verdict and a hint, also where the judge abstained or
there is no hint: then the event says why. A judge that fails abstains with its reason, on what it fails on and on
nothing else; a score is never made up.

Consumes TransitionJoined, produces VerdictReached with HintExtracted, or TurnSkipped for what `ended`.
"""

import asyncio
import logging
from collections.abc import Sequence

from processors.join import skip
from processors.ports import HintExtractor, Hints, Judge, Judgement
from schemas.context import context_of
from schemas.events import HintExtracted, TransitionJoined, TurnSkipped, VerdictReached
from schemas.identity import derived_id

STAGE = "assess"
VERSION = "1"
MAX_HINTS = 3  # openclaw-rl.md: the loss chooses among at most three

_LOGGER = logging.getLogger(__name__)


def skip_ended(transition: TransitionJoined) -> TurnSkipped:
    """The skip of an action that nothing followed."""
    return skip(transition.action_id, "no_next_state", transition, stage=STAGE)


async def judge_all(transitions: Sequence[TransitionJoined], judge: Judge) -> list[VerdictReached]:
    """A verdict per transition, in order. Never raises for what the judge does."""
    judgements = await _judgements(transitions, judge)
    return [
        verdict_of(transition, judgement, judge) for transition, judgement in zip(transitions, judgements, strict=True)
    ]


async def extract_all(
    judged: Sequence[tuple[TransitionJoined, VerdictReached]], extractor: HintExtractor
) -> list[HintExtracted]:
    """A hint event per judged transition, in order. Never raises for what the extractor does."""
    found = await asyncio.gather(*(_hints(transition, verdict, extractor) for transition, verdict in judged))
    return [hint_of(*pair, hints, extractor) for pair, hints in zip(judged, found, strict=True)]


def verdict_of(transition: TransitionJoined, judgement: Judgement, judge: Judge) -> VerdictReached:
    """The record of a judgement."""
    return VerdictReached(
        id=derived_id(STAGE, VERSION, (transition.id, judge.name, judge.version)),
        transition_id=transition.id,
        action_id=transition.action_id,
        score=judgement.score,
        votes=judgement.votes,
        confidence=judgement.confidence,
        abstention=judgement.abstention,
        judge=judge.name,
        judge_version=judge.version,
        **context_of(transition),
    )


def hint_of(
    transition: TransitionJoined, verdict: VerdictReached, hints: Hints, extractor: HintExtractor
) -> HintExtracted:
    """The record of what the extractor found."""
    return HintExtracted(
        id=derived_id(STAGE, VERSION, (transition.id, verdict.id, extractor.name, extractor.version)),
        transition_id=transition.id,
        action_id=transition.action_id,
        hints=hints.hints[:MAX_HINTS],
        reason=hints.reason,
        extractor=extractor.name,
        extractor_version=extractor.version,
        **context_of(transition),
    )


async def _judgements(transitions: Sequence[TransitionJoined], judge: Judge) -> list[Judgement]:
    try:
        judgements = await judge.judge(transitions)
    except Exception as error:
        if len(transitions) > 1:  # one of them may be at fault: the others are not to pay for it
            return [judgement for each in transitions for judgement in await _judgements([each], judge)]
        _LOGGER.warning("judge %s failed, abstaining: %s", judge.name, error)
        reason = f"judge {judge.name} failed: {type(error).__name__}: {error}"
        return [Judgement(score=None, votes=(), abstention=reason)]
    if len(judgements) != len(transitions):
        reason = f"judge {judge.name} answered {len(judgements)} times on {len(transitions)} transitions"
        return [Judgement(score=None, votes=(), abstention=reason)] * len(transitions)
    return judgements


async def _hints(transition: TransitionJoined, verdict: VerdictReached, extractor: HintExtractor) -> Hints:
    judgement = Judgement(
        score=verdict.score, votes=verdict.votes, confidence=verdict.confidence, abstention=verdict.abstention
    )  # as recorded: what was not recorded must not have an effect
    try:
        return await extractor.extract(transition, judgement)
    except Exception as error:
        _LOGGER.warning("hint extractor %s failed: %s", extractor.name, error)
        return Hints(hints=(), reason=f"extractor {extractor.name} failed: {type(error).__name__}: {error}")
