-- How sure is the judge? Per judge and its version: scores, abstentions, and how far its votes agree.
SELECT
    judge, judge_version, count(*) AS verdicts, count(score) AS scored, count(*) - count(score) AS abstained,
    count(*) FILTER (WHERE score = 1) AS good, count(*) FILTER (WHERE score = 0) AS neutral,
    count(*) FILTER (WHERE score = -1) AS bad,
    avg(len(list_filter(votes, lambda vote: vote IS NOT DISTINCT FROM score)) / len(votes)) AS votes_as_its_score
FROM verdicts
GROUP BY judge, judge_version
ORDER BY judge, judge_version;
