-- Who uses how many tokens? Answers and response tokens per tenant and day.
SELECT
    tenant, date_trunc('day', time)::DATE AS day, count(*) AS answers, sum(response_tokens)::BIGINT AS response_tokens
FROM turns
GROUP BY tenant, day
ORDER BY day, response_tokens DESC, tenant;
