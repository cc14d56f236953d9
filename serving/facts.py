"""The events of one turn: the next state that a request brings, the actions that answer it, the end of its session.

Pure: consumes what the gateway knows of a turn (`TurnFacts`) and what was drawn, produces events ready to record.
"""

from dataclasses import dataclass, replace

from schemas.events import ActionTaken, FinishReason, Message, NextStateObserved, Sampling, VersionSpan
from schemas.identity import digest_text, new_id
from schemas.messages import answered_by
from schemas.prompt import delta
from serving.admission import SessionHeaders
from serving.call import Call
from serving.routing import Route
from streams.match import Match, next_state_of


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnFacts:
    """What is known of a turn before anything is drawn. `action_ids`: one per choice; the first is the request's id."""

    request_id: str
    tenant: str
    session: SessionHeaders
    call: Call
    match: Match
    route: Route
    prompt_ids: tuple[int, ...]  # [P]
    template_digest: str
    base_model: str
    action_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One finished choice, as the engine reported it."""

    reply: Message
    response_ids: tuple[int, ...]  # [T]
    response_logprobs: tuple[float, ...]  # [T]
    finish_reason: FinishReason


def next_state_observed(
    match: Match, *, request_id: str, tenant: str, subject: str, now_ms: int
) -> NextStateObserved | None:
    """What a request says about the action it follows; None where it follows none or says nothing new."""
    return next_state_of(
        match, event_id=new_id(now_ms), time_ms=now_ms, tenant=tenant, subject=subject, request_id=request_id
    )


def action_taken(facts: TurnFacts, sibling: int, drawn: Drawn, now_ms: int) -> ActionTaken:
    """The action of one choice."""
    call, match, route = facts.call, facts.match, facts.route
    prompt = delta(call.messages, facts.prompt_ids, match.base)
    num_tokens = len(drawn.response_ids)
    return ActionTaken(
        id=facts.action_ids[sibling],
        time_ms=now_ms,
        policy=route.policy,
        conversation_id=match.conversation_id,
        tenant=facts.tenant,
        subject=call.subject,
        source=answered_by(drawn.reply),
        turn=match.turn,
        turn_type=facts.session.turn_type,
        request_id=facts.request_id,
        sibling=sibling,
        parent_action_id=match.parent_action_id,
        ambiguous=match.ambiguous,
        **prompt.as_fields(),
        tools=call.tools,
        template_arguments=call.template_arguments,
        template_digest=facts.template_digest,
        reply=drawn.reply,
        model=facts.base_model,
        adapter=route.adapter,
        sampling=sampling_of(call, sibling),
        response_ids=drawn.response_ids,
        response_logprobs=drawn.response_logprobs,
        token_versions=(VersionSpan(version=route.version, start=0, end=num_tokens),) if num_tokens else (),
        finish_reason=drawn.finish_reason,
    )


def whole_action(facts: TurnFacts, action: ActionTaken) -> ActionTaken:
    """The same action with its prompt whole instead of as a delta."""
    return replace(action, **delta(facts.call.messages, facts.prompt_ids, None).as_fields())


def sampling_of(call: Call, sibling: int) -> Sampling:
    """How one choice is drawn: with its own seed, since equal seeds would give equal choices."""
    seed = call.sampling.seed
    return call.sampling if seed is None else replace(call.sampling, seed=seed + sibling)


def session_ended(action: ActionTaken) -> NextStateObserved:
    """The client said that nothing will follow this action."""
    return NextStateObserved(
        id=digest_text("session-done", action.id),
        time_ms=action.time_ms,
        policy=action.policy,
        conversation_id=action.conversation_id,
        tenant=action.tenant,
        subject=action.subject,
        source=action.source,
        action_id=action.id,
        kind="ended",
        ended_reason="done",
        request_id=action.request_id,
    )
