-- Per policy and version that acted: how its turns were received, and how many of them taught later versions.
CREATE OR REPLACE VIEW learning AS
SELECT
    policy,
    version,
    count(*) AS turns,
    count(score) AS judged_turns,
    avg(score) AS mean_score,
    count(*) FILTER (WHERE score = -1) AS complaints,
    count(*) FILTER (WHERE score = 1) AS thanks,
    count(*) FILTER (WHERE verdict_id IS NOT NULL AND score IS NULL) AS abstentions,
    count(*) FILTER (WHERE thumb = 1) AS thumbs_up,
    count(*) FILTER (WHERE thumb = -1) AS thumbs_down,
    sum(late_thumbs)::BIGINT AS late_thumbs,
    avg(staleness) AS mean_staleness,
    count(trained_version) AS trained_turns
FROM turns
GROUP BY policy, version
ORDER BY policy, version;
