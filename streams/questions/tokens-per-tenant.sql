-- Who uses how many tokens? Answers and response tokens per tenant and day.
SELECT
    tenant, date_trunc('day', time)::DATE AS day, count(*) AS answers, sum(len(response_ids))::BIGINT AS response_tokens
FROM actions
GROUP BY tenant, day
ORDER BY day, response_tokens DESC, tenant;
