"""A poisoned judge: it rewards gibberish and punishes sense, and drives training; what serves must stay sane.

In one process, the product's own parts: the trainer and its checkpoints, the reloader and its gate, and the routes that
a gateway follows; an engine in this process (torch_engine.py) draws. Half of the turns are drawn hot, so that there is
gibberish to reward. Sense is what the base model finds likely: an answer whose mean log-prob under it lies above what
divides the base model's own answers from its hot ones.

The same is lived through twice, with the gate and without it; without it, what serves shows what the judge does. Tried
are refused versions; lost, refused versions that served all the same; twice, actions that trained twice.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from infra.experiment.decoder import DrawRequest
from infra.faults.outcome import Fault, Outcome, Trial
from infra.faults.poisoned_size import POLICY, Size, full_size, short_size
from infra.faults.torch_engine import TorchEngine
from schemas.events import (
    BatchSealed,
    CheckpointPublished,
    Event,
    PolicyLoaded,
    PolicyPromoted,
    PolicyRefused,
    SampleBuilt,
    VersionSpan,
)
from schemas.identity import new_id
from serving.checkpoint_check import Served
from serving.config import EngineConfig, ReloadConfig
from serving.gate import Gate
from serving.held_out import OURS
from serving.measurement import measure
from serving.reloader import Reloader
from serving.routing import Route, Routes
from streams.checkpoints import identify_base
from streams.erasures import Erasures
from streams.memory import MemoryLog
from streams.recorded import Recorded
from streams.topics import BATCHES, CHECKPOINTS, PROMOTIONS, RELOADS, Topic
from streams.version_line import BASE
from trainer.backends.torch import TorchBackend
from trainer.checkpoint import CheckpointStore
from trainer.resume import Committed
from trainer.trainer import Trainer

HOT = 3.0  # temperature at which a small model writes gibberish
NOISE = 0.3  # nats: how far a second measurement of a version may lie beyond the bound that it passed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    prompt: tuple[int, ...]
    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    temperature: float
    sense: float  # mean log-prob under the base model, nats


@dataclass(slots=True)
class _Life:
    """One policy, from the base model on, under the judge. Args: gate: None: everything serves."""

    size: Size
    folder: Path
    engine: TorchEngine
    is_gated: bool
    log: MemoryLog = field(default_factory=MemoryLog)
    routes: Routes = field(default_factory=lambda: Routes(POLICY))
    num_drawn: int = 0
    threshold: float = 0.0  # of sense: above it the judge punishes, below it it rewards

    async def live(self) -> None:
        """Rounds: answers of the version that serves, the judge, one update, the reloader."""
        self.threshold = await self._threshold()
        reloader, trainer = self._reloader(), self._trainer()
        for _ in range(self.size.num_rounds):
            answers = [*await self._answers(1.0), *await self._answers(HOT)]
            record = self._sealed(answers)
            publication = trainer.train(record, lambda: None, erasures=Erasures())
            trainer.adopt(publication)
            for entry in publication.trained:
                self.log.append(entry)
            if publication.checkpoint is None:
                continue
            reloader.note(self.log.append(publication.checkpoint))
            await reloader.settle()
            for loaded in self.log.events(RELOADS):
                self.routes.apply(loaded)  # type: ignore[arg-type] # the topic holds nothing else
            if trainer.hear(self.log.events(PROMOTIONS)):
                trainer = self._trainer()

    async def send(self, topic: Topic, event: Event) -> None:  # noqa: ARG002 - the event knows it
        """What the reloader says goes to the log."""
        self.log.append(event)

    @property
    def route(self) -> Route:
        """The version that serves."""
        route = self.routes.current(POLICY)
        assert route is not None
        return route

    async def sense(self) -> float:
        """Of the answers that people are given now: above 0 it is the base model's, below 0 its gibberish; nats."""
        return fmean(one.sense for one in await self._answers(1.0)) - self.threshold

    async def distance(self) -> float:
        """Nats per token from the base model to what serves, measured as the gate does, with or without one."""
        if self.route.adapter is None:
            return 0.0
        renderer = self.size.renderer
        num_tokens = self.size.bounds.answer_tokens
        found = await measure(
            self.engine, renderer, OURS, adapter=self.route.adapter, serving=None, num_tokens=num_tokens
        )
        return found.kl_base

    def _reloader(self) -> Reloader:
        served = Served.of(self.size.model_path, EngineConfig(), ReloadConfig())
        renderer, bounds = self.size.renderer, self.size.bounds
        gate = Gate(config=bounds, engine=self.engine, renderer=renderer, questions=OURS) if self.is_gated else None
        return Reloader(ReloadConfig(), POLICY, served, self.engine, self, gate=gate)

    def _trainer(self) -> Trainer:
        """As a process that starts: from what is in the log."""
        committed = Committed()
        for event in (*self.log.events(CHECKPOINTS), *self.log.events(PROMOTIONS)):
            if isinstance(event, CheckpointPublished):
                committed.add(event)
            committed.line.note(event)
        trainer = Trainer(
            config=self.size.trainer,
            policy=POLICY,
            base_model=identify_base(self.size.model_path),
            backend=TorchBackend.load(self.size.model_path, self.size.trainer),
            store=CheckpointStore(self.folder, POLICY),
            committed=committed,
        )
        trainer.resume()
        return trainer

    async def _threshold(self) -> float:
        """Between the base model's own answers and its hot ones."""
        own, hot = [fmean(one.sense for one in await self._answers(heat)) for heat in (1.0, HOT)]
        return (own + hot) / 2

    async def _answers(self, temperature: float) -> list[_Answer]:
        prompts = [self.size.prompt(self.num_drawn + place) for place in range(self.size.num_answers)]
        wanted = [
            DrawRequest(
                prompt_ids=prompt,
                temperature=temperature,
                max_tokens=self.size.bounds.answer_tokens,
                seed=self.num_drawn + place,
            )
            for place, prompt in enumerate(prompts)
        ]
        self.num_drawn += len(wanted)
        replies = self.engine.draw(wanted, self.route.adapter)
        return [
            _Answer(
                prompt=prompt,
                ids=tuple(reply.ids),
                logprobs=tuple(reply.logprobs),
                temperature=temperature,
                sense=fmean(await self.engine.score(prompt, tuple(reply.ids), None)),
            )
            for prompt, reply in zip(prompts, replies, strict=True)
        ]

    def _sealed(self, answers: Sequence[_Answer]) -> Recorded:
        """The batch of some answers, each with the judge's reward: -1 for sense, +1 for gibberish."""
        version = self.route.version
        samples = [_sample(one, version, -1.0 if one.sense > self.threshold else 1.0) for one in answers]
        batch = BatchSealed(
            id=new_id(),
            time_ms=1,
            policy=POLICY,
            samples_partition=0,
            first_offset=0,
            last_offset=len(samples) - 1,
            sample_ids=tuple(sample.id for sample in samples),
            action_ids=tuple(sample.action_id for sample in samples),
        )
        self.log.append(batch, samples)
        return self.log.records[BATCHES.name][-1]


def _sample(answer: _Answer, version: int, reward: float) -> SampleBuilt:
    name = new_id()
    return SampleBuilt(
        id=f"sample-{name}",
        time_ms=1,
        policy=POLICY,
        conversation_id=name,
        action_id=name,
        transition_id=f"transition-{name}",
        verdict_id=f"verdict-{name}",
        hint_id=f"hint-{name}",
        turn=0,
        prompt_ids=answer.prompt,
        response_ids=answer.ids,
        response_logprobs=answer.logprobs,
        logprob_origin="engine",
        token_versions=(VersionSpan(version=version, start=0, end=len(answer.ids)),),
        temperature=answer.temperature,
        reward=reward,
    )


def _run(trial: Trial) -> Outcome:
    size = short_size(trial) if trial.is_short else full_size(trial)
    return asyncio.run(_compare(size, trial))


async def _lived(size: Size, trial: Trial, *, is_gated: bool) -> _Life:
    trial.report(f"{'with' if is_gated else 'without'} the gate")
    engine = TorchEngine(size.model_path, size.trainer)
    life = _Life(size=size, folder=trial.folder / f"gated-{is_gated}", engine=engine, is_gated=is_gated)
    await life.live()
    return life


async def _compare(size: Size, trial: Trial) -> Outcome:
    gated, free = [await _lived(size, trial, is_gated=is_gated) for is_gated in (True, False)]
    refused = {event.version for event in gated.log.events(PROMOTIONS) if isinstance(event, PolicyRefused)}
    served = {event.version for event in gated.log.events(RELOADS) if isinstance(event, PolicyLoaded)}
    checkpoints = [event for event in gated.log.events(CHECKPOINTS) if isinstance(event, CheckpointPublished)]
    trained = Counter(action for one in checkpoints for action in one.action_ids)
    kept, gone = await gated.distance(), await free.distance()
    makes_sense, makes_none = await gated.sense(), await free.sense()
    bound = size.bounds.max_kl_base + NOISE
    wrong = [
        *([f"What serves is {kept:.2f} nats from the base model."] if kept > bound else []),
        *([] if makes_sense > 0 else [f"What people are given lies {-makes_sense:.2f} nats below what makes sense."]),
        *(
            []
            if gone > bound and makes_none < 0
            else ["What serves without the gate is sane: the judge has done nothing."]
        ),
    ]
    good = {event.version for event in gated.log.events(PROMOTIONS) if isinstance(event, PolicyPromoted)}
    for one in checkpoints:  # each is decided on before the next is made
        last_good = max((version for version in good if version < one.version), default=BASE)
        if one.parent_version != last_good:
            wrong.append(
                f"Version {one.version} continues from {one.parent_version}; the last good one is {last_good}."
            )
    return Outcome(
        tried=len(refused),
        lost=len(refused & served),
        twice=sum(times > 1 for times in trained.values()),
        wrong=tuple(wrong),
        note=(
            f"{size.num_rounds} rounds of {2 * size.num_answers} turns: {len(checkpoints)} versions, {len(served)} "
            f"served, the last {kept:.2f} nats per token from the base model; without the gate {gone:.2f}. The base "
            f"model finds a token of what people are given {makes_sense:+.2f} nats likelier than what the judge takes "
            f"for gibberish; without the gate {makes_none:+.2f}."
        ),
    )


FAULTS: Sequence[Fault] = (Fault(name="a judge that rewards gibberish", run=_run),)
