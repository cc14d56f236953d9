-- Every action that has not moved its policy's weights, once: why not, or what it still waits for.

-- Why a row of `turns` has not trained, if it has not.
CREATE OR REPLACE MACRO untrained_reason(turn) AS CASE
    WHEN turn.trained_version IS NOT NULL THEN NULL
    WHEN turn.skip_stage IN ('pack', 'trainer') THEN turn.skip_reason -- said of its sample: nothing comes after that
    WHEN turn.batch_id IS NOT NULL THEN 'waiting for training'
    WHEN turn.sample_id IS NOT NULL THEN 'waiting for a batch'
    WHEN turn.skip_reason IS NOT NULL THEN turn.skip_reason
    WHEN NOT turn.has_next_state AND turn.transition_id IS NULL THEN 'waiting for a next state'
    WHEN turn.transition_id IS NULL THEN 'waiting for a transition'
    WHEN turn.verdict_id IS NULL THEN 'waiting for a verdict'
    WHEN turn.hint_id IS NULL THEN 'waiting for a hint'
    WHEN turn.episode_id IS NOT NULL AND turn.outcome IS NULL THEN 'waiting for an outcome'
    ELSE 'waiting for a sample'
END;

CREATE OR REPLACE MACRO untrained_detail(turn) AS
    concat_ws('; ', nullif(turn.skip_detail, ''), 'judge abstained: ' || turn.abstention);

CREATE OR REPLACE VIEW untrained AS
SELECT
    policy, version, action_id, conversation_id, turn, time,
    untrained_reason(turns) AS reason,
    untrained_detail(turns) AS detail
FROM turns
WHERE trained_version IS NULL;
