-- Does the judge see what people say outright? Per judge: the turns with a thumb, and whether its score agrees.
SELECT
    judge, count(*) AS thumbs, count(*) FILTER (WHERE score = thumb) AS agreed,
    count(*) FILTER (WHERE score = -thumb) AS contradicted, count(*) FILTER (WHERE score = 0) AS neutral,
    count(*) FILTER (WHERE score IS NULL) AS unscored,
    count(*) FILTER (WHERE score = thumb) / nullif(count(*) FILTER (WHERE abs(score) = 1), 0) AS share_agreed,
    sum(late_thumbs)::BIGINT AS late_thumbs
FROM turns
WHERE thumb IS NOT NULL
GROUP BY judge
ORDER BY thumbs DESC, judge;
