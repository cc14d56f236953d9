-- One row per action: what was said, what the judge said of it, and how far it came towards the weights.
-- An action may have several transitions (a real next state supersedes a timed-out end), verdicts (judged again) and
-- skips (a branch of a turn that trains): the row shows those that its sample was built from, else the first.

-- What these messages newly say to the policy: the words after its own last message, without system messages.
CREATE OR REPLACE MACRO said(messages) AS nullif(array_to_string(list_transform(
    list_filter(
        messages,
        lambda message, place: message.role NOT IN ('system', 'developer') AND place > coalesce(
            len(messages) + 1 - list_position(list_reverse(list_transform(messages, lambda m: m.role)), 'assistant'), 0
        )
    ),
    lambda message: message.content
), chr(10)), '');

-- The messages that an action has not from its base, without those before a later part of the base: what it newly read is
-- never before such a part (schemas/prompt.py).
CREATE OR REPLACE MACRO after_tail(messages, tail) AS messages[coalesce(tail.num_before, 0) + 1:];

-- What feedback says in one word: 1 (up), -1 (down) or neither, NULL. A rating says it in the best and the worst quarter
-- of its scale (schemas/feedback.py).
CREATE OR REPLACE MACRO thumb_given(feedback) AS coalesce(feedback.thumb, CASE
    WHEN (feedback.rating - feedback.worst_rating) / (feedback.best_rating - feedback.worst_rating) >= 0.75 THEN 1
    WHEN (feedback.rating - feedback.worst_rating) / (feedback.best_rating - feedback.worst_rating) <= 0.25 THEN -1
END);

-- Whether an action is one of those that are asked for; NULL asks for all.
CREATE OR REPLACE MACRO is_wanted(id, wanted) AS (wanted IS NULL OR id IN (SELECT unnest(wanted)));

-- The turns of some actions. Each topic is filtered before anything is joined: DuckDB passes no filter of the finished
-- view through windows and outer joins, and a filter on the topic lets it skip nearly all of an archive.
CREATE OR REPLACE MACRO turns_of(wanted) AS TABLE
WITH sample AS (
    SELECT samples.event_id, samples.action_id, samples.transition_id, samples.verdict_id, samples.hint_id,
        samples.feedback_id
    FROM samples
    WHERE is_wanted(samples.action_id, wanted)
    QUALIFY row_number() OVER (
        PARTITION BY samples.action_id
        ORDER BY samples.event_id NOT IN (SELECT sample_id FROM trained WHERE is_wanted(action_id, wanted)),
            samples.time, samples.event_id
    ) = 1
), transition AS (
    SELECT transitions.event_id, transitions.action_id, transitions.kind
    FROM transitions LEFT JOIN sample ON sample.transition_id = transitions.event_id
    WHERE is_wanted(transitions.action_id, wanted)
    QUALIFY row_number() OVER (
        PARTITION BY transitions.action_id
        ORDER BY sample.event_id IS NULL, transitions.kind = 'ended', transitions.time, transitions.event_id
    ) = 1
), verdict AS (
    SELECT verdicts.event_id, verdicts.action_id, verdicts.transition_id,
        verdicts.score, verdicts.abstention, verdicts.judge
    FROM verdicts LEFT JOIN sample ON sample.verdict_id = verdicts.event_id
    WHERE is_wanted(verdicts.action_id, wanted)
    QUALIFY row_number() OVER (
        PARTITION BY verdicts.action_id, verdicts.transition_id
        ORDER BY sample.event_id IS NULL, verdicts.time, verdicts.event_id
    ) = 1
), hint AS (
    SELECT hints.event_id, hints.action_id, hints.transition_id, hints.hints
    FROM hints LEFT JOIN sample ON sample.hint_id = hints.event_id
    WHERE is_wanted(hints.action_id, wanted)
    QUALIFY row_number() OVER (
        PARTITION BY hints.action_id, hints.transition_id
        ORDER BY sample.event_id IS NULL, hints.time, hints.event_id
    ) = 1
), given AS (
    -- Thumbs, by age. That which a sample was built from was the newest that was known then.
    SELECT feedback.event_id, feedback.action_id, feedback.tenant, thumb_given(feedback) AS thumb,
        (feedback.time, feedback.event_id) AS age
    FROM feedback
    WHERE is_wanted(feedback.action_id, wanted) AND thumb_given(feedback) IS NOT NULL
), thumb AS (
    SELECT given.action_id, given.tenant,
        coalesce(max(given.event_id) FILTER (WHERE given.event_id = sample.feedback_id), max_by(given.event_id, given.age))
            AS event_id,
        coalesce(max(given.thumb) FILTER (WHERE given.event_id = sample.feedback_id), max_by(given.thumb, given.age))
            AS thumb,
        count(*) FILTER (WHERE sample.event_id IS NOT NULL AND (used.age IS NULL OR given.age > used.age)) AS late
    FROM given
    LEFT JOIN sample ON sample.action_id = given.action_id
    LEFT JOIN given AS used ON used.event_id = sample.feedback_id
    GROUP BY given.action_id, given.tenant
), training AS (
    SELECT trained.policy, trained.action_id, trained.sample_id, trained.version, checkpoints.event_id,
        checkpoints.parent_version
    FROM trained LEFT JOIN checkpoints USING (policy, version)
    WHERE is_wanted(trained.action_id, wanted)
    QUALIFY row_number() OVER (PARTITION BY trained.policy, trained.action_id ORDER BY trained.version) = 1
), batch AS (
    SELECT sample_id, min(event_id) AS event_id
    FROM (SELECT event_id, unnest(sample_ids) AS sample_id FROM batches)
    WHERE wanted IS NULL OR sample_id IN (SELECT event_id FROM sample UNION ALL SELECT sample_id FROM training)
    GROUP BY sample_id
), skip AS (
    SELECT action_id, reason, detail, stage
    FROM skips
    WHERE is_wanted(action_id, wanted)
    QUALIFY row_number() OVER (
        PARTITION BY action_id ORDER BY stage IN ('pack', 'trainer') DESC, reason = 'branch', "partition", "offset" DESC
    ) = 1
), outcome AS (
    SELECT coalesce(episode_id, conversation_id) AS episode, max_by(score, (time, event_id)) AS score
    FROM outcomes
    GROUP BY episode
), acted AS (
    -- The oldest version that drew one of its tokens; without tokens, the adapter's; without adapter, the base: 0.
    -- What an import brought, or another model served, was drawn by none.
    SELECT *, CASE WHEN logprob_origin != 'unscored' THEN coalesce(
        list_min(list_transform(token_versions, lambda span: span.version)),
        try_cast(nullif(regexp_extract(adapter, '@([0-9]+)$', 1), '') AS BIGINT),
        0
    ) END AS version
    FROM actions
    WHERE is_wanted(event_id, wanted)
)
SELECT
    acted.policy, acted.version, acted.event_id AS action_id, acted.conversation_id, acted.turn, acted.time,
    acted.tenant, acted.subject, acted.source, acted.episode_id, acted.group_id, acted.step, acted.turn_type,
    CASE WHEN acted.logprob_origin != 'unscored' OR acted.response_ids != [] THEN len(acted.response_ids) END
        AS response_tokens,
    coalesce(said(after_tail(acted.messages, acted.messages_tail)), said(words.context)) AS question,
    concat_ws(chr(10), nullif(acted.reply.content, ''), nullif(array_to_string(list_transform(
        acted.reply.tool_calls, lambda call: call.name || '(' || call.arguments || ')'
    ), chr(10)), '')) AS answer,
    said(words.next_messages) AS reply,
    acted.event_id IN (SELECT action_id FROM next_states WHERE is_wanted(action_id, wanted)) AS has_next_state,
    transition.event_id AS transition_id,
    verdict.event_id AS verdict_id, verdict.score, verdict.abstention, verdict.judge,
    hint.event_id AS hint_id, hint.hints,
    thumb.event_id AS feedback_id, thumb.thumb,
    CASE WHEN thumb.event_id IS NOT NULL THEN coalesce(thumb.event_id = sample.feedback_id, FALSE) END AS thumb_counts,
    coalesce(thumb.late, 0) AS late_thumbs,
    outcome.score AS outcome,
    coalesce(training.sample_id, sample.event_id) AS sample_id,
    batch.event_id AS batch_id,
    training.version AS trained_version, training.event_id AS checkpoint_id,
    training.parent_version - acted.version AS staleness,
    skip.reason AS skip_reason, skip.detail AS skip_detail, skip.stage AS skip_stage
FROM acted
LEFT JOIN transition ON transition.action_id = acted.event_id
LEFT JOIN (
    SELECT event_id, context, next_messages FROM transitions WHERE is_wanted(action_id, wanted)
) AS words ON words.event_id = transition.event_id
LEFT JOIN verdict ON verdict.action_id = acted.event_id AND verdict.transition_id = transition.event_id
LEFT JOIN hint ON hint.action_id = acted.event_id AND hint.transition_id = transition.event_id
LEFT JOIN thumb ON thumb.action_id = acted.event_id AND thumb.tenant = acted.tenant
LEFT JOIN sample ON sample.action_id = acted.event_id
LEFT JOIN training ON training.action_id = acted.event_id AND training.policy = acted.policy
LEFT JOIN batch ON batch.sample_id = coalesce(training.sample_id, sample.event_id)
LEFT JOIN skip ON skip.action_id = acted.event_id
LEFT JOIN outcome ON outcome.episode = acted.episode_id;
