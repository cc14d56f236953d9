-- Which conversations of the last week went worst? By complaints; with the last one's words.
SELECT
    conversation_id, tenant, policy, count(*) AS turns, count(*) FILTER (WHERE score = -1) AS complaints,
    avg(score) AS mean_score, arg_max(question, time) FILTER (WHERE score = -1) AS question,
    arg_max(reply, time) FILTER (WHERE score = -1) AS complaint
FROM turns
WHERE time > (SELECT max(time) FROM actions) - INTERVAL 7 DAY
GROUP BY conversation_id, tenant, policy
HAVING complaints > 0
ORDER BY complaints DESC, mean_score, conversation_id
LIMIT 20;
