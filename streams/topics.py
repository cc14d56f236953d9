"""The topics: what is on each, how it is keyed, partitioned and kept.

Topics that processors join have the same fixed partition count and the same murmur2 partitioner, so that one
conversation lies in one partition number everywhere. `verify_topics` (streams/admin.py) checks this at start.
"""

from collections.abc import Callable
from dataclasses import dataclass

from schemas import events as e

CONVERSATION_PARTITIONS = 4
POLICY_PARTITIONS = 4
PARTITIONER = "murmur2_random"  # librdkafka's name of the Java client's and aiokafka's default for keyed records
MAX_RECORD_BYTES = 16 * 1024 * 1024  # one limit for topics, librdkafka and aiokafka
_DAY_MS = 24 * 60 * 60 * 1000
WHILE_USEFUL_MS = 7 * _DAY_MS  # people's words: a week to join and judge them; erasure relies on it being short
WHOLE_PROMPTS_MS = 2 * _DAY_MS  # samples and batches repeat whole prompts: a weekend without a trainer, no more
FOR_EVER_MS = -1  # small facts about policies, without anybody's words: the history that lineage walks

Key = Callable[[e.Event], str]


def by_conversation(event: e.Event) -> str:
    """The conversation_id: all of a conversation in one partition, in order."""
    return event.conversation_id


def by_episode(event: e.Event) -> str:
    """The episode_id, or the conversation_id where there is none: all of an episode in one partition."""
    return event.episode_id or event.conversation_id


def by_policy(event: e.Event) -> str:
    """The policy: all of a policy in one partition, in order."""
    return event.policy


def by_trained_action(event: e.Event) -> str:
    """The policy, a slash and the action_id: one compaction key per action that a policy has trained on."""
    assert isinstance(event, e.ActionTrained)
    return f"{event.policy}/{event.action_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One topic. `name` is its word in the design; on the broker it may carry a prefix."""

    name: str
    types: tuple[type[e.Event], ...]
    key: Key
    partitions: int
    compacted: bool = False  # the newest record per key is kept for ever, older ones go
    retention_ms: int = WHILE_USEFUL_MS


ACTIONS = Topic(name="actions", types=(e.ActionTaken,), key=by_conversation, partitions=CONVERSATION_PARTITIONS)
NEXT_STATES = Topic(
    name="next-states", types=(e.NextStateObserved,), key=by_conversation, partitions=CONVERSATION_PARTITIONS
)
FEEDBACK = Topic(name="feedback", types=(e.FeedbackGiven,), key=by_conversation, partitions=CONVERSATION_PARTITIONS)
OUTCOMES = Topic(name="outcomes", types=(e.OutcomeReported,), key=by_episode, partitions=CONVERSATION_PARTITIONS)
TRANSITIONS = Topic(
    name="transitions", types=(e.TransitionJoined,), key=by_conversation, partitions=CONVERSATION_PARTITIONS
)
VERDICTS = Topic(name="verdicts", types=(e.VerdictReached,), key=by_conversation, partitions=CONVERSATION_PARTITIONS)
HINTS = Topic(name="hints", types=(e.HintExtracted,), key=by_conversation, partitions=CONVERSATION_PARTITIONS)
SKIPS = Topic(name="skips", types=(e.TurnSkipped,), key=by_conversation, partitions=CONVERSATION_PARTITIONS)
REJECTIONS = Topic(name="rejections", types=(e.EventRejected,), key=by_conversation, partitions=CONVERSATION_PARTITIONS)
SAMPLES = Topic(
    name="samples", types=(e.SampleBuilt,), key=by_policy, partitions=POLICY_PARTITIONS, retention_ms=WHOLE_PROMPTS_MS
)
BATCHES = Topic(
    name="batches", types=(e.BatchSealed,), key=by_policy, partitions=POLICY_PARTITIONS, retention_ms=WHOLE_PROMPTS_MS
)
CHECKPOINTS = Topic(
    name="checkpoints",
    types=(e.CheckpointPublished,),
    key=by_policy,
    partitions=POLICY_PARTITIONS,
    retention_ms=FOR_EVER_MS,
)
CURRENT_POLICIES = Topic(
    name="current-policies", types=(e.CheckpointPublished,), key=by_policy, partitions=POLICY_PARTITIONS, compacted=True
)
TRAINED = Topic(
    name="trained", types=(e.ActionTrained,), key=by_trained_action, partitions=POLICY_PARTITIONS, compacted=True
)
PROMOTIONS = Topic(
    name="promotions",
    types=(e.PolicyPromoted, e.PolicyRefused, e.PolicyRolledBack),
    key=by_policy,
    partitions=POLICY_PARTITIONS,
    retention_ms=FOR_EVER_MS,
)
RELOADS = Topic(
    name="reloads", types=(e.PolicyLoaded,), key=by_policy, partitions=POLICY_PARTITIONS, retention_ms=FOR_EVER_MS
)
ERASURES = Topic(name="erasures", types=(e.SubjectErased,), key=by_policy, partitions=1, retention_ms=FOR_EVER_MS)
RUNS = Topic(name="runs", types=(e.RunConfigured,), key=by_policy, partitions=1, retention_ms=FOR_EVER_MS)

TOPICS: tuple[Topic, ...] = (
    ACTIONS,
    NEXT_STATES,
    FEEDBACK,
    OUTCOMES,
    TRANSITIONS,
    VERDICTS,
    HINTS,
    SKIPS,
    REJECTIONS,
    SAMPLES,
    BATCHES,
    CHECKPOINTS,
    CURRENT_POLICIES,
    TRAINED,
    PROMOTIONS,
    RELOADS,
    RUNS,
    ERASURES,
)
FROM_OUTSIDE = (ACTIONS, NEXT_STATES, FEEDBACK, OUTCOMES)  # what producers that are not ours may write
BY_NAME: dict[str, Topic] = {topic.name: topic for topic in TOPICS}
# A checkpoint is in two topics: the compacted one repeats the other, which is the history.
TOPIC_OF: dict[type[e.Event], Topic] = {
    kind: topic for topic in TOPICS if topic is not CURRENT_POLICIES for kind in topic.types
}
