"""`StandingHints`: a user's last correction as teacher context for this user's turns that nobody corrected.

Stands where the turn stage emits: consumes samples in the order in which they are built; produces them with hints.
"""

from collections.abc import Sequence
from dataclasses import replace

from processors.chain import whole_prompt
from processors.emit import Emission
from processors.ports import Renderer
from schemas.events import ActionTaken, SampleBuilt
from schemas.prompt import Resolved
from streams.memory import MemoryLog
from streams.topics import ACTIONS


class StandingHints:
    """A log that adds to each sample that is emitted without a hint the last one of its user."""

    def __init__(self, log: MemoryLog, renderer: Renderer) -> None:
        self._log = log
        self._renderer = renderer
        self._last: dict[str, str] = {}  # by subject

    async def emit(self, emissions: Sequence[Emission]) -> None:
        """Write all, samples with the hint that stands."""
        await self._log.emit([self._with_hint(emission) for emission in emissions])

    def _with_hint(self, emission: Emission) -> Emission:
        sample = emission.event
        if not isinstance(sample, SampleBuilt):
            return emission
        if sample.hints:
            self._last[sample.subject] = sample.hints[0]
        hint = self._last.get(sample.subject)
        if sample.hints or hint is None:
            return emission
        actions = {event.id: event for event in self._log.events(ACTIONS) if isinstance(event, ActionTaken)}
        action = actions[sample.action_id]
        prompt = whole_prompt(action, actions.get)
        assert isinstance(prompt, Resolved)  # the sample was built from it
        ids = self._renderer.teacher_prompt_ids(prompt.messages, action.tools, action.template_arguments, hint)
        return replace(emission, event=replace(sample, hints=(hint,), teacher_prompt_ids=(ids,)))
