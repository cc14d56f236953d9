-- Every action that has not moved its policy's weights, once: why not, or what it still waits for.
CREATE OR REPLACE VIEW untrained AS
SELECT
    policy, version, action_id, conversation_id, turn, time,
    CASE
        WHEN skip_stage IN ('pack', 'trainer') THEN skip_reason -- said of its sample: nothing comes after that
        WHEN batch_id IS NOT NULL THEN 'waiting for training'
        WHEN sample_id IS NOT NULL THEN 'waiting for a batch'
        WHEN skip_reason IS NOT NULL THEN skip_reason
        WHEN NOT has_next_state AND transition_id IS NULL THEN 'waiting for a next state'
        WHEN transition_id IS NULL THEN 'waiting for a transition'
        WHEN verdict_id IS NULL THEN 'waiting for a verdict'
        WHEN hint_id IS NULL THEN 'waiting for a hint'
        WHEN episode_id IS NOT NULL AND outcome IS NULL THEN 'waiting for an outcome'
        ELSE 'waiting for a sample'
    END AS reason,
    concat_ws('; ', nullif(skip_detail, ''), 'judge abstained: ' || abstention) AS detail
FROM turns
WHERE trained_version IS NULL;
