"""The events: immutable, past-tense facts, one class per row of the design's word table.

Every event is frozen, has an `id` and a `time_ms`, and says whose it is (`EventContext`). `id` and `time_ms` travel as
CloudEvents attributes (headers), everything else as the JSON value. Fields are only ever added, with defaults; anything
else is a new major version in `TYPES`, and the old class moves to `schemas/upcast.py` (how: schemas/README.md).

Legend: P prompt tokens, T response tokens, H hints, M votes.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from schemas.identity import DEFAULT_TENANT

Source = Literal["chat", "tool", "terminal", "gui", "swe"]
FinishReason = Literal["stop", "length", "tool_calls", "aborted", "error"]
TurnType = Literal["main", "side"]
Score = Literal[-1, 0, 1]
Thumb = Literal[-1, 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One call that an assistant message makes. `arguments` is canonical JSON (sorted keys, no spaces)."""

    name: str
    arguments: str
    id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """A non-text part of a message, known by the digest of its bytes."""

    kind: str
    digest: str
    num_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One normalised chat message; absent content is the empty string."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str = ""
    media: tuple[Media, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the engine drew the response. Only a bare temperature can be inverted by the trainer."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = -1
    min_p: float = 0.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: bool = False
    grammar: bool = False
    max_tokens: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionSpan:
    """Response tokens [start, end) were drawn by this policy version."""

    version: int
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What every event carries, whatever it says.

    `subject` is the person or agent that the event is about (for erasure); `source` the kind of environment.
    """

    type: ClassVar[str] = ""

    id: str
    time_ms: int
    policy: str
    conversation_id: str = ""
    tenant: str = DEFAULT_TENANT
    subject: str = ""
    source: Source = "chat"
    episode_id: str | None = None
    group_id: str | None = None
    step: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptTail:
    """A later part of the base, [start, end), that is kept too: it stands after the first `num_before` new items."""

    start: int
    end: int
    num_before: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionTaken(Event):
    """The policy answered: what it read, what it wrote, and how, as the engine reported it.

    What it read is stored as a delta against `base_action_id`'s (read + written). The first `kept_messages` messages
    and the first `kept_prompt_tokens` tokens are the base's, then come `messages` and `prompt_ids`; where a tail is
    given, that part of the base stands among those, which is how a conversation is kept whose beginning changed. No
    message that the action is the first to read lies in a tail or before it. Without a base the counts are 0, there is
    no tail and the fields are whole. `schemas.prompt.resolve` undoes it.

    An action that another model served is told in words only: no token ids, no `template_digest`, `logprob_origin`
    "unscored", `model` the other model's name, `policy` the one that learns from it (`schemas.origin.lacks_tokens`).
    """

    type: ClassVar[str] = "nextstate.action.taken.v2"

    turn: int
    turn_type: TurnType = "main"
    request_id: str
    sibling: int = 0  # index among the n choices of one request
    parent_action_id: str | None = None  # the action that this turn's new messages answer
    ambiguous: bool = False  # the parent was one of several equally good candidates
    base_action_id: str | None = None
    kept_messages: int = 0
    messages: tuple[Message, ...]
    messages_tail: KeptTail | None = None
    kept_prompt_tokens: int = 0
    prompt_ids: tuple[int, ...]  # [P - kept_prompt_tokens - length of prompt_tail]
    prompt_tail: KeptTail | None = None
    tools: str = "[]"  # canonical JSON of the offered tools
    template_arguments: str = "{}"
    template_digest: str  # "": no template of ours has shown it
    reply: Message
    model: str
    adapter: str | None = None
    sampling: Sampling
    response_ids: tuple[int, ...]  # [T]; () with "unscored": the words only are known
    response_logprobs: tuple[float, ...]  # [T] nats, after temperature, before truncation; [] where unscored
    logprob_origin: str = "engine"  # schemas/origin.py has all
    token_versions: tuple[VersionSpan, ...]  # () where unscored: no version of ours drew them
    finish_reason: FinishReason


@dataclass(frozen=True, slots=True, kw_only=True)
class NextStateObserved(Event):
    """What followed an action: the messages it had not read, or that nothing will follow (`kind` "ended")."""

    type: ClassVar[str] = "nextstate.next_state.observed.v1"

    action_id: str
    kind: Literal["messages", "ended"] = "messages"
    messages: tuple[Message, ...] = ()
    exit_code: int | None = None
    ended_reason: Literal["timeout", "done"] | None = None
    ambiguous: bool = False
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackGiven(Event):
    """What somebody says of an action outright: a thumb, a rating, a comment, or several of them.

    A rating names its scale, so that `(rating - worst_rating) / (best_rating - worst_rating)` is 0 to 1 whoever asked
    for it; `worst_rating` may be the higher number (school grades). Without a scale the rating is kept, but cannot be
    compared with others.
    """

    type: ClassVar[str] = "nextstate.feedback.given.v2"

    action_id: str
    thumb: Thumb | None = None
    rating: float | None = None
    worst_rating: float | None = None  # both ends of the scale, or neither
    best_rating: float | None = None
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeReported(Event):
    """A verifier's result for a whole episode."""

    type: ClassVar[str] = "nextstate.outcome.reported.v1"

    score: float
    verifier: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionJoined(Event):
    """One (action, next state) pair, with the words a judge needs; tokens stay with the action."""

    type: ClassVar[str] = "nextstate.transition.joined.v1"

    action_id: str
    next_state_id: str
    turn: int
    context: tuple[Message, ...]  # what was new to the action, without system messages
    reply: Message
    kind: Literal["messages", "ended"]
    next_messages: tuple[Message, ...]
    exit_code: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictReached(Event):
    """A judge's reading of a transition. `score` None: it abstained; `votes` [M] hold None for each abstention."""

    type: ClassVar[str] = "nextstate.verdict.reached.v1"

    transition_id: str
    action_id: str
    score: Score | None
    votes: tuple[Score | None, ...]
    confidence: float | None = None
    abstention: str | None = None  # the reason, where score is None
    judge: str
    judge_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HintExtracted(Event):
    """Hindsight on a transition: 0..3 candidate hints. Recorded also when there is none, with the reason."""

    type: ClassVar[str] = "nextstate.hint.extracted.v1"

    transition_id: str
    action_id: str
    hints: tuple[str, ...]  # [H]
    reason: str = ""
    extractor: str
    extractor_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleBuilt(Event):
    """One trainable turn, whole: everything that an objective needs, and the ids of what it was built from.

    Where nothing followed the action but a thumb, nobody judged it: `verdict_id` and `hint_id` are empty.
    """

    type: ClassVar[str] = "nextstate.sample.built.v1"

    action_id: str
    transition_id: str
    verdict_id: str
    hint_id: str
    turn: int
    prompt_ids: tuple[int, ...]  # [P]
    response_ids: tuple[int, ...]  # [T]
    response_logprobs: tuple[float, ...]  # [T]; [] where unscored
    logprob_origin: str
    token_versions: tuple[VersionSpan, ...]  # () where unscored
    temperature: float
    reward: float | None  # None: nobody rewards, there is no thumb and the verdict is 0 or abstained
    hints: tuple[str, ...] = ()
    teacher_prompt_ids: tuple[tuple[int, ...], ...] = ()  # [H][P_h]
    outcome: float | None = None  # of the episode that the turn belongs to; None: there is none
    feedback_id: str | None = None  # the thumb that the reward is, whatever the verdict says; None: it is the verdict's


SkipReason = Literal[
    "no_next_state",
    "side_turn",
    "branch",
    "ambiguous",
    "aborted",
    "engine_error",
    "abstained_without_hint",
    "zero_without_hint",
    "no_objective_term",
    "sampler_not_invertible",
    "base_missing",
    "empty_response",
    "too_long",
    "too_stale",
    "already_trained",
    "rejected",
    "erased",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnSkipped(Event):
    """A turn that does not train, and why."""

    type: ClassVar[str] = "nextstate.turn.skipped.v1"

    action_id: str
    reason: SkipReason
    detail: str = ""
    stage: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSealed(Event):
    """Consecutive samples for one optimizer step; on the wire the samples ride along as Arrow (see schemas.batch)."""

    type: ClassVar[str] = "nextstate.batch.sealed.v1"

    samples_partition: int
    first_offset: int
    last_offset: int  # inclusive
    sealed_by: Literal["size", "time"] = "size"
    sample_ids: tuple[str, ...]
    action_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointPublished(Event):
    """A new version of a policy exists, whole and fsynced, at `url`."""

    type: ClassVar[str] = "nextstate.checkpoint.published.v1"

    version: int
    parent_version: int
    url: str
    manifest_digest: str
    kind: Literal["lora", "full"] = "lora"
    base_model: str
    objective: str
    batch_ids: tuple[str, ...]
    sample_ids: tuple[str, ...]
    action_ids: tuple[str, ...]
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionTrained(Event):
    """This action has moved this policy's weights; compacted by (policy, action id), so it does so at most once."""

    type: ClassVar[str] = "nextstate.action.trained.v1"

    action_id: str
    sample_id: str
    version: int
    logprob_origin: str = "engine"  # of the log-probs that it trained with; a trainer scores what came unscored


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPromoted(Event):
    """The gate lets a version serve. `metrics` and `compared_with` say what it measured (serving/measurement.py)."""

    type: ClassVar[str] = "nextstate.policy.promoted.v1"

    version: int
    checkpoint_id: str
    compared_with: int | None = None  # the version that served, which it was measured against; None: nothing was
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRefused(Event):
    """The gate keeps a version from serving, and with it what was trained from it."""

    type: ClassVar[str] = "nextstate.policy.refused.v1"

    version: int
    checkpoint_id: str
    reason: str
    compared_with: int | None = None  # as of a promotion
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRolledBack(Event):
    """A new version whose weights are those of an older one, its parent; what came between is left behind."""

    type: ClassVar[str] = "nextstate.policy.rolled_back.v1"

    version: int
    to_version: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyLoaded(Event):
    """An engine has taken a version; requests may be routed to it."""

    type: ClassVar[str] = "nextstate.policy.loaded.v1"

    version: int
    checkpoint_id: str
    engine: str
    adapter: str
    load_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRejected(Event):
    """An input that could not be used at all: the reason, and the place where it still lies.

    Of an import that is `file` and `line`; `topic` is empty then, `partition` and `offset` are -1.
    """

    type: ClassVar[str] = "nextstate.event.rejected.v1"

    topic: str
    partition: int
    offset: int
    stage: str
    error: str
    reason: str
    value_preview: str = ""
    file: str | None = None
    line: int | None = None  # from 1; in a file that is one JSON list, the number of the entry


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfigured(Event):
    """One configuration of the stack; secrets are masked before this event exists."""

    type: ClassVar[str] = "nextstate.run.configured.v1"

    settings: str  # canonical JSON
    versions: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectErased(Event):
    """All that is about a subject of this tenant, up to this event's time, is to be forgotten wherever it is kept.

    `subject` stays empty: the erased name is known by its digest only.
    """

    type: ClassVar[str] = "nextstate.subject.erased.v1"

    subject_digest: str  # schemas.identity.subject_digest
    sample_ids: tuple[str, ...] = ()  # its samples; batches that hold them lose their words
    checkpoint_ids: tuple[str, ...] = ()  # which its samples have moved; their weights are as they are


EVENT_TYPES: tuple[type[Event], ...] = (
    ActionTaken,
    NextStateObserved,
    FeedbackGiven,
    OutcomeReported,
    TransitionJoined,
    VerdictReached,
    HintExtracted,
    SampleBuilt,
    TurnSkipped,
    BatchSealed,
    CheckpointPublished,
    ActionTrained,
    PolicyPromoted,
    PolicyRefused,
    PolicyRolledBack,
    PolicyLoaded,
    EventRejected,
    RunConfigured,
    SubjectErased,
)
TYPES: dict[str, type[Event]] = {event.type: event for event in EVENT_TYPES}
