-- How old were the versions that acted when their turns trained? Per policy and version trained.
SELECT
    policy, trained_version, count(*) AS turns, avg(staleness) AS mean_staleness, max(staleness) AS oldest
FROM turns
WHERE trained_version IS NOT NULL
GROUP BY policy, trained_version
ORDER BY policy, trained_version;
