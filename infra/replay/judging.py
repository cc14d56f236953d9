"""`RecordedAssessment`: the assess stage, with the answers that models gave when the log was recorded.

A transition is judged as whoever judged it then, under that name and version, so that an upgrade of the judge in the
middle of a log replays too. A transition that nobody had judged yet stays so.

Consumes `transitions`; produces `verdicts`, `hints`, and `skips` for what ended, as `processors.assess_stage` does.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from infra.replay.history import Judged, Pair
from processors.assess import judge_all
from processors.assess_stage import AssessStage
from processors.emit import Emission
from processors.ports import Hints, Judgement
from processors.stage import Emits
from schemas.events import Event, TransitionJoined
from streams.recorded import Recorded
from streams.topics import Topic

_Makers = tuple[str, str, str, str]  # judge, its version, extractor, its version
_NOBODY: _Makers = ("", "", "", "")


def nothing_recorded(topics: Sequence[Topic], since_ms: int | None) -> Iterator[Event]:  # noqa: ARG001 - a ReadLog
    """What a stage finds that has written nothing yet (`processors.recall.ReadLog`)."""
    return iter(())


def pair_of(transition: TransitionJoined) -> Pair:
    """What a transition pairs: unlike its id, the same in every version of the code."""
    return transition.action_id, transition.next_state_id


class RecordedJudge:
    """Judges as was recorded (`processors.ports.Judge`)."""

    def __init__(self, name: str, version: str, judged: Mapping[Pair, Judged]) -> None:
        self.name = name
        self.version = version
        self._judged = judged

    async def judge(self, transitions: Sequence[TransitionJoined]) -> list[Judgement]:
        """What the recorded verdicts say."""
        verdicts = [self._judged[pair_of(each)].verdict for each in transitions]
        return [
            Judgement(score=each.score, votes=each.votes, confidence=each.confidence, abstention=each.abstention)
            for each in verdicts
        ]


class RecordedExtractor:
    """Gives the recorded hints (`processors.ports.HintExtractor`)."""

    def __init__(self, name: str, version: str, judged: Mapping[Pair, Judged]) -> None:
        self.name = name
        self.version = version
        self._judged = judged

    async def extract(self, transition: TransitionJoined, judgement: Judgement) -> Hints:  # noqa: ARG002
        """What the recorded hint says."""
        hint = self._judged[pair_of(transition)].hint
        assert hint is not None  # RecordedAssessment asks for no other
        return Hints(hints=hint.hints, reason=hint.reason)


class RecordedAssessment:
    """One `AssessStage` per pair of judge and extractor that were at work (a `Stage`)."""

    def __init__(self, emitter: Emits, judged: Mapping[Pair, Judged]) -> None:
        self._emitter = emitter
        self._judged = judged
        self._stages: dict[_Makers, AssessStage] = {}

    async def handle(self, records: Sequence[Recorded]) -> Sequence[Recorded]:
        """Judge what was judged then."""
        by_makers: defaultdict[_Makers, list[Recorded]] = defaultdict(list)
        for record in records:
            event = record.event
            if not isinstance(event, TransitionJoined) or event.kind == "ended":
                by_makers[_NOBODY].append(record)
            elif (judged := self._judged.get(pair_of(event))) is not None and judged.hint is not None:
                by_makers[_makers(judged)].append(record)
            elif judged is not None:
                await self._judge_alone(event, record, judged)
        for makers, theirs in by_makers.items():
            await self._stage_of(makers).handle(theirs)
        return records

    def reset(self) -> None:
        """Nothing is remembered that could be stale."""

    async def _judge_alone(self, transition: TransitionJoined, record: Recorded, judged: Judged) -> None:
        """The log ends between verdict and hint."""
        judge = RecordedJudge(judged.verdict.judge, judged.verdict.judge_version, self._judged)
        (verdict,) = await judge_all([transition], judge)
        await self._emitter.emit([Emission(event=verdict, cause=record)])

    def _stage_of(self, makers: _Makers) -> AssessStage:
        if makers not in self._stages:
            judge, extractor = RecordedJudge(*makers[:2], self._judged), RecordedExtractor(*makers[2:], self._judged)
            self._stages[makers] = AssessStage(judge, extractor, self._emitter, nothing_recorded)
        return self._stages[makers]


def _makers(judged: Judged) -> _Makers:
    assert judged.hint is not None
    verdict, hint = judged.verdict, judged.hint
    return verdict.judge, verdict.judge_version, hint.extractor, hint.extractor_version
