"""What must hold of requests and of the log while an engine dies, hangs and comes back. Pure, but for `read_evidence`.

* A request whose client has seen nothing is tried again unseen, and refused only when the gateway's patience is over.
* A stream in its middle ends with one error event; its action is recorded as `error`, skipped as `engine_error`, and
  never trained.
* Who asks after the return is answered by no older version than anybody was before, and the header names it.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from infra.faults.engine import BASE, speaker_of
from infra.faults.ledger import Asked
from schemas.events import ActionTaken, PolicyLoaded
from streams import topics
from streams.config import KafkaConfig
from streams.consumer import read_all

_IN_STREAM = "APIError: The engine"  # the openai SDK's own error for an error event, and how our sentences begin
_SLACK_S = 30.0  # what a machine that others use adds to a deadline
_EARLY_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """How long a gateway tries."""

    retry_s: float  # gateway.engine_retry_s
    token_s: float  # engine.token_timeout_s

    @property
    def longest_s(self) -> float:
        """No request may take longer to its error: the last try may begin when the patience ends."""
        return self.retry_s + self.token_s + _SLACK_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the log has of the engine's lives."""

    actions: dict[str, ActionTaken]
    skipped: dict[str, str]  # action id -> reason
    trained: frozenset[str]  # action ids
    reloads: tuple[PolicyLoaded, ...]


def read_evidence(kafka: KafkaConfig) -> Evidence:
    """Reads it. Blocking."""
    by_topic: dict[topics.Topic, list[Any]] = {
        topic: [record.event for record in read_all(kafka, [topic]) if record.event is not None]
        for topic in (topics.ACTIONS, topics.SKIPS, topics.TRAINED, topics.RELOADS)
    }
    return Evidence(
        actions={event.id: event for event in by_topic[topics.ACTIONS]},
        skipped={event.action_id: event.reason for event in by_topic[topics.SKIPS]},
        trained=frozenset(event.action_id for event in by_topic[topics.TRAINED]),
        reloads=tuple(by_topic[topics.RELOADS]),
    )


def broken_streams(requests: Sequence[Asked]) -> list[Asked]:
    """Those that had begun to speak and did not end."""
    return [one for one in requests if one.error is not None and one.first_s is not None]


def tried_again(requests: Sequence[Asked], away: Sequence[tuple[float, float]]) -> list[Asked]:
    """Those that were asked before a death, heard nothing until the return, and were answered. Args: away: of each."""
    return [
        one
        for one in requests
        if one.error is None
        and one.first_s is not None
        and any(one.at_s < struck_s and one.at_s + one.first_s > returned_s for struck_s, returned_s in away)
    ]


def unfair(requests: Sequence[Asked], deadlines: Deadlines) -> list[str]:
    """What no client should have seen, a sentence for each kind."""
    found = Counter(why for one in requests for why in [_unfair(one, deadlines)] if why)
    return [f"{times} times: {why}" for why, times in found.items()]


def _unfair(one: Asked, deadlines: Deadlines) -> str | None:
    if one.error is None:
        is_late = (one.first_s or 0.0) > deadlines.longest_s
        return f"an answer took longer than {deadlines.longest_s:g} s to begin" if is_late else None
    error = one.error
    if one.first_s is not None:
        if not error.startswith(_IN_STREAM):
            return f"a stream ended without the engine's error event: {error}"
        is_late = one.whole_s - one.first_s > deadlines.token_s + _SLACK_S
        return f"a silent stream was not ended within {deadlines.token_s:g} s" if is_late else None
    if one.status != HTTPStatus.SERVICE_UNAVAILABLE or "The engine" not in error:
        return f"a request failed with {error}"
    if one.whole_s < deadlines.retry_s - _EARLY_S:
        return f"a request was given up before its {deadlines.retry_s:g} s were over: {error}"
    return f"a request waited longer than {deadlines.longest_s:g} s" if one.whole_s > deadlines.longest_s else None


def mistold(broken: Sequence[Asked], evidence: Evidence) -> list[str]:
    """Broken streams of which the log says something else, by their action's id."""
    return [
        f"the broken stream {one.action_id}"
        for one in broken
        if (action := evidence.actions.get(str(one.action_id))) is None
        or action.finish_reason != "error"
        or evidence.skipped.get(action.id) != "engine_error"
    ]


def trained_though_broken(evidence: Evidence) -> list[str]:
    """Actions that an engine left unfinished, and that moved weights."""
    errors = {action.id for action in evidence.actions.values() if action.finish_reason == "error"}
    return sorted(errors & evidence.trained)


def num_stale(requests: Sequence[Asked]) -> int:
    """Answers by an older version than somebody had been answered by before they were asked for."""
    answered = [one for one in requests if one.error is None and one.version is not None]
    ends = sorted((one.end_s, one.version or 0) for one in answered)
    newest, place, stale = 0, 0, 0
    for one in sorted(answered, key=lambda one: one.at_s):
        while place < len(ends) and ends[place][0] < one.at_s:
            newest, place = max(newest, ends[place][1]), place + 1
        stale += (one.version or 0) < newest
    return stale


def returned_older(reloads: Sequence[PolicyLoaded]) -> list[str]:
    """Engines that came back with something older than what the engine before had been announced with."""
    first: dict[str, int] = {}
    newest, found = 0, []
    for loaded in reloads:
        if loaded.engine not in first:
            first[loaded.engine] = loaded.version
            if loaded.version < newest:
                found.append(f"An engine came back with version {loaded.version} when {newest} had been served.")
        newest = max(newest, loaded.version)
    return found


def spoken_by_another(requests: Sequence[Asked], evidence: Evidence) -> Iterator[str]:
    """Answers of the suite's engine that somebody else drew than header and log say."""
    for one in requests:
        if one.error is not None or (action := evidence.actions.get(str(one.action_id))) is None:
            continue
        logged, spoke = action.adapter or BASE, speaker_of(action.reply.content)
        said = f"{action.policy}@{one.version}" if one.version else BASE
        if not logged == said == spoke:
            yield f"Action {action.id} was drawn by {spoke}; its header says {said}, the log {logged}."
