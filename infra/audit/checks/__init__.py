"""`CHECKS`: all checks, in the order of the report: single records first, then what ties them to each other."""

from infra.audit.check import Check
from infra.audit.checks import (
    batches,
    derivations,
    digests,
    ids,
    numbers,
    order,
    prompts,
    readable,
    references,
    rewards,
    tokens,
    training,
    turns,
    versions,
)

CHECKS: tuple[Check, ...] = (
    readable.CHECK,
    digests.CHECK,
    numbers.CHECK,
    order.CHECK,
    ids.CHECK,
    references.CHECK,
    derivations.CHECK,
    prompts.CHECK,
    tokens.CHECK,
    rewards.CHECK,
    turns.CHECK,
    batches.CHECK,
    training.CHECK,
    versions.CHECK,
)
