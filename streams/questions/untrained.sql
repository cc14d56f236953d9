-- What did not train, and why? Turns per policy and reason.
SELECT policy, reason, count(*) AS turns, max(time) AS newest, mode(nullif(detail, '') ORDER BY detail) AS usual_detail
FROM untrained
GROUP BY policy, reason
ORDER BY policy, turns DESC, reason;
