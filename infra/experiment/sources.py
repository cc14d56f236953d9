"""Sample sources of the experiment: what a method adds to a built sample before it is packed.

Consumes samples in the order in which they are built; produces them with a field filled in. A sample is never made up
of nothing: what is added was said in the log.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from infra.experiment.methods import Source
from processors.chain import whole_prompt
from processors.emit import Emission
from processors.ports import Renderer
from schemas.events import ActionTaken, SampleBuilt
from schemas.prompt import Resolved
from streams.memory import MemoryLog
from streams.topics import ACTIONS


class _Adds(Protocol):
    def __call__(self, sample: SampleBuilt) -> SampleBuilt:
        """The sample with what the source adds."""


class StandingHints:
    """A user's last correction is teacher context for turns that were not corrected."""

    def __init__(self, log: MemoryLog, renderer: Renderer) -> None:
        self._log = log
        self._renderer = renderer
        self._last: dict[str, str] = {}  # by subject

    def __call__(self, sample: SampleBuilt) -> SampleBuilt:
        """The sample, with the last hint of its user where it has none."""
        if sample.hints:
            self._last[sample.subject] = sample.hints[0]
        hint = self._last.get(sample.subject)
        if sample.hints or hint is None:
            return sample
        actions = {event.id: event for event in self._log.events(ACTIONS) if isinstance(event, ActionTaken)}
        action = actions[sample.action_id]
        prompt = whole_prompt(action, actions.get)
        assert isinstance(prompt, Resolved)  # the sample was built from it
        ids = self._renderer.teacher_prompt_ids(prompt.messages, action.tools, action.template_arguments, hint)
        return replace(sample, hints=(hint,), teacher_prompt_ids=(ids,))


class Enriched:
    """A log that lets sources add to each sample that is emitted (`processors.stage.Emits`)."""

    def __init__(self, log: MemoryLog, sources: Sequence[_Adds]) -> None:
        self._log = log
        self._sources = sources

    async def emit(self, emissions: Sequence[Emission]) -> None:
        """Write all, samples with what was added."""
        await self._log.emit([self._with_sources(emission) for emission in emissions])

    def _with_sources(self, emission: Emission) -> Emission:
        event = emission.event
        if not isinstance(event, SampleBuilt):
            return emission
        for add in self._sources:
            event = add(event)
        return replace(emission, event=event)


def sources_of(names: Sequence[Source], log: MemoryLog, renderer: Renderer) -> list[_Adds]:
    """The named sources."""
    made: dict[Source, Callable[[], _Adds]] = {"standing_hints": lambda: StandingHints(log, renderer)}
    return [made[name]() for name in names]
