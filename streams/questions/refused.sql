-- Which turns were spent on versions that the gate refused, and why? They do not train again.
SELECT
    promotions.policy, promotions.version, promotions.reason, lineage.action_id, lineage.score, lineage.question,
    lineage.answer
FROM promotions
LEFT JOIN lineage ON lineage.checkpoint_id = promotions.checkpoint_id
WHERE promotions.type LIKE '%.refused.%'
ORDER BY promotions.policy, promotions.version, lineage.action_id;
