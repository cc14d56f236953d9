"""Ids and digests: who an event is, and what makes two of them the same.

Recorded events (an action, a next state) get a random time-ordered id. Derived events get a digest of their inputs'
ids and of the code's version, so that deriving twice gives one id (design promise 2).
"""

import hashlib
import re
import secrets
from collections.abc import Iterable

from schemas.clock import now_ms

DIGEST_CHARS = 32  # 128 bits: no accidental collision in any log that fits on earth


DEFAULT_TENANT = "default"  # whose everything is where no API keys are configured

_UNGUESSABLE = re.compile("[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)  # ours, and UUIDs
_TENANTS = re.compile("sent-[0-9a-f]{32}")
_NUM_TENANT_CHARS = 8  # of its 32: two tenants among thousands may share a mark, and then only name alike


def new_id(time_ms: int | None = None) -> str:
    """A random id whose text sorts by time: 12 hex digits of epoch milliseconds, 20 random ones."""
    stamp_ms = now_ms() if time_ms is None else time_ms
    return f"{stamp_ms:012x}{secrets.token_hex(10)}"


def time_of(recorded_id: str) -> int:
    """When an id of `new_id` was made (epoch ms); of a digest, any number."""
    return int(recorded_id[:12], 16)


def digest_bytes(data: bytes) -> str:
    """SHA-256 of the data, shortened to `DIGEST_CHARS` hex digits."""
    return hashlib.sha256(data).hexdigest()[:DIGEST_CHARS]


def digest_text(*parts: str) -> str:
    """Digest of several texts; the boundaries between them count, so ("ab", "c") differs from ("a", "bc")."""
    hasher = hashlib.sha256()
    for part in parts:
        raw = part.encode()
        hasher.update(len(raw).to_bytes(8, "big"))
        hasher.update(raw)
    return hasher.hexdigest()[:DIGEST_CHARS]


def tenants_id(tenant: str, given: str) -> str:
    """The id in the log of an event that a producer of this tenant calls `given`.

    One that nobody guesses stays as it is. Any other becomes the tenant's own, so that two tenants who both number
    their turns from 1 do not meet, and none can speak of a turn that another will have: it begins with the tenant's
    mark, and an id with another's mark is a name like any other. Where no keys are configured there is one tenant,
    whose ids stay.
    """
    if _UNGUESSABLE.fullmatch(given) or (tenant == DEFAULT_TENANT and not _TENANTS.fullmatch(given)):
        return given
    return f"{_mark(tenant)}{digest_text('sent', tenant, given)[_NUM_TENANT_CHARS:]}"


def named_id(tenant: str, given: str) -> str:
    """The id in the log of an event that a producer of this tenant speaks of: by its own name for it, or by that id."""
    is_own = given.startswith(_mark(tenant)) and _TENANTS.fullmatch(given) is not None
    return given if is_own else tenants_id(tenant, given)


def _mark(tenant: str) -> str:
    return f"sent-{digest_text('tenant', tenant)[:_NUM_TENANT_CHARS]}"


def derived_id(stage: str, code_version: str, inputs: Iterable[str]) -> str:
    """Id of an event that `stage` derives from recorded events.

    Args:    stage: name of the deriving stage ("join", "build" ...); code_version: bumped when the stage's output for
             the same inputs changes; inputs: ids of the input events, in the stage's own fixed order.
    Returns: `DIGEST_CHARS` hex digits.
    """
    return digest_text(stage, code_version, *inputs)


def subject_digest(subject: str) -> str:
    """How an erasure names a subject without saying who it is."""
    return digest_text("subject", subject)
