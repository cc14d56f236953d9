"""`EXAMPLES`: one valid event of every type, for tests; `dataclasses.replace` makes the invalid ones."""

from dataclasses import replace
from typing import Any

from schemas.events import (
    ActionTaken,
    ActionTrained,
    BatchSealed,
    CheckpointPublished,
    Event,
    EventRejected,
    FeedbackGiven,
    HintExtracted,
    KeptTail,
    Media,
    Message,
    NextStateObserved,
    OutcomeReported,
    PolicyLoaded,
    PolicyPromoted,
    PolicyRefused,
    PolicyRolledBack,
    RunConfigured,
    SampleBuilt,
    Sampling,
    SubjectErased,
    ToolCall,
    TransitionJoined,
    TurnSkipped,
    VerdictReached,
    VersionSpan,
)

OF_CHAT: dict[str, Any] = {
    "time_ms": 1_771_000_000_123,
    "policy": "assistant",
    "conversation_id": "c-1",
    "tenant": "acme",
    "subject": "ada",
    "source": "tool",
    "episode_id": "ep-1",
    "group_id": "g-1",
    "step": 3,
}
OF_POLICY: dict[str, Any] = {"time_ms": 1_771_000_000_456, "policy": "assistant"}

QUESTION = Message(
    role="user", content="How can I boil an egg? 🥚", media=(Media(kind="image_url", digest="d1", num_bytes=7),)
)
REPLY = Message(role="assistant", tool_calls=(ToolCall(name="search", arguments='{"q":"egg"}', id="call-1"),))
RESULT = Message(role="tool", content="8 minutes", tool_call_id="call-1")
SPANS = (VersionSpan(version=3, start=0, end=2), VersionSpan(version=4, start=2, end=3))

ACTION = ActionTaken(
    id="a-2",
    turn=1,
    request_id="r-2",
    parent_action_id="a-1",
    base_action_id="a-1",
    kept_messages=2,
    messages=(QUESTION,),
    messages_tail=KeptTail(start=3, end=5, num_before=0),
    kept_prompt_tokens=11,
    prompt_ids=(5, 6, 7),
    prompt_tail=KeptTail(start=20, end=60, num_before=1),
    template_digest="t-1",
    reply=REPLY,
    model="smol",
    adapter="assistant@3",
    sampling=Sampling(temperature=0.8, max_tokens=160, stop=("###",)),
    response_ids=(1, 2, 3),
    response_logprobs=(-0.5, -1.25, 0.0),
    token_versions=SPANS,
    finish_reason="tool_calls",
    **OF_CHAT,
)
WHOLE = replace(  # the same, with its prompt whole
    ACTION, base_action_id=None, kept_messages=0, messages_tail=None, kept_prompt_tokens=0, prompt_tail=None
)
TRANSITION = TransitionJoined(
    id="t-2",
    action_id="a-2",
    next_state_id="n-2",
    turn=1,
    context=(QUESTION,),
    reply=REPLY,
    kind="messages",
    next_messages=(RESULT,),
    **OF_CHAT,
)
SAMPLE = SampleBuilt(
    id="s-2",
    action_id="a-2",
    transition_id="t-2",
    verdict_id="v-2",
    hint_id="h-2",
    turn=1,
    prompt_ids=(9, 8, 5, 6, 7),
    response_ids=(1, 2, 3),
    response_logprobs=(-0.5, -1.25, 0.0),
    logprob_origin="engine",
    token_versions=SPANS,
    temperature=0.75,
    reward=None,
    hints=("Answer first.",),
    teacher_prompt_ids=((9, 8, 5, 6, 7, 4),),
    **OF_CHAT,
)
BATCH = BatchSealed(
    id="b-1", samples_partition=2, first_offset=5, last_offset=5, sample_ids=("s-2",), action_ids=("a-2",), **OF_POLICY
)

EXAMPLES: tuple[Event, ...] = (
    ACTION,
    NextStateObserved(id="n-2", action_id="a-2", messages=(RESULT,), exit_code=0, request_id="r-3", **OF_CHAT),
    FeedbackGiven(
        id="f-1",
        action_id="a-2",
        thumb=-1,
        rating=2.0,
        worst_rating=1.0,
        best_rating=5.0,
        comment="Too long.",
        **OF_CHAT,
    ),
    OutcomeReported(id="o-1", score=0.5, verifier="pytest", detail="1 of 2", **OF_CHAT),
    TRANSITION,
    VerdictReached(
        id="v-2",
        transition_id="t-2",
        action_id="a-2",
        score=1,
        votes=(1, None, 1),
        confidence=0.9,
        judge="reaction",
        judge_version="1",
        **OF_CHAT,
    ),
    HintExtracted(
        id="h-2",
        transition_id="t-2",
        action_id="a-2",
        hints=("Answer first.",),
        extractor="verbatim",
        extractor_version="1",
        **OF_CHAT,
    ),
    SAMPLE,
    TurnSkipped(id="k-1", action_id="a-2", reason="zero_without_hint", stage="build", **OF_CHAT),
    BATCH,
    CheckpointPublished(
        id="p-4",
        version=4,
        parent_version=3,
        url="file:///checkpoints/4",
        manifest_digest="m-4",
        base_model="smol",
        objective="hybrid",
        batch_ids=("b-1",),
        sample_ids=("s-2",),
        action_ids=("a-2",),
        metrics={"loss": 0.25},
        **OF_POLICY,
    ),
    ActionTrained(id="y-2", action_id="a-2", sample_id="s-2", version=4, **OF_POLICY),
    PolicyPromoted(
        id="pp-4", version=4, checkpoint_id="p-4", compared_with=3, metrics={"kl": 0.02, "entropy": 2.1}, **OF_POLICY
    ),
    PolicyRefused(
        id="pr-4",
        version=4,
        checkpoint_id="p-4",
        reason="worse on the probes",
        compared_with=3,
        metrics={"kl": 1.5, "entropy": 7.5},
        **OF_POLICY,
    ),
    PolicyRolledBack(id="pb-5", version=5, to_version=3, reason="asked for", **OF_POLICY),
    PolicyLoaded(
        id="pl-4",
        version=4,
        checkpoint_id="p-4",
        engine="http://engine",
        adapter="assistant@4",
        load_ms=12,
        **OF_POLICY,
    ),
    EventRejected(
        id="x-1",
        topic="actions",
        partition=1,
        offset=9,
        stage="join",
        error="MalformedEventError",
        reason="No policy.",
        value_preview="{}",
        **OF_POLICY,
    ),
    RunConfigured(id="u-1", settings="{}", versions={"nextstate": "0.1.0"}, **OF_POLICY),
    SubjectErased(id="e-1", subject_digest="d-1", sample_ids=("s-1",), checkpoint_ids=("k-1",), **OF_POLICY),
)
