-- One row per sample of each checkpoint, down to the words: from weights to conversations, and from those to weights.
CREATE OR REPLACE VIEW lineage AS
WITH taught AS (
    SELECT policy, version, event_id, unnest(sample_ids) AS sample_id, unnest(action_ids) AS action_id
    FROM checkpoints
)
SELECT
    taught.policy,
    taught.version AS checkpoint_version,
    taught.event_id AS checkpoint_id,
    turns.batch_id,
    taught.sample_id,
    taught.action_id,
    turns.score,
    turns.thumb,
    array_to_string(turns.hints, chr(10)) AS hint,
    turns.conversation_id,
    turns.turn,
    turns.question,
    turns.answer,
    turns.reply
FROM taught
LEFT JOIN turns ON turns.action_id = taught.action_id;
