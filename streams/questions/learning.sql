-- Is it learning? Per policy and version that acted: turns, mean score, complaints, thanks, and what trained.
FROM learning;
