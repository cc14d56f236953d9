"""`explain_learning`: is a policy learning, and if not, why not; from the log alone.

Consumes the views `turns`, `untrained`, `checkpoints` and `promotions` of one snapshot of the log; produces one answer
with its reason. It looks at no clock and no process: which of them is down, `nextstate status` knows.
"""

from dataclasses import dataclass

from streams.query import LogQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """The answer for one policy. `because` is a clause, to be read after "yes, because" or "no, because"."""

    policy: str
    is_learning: bool
    because: str
    version: int  # newest checkpoint; 0 is the base model
    num_turns: int
    num_trained_turns: int


@dataclass(frozen=True, slots=True)
class _Pending:
    """Turns that wait, or that came after the newest turn which has trained and will not train, for one reason."""

    reason: str
    num_turns: int
    detail: str  # of most of them

    @property
    def is_waiting(self) -> bool:
        return self.reason.startswith("waiting for")


@dataclass(frozen=True, slots=True)
class _Newest:
    """The newest checkpoint."""

    version: int
    time: object  # of the newest turn that any version has learned from; a version of imported turns may be far older
    num_taught: int
    refusal: str | None


_BASE = _Newest(version=0, time=None, num_taught=0, refusal=None)
_NEWEST = """
    SELECT version, max(checkpoints.time) OVER (), len(action_ids), refused.reason
    FROM checkpoints
    LEFT JOIN (FROM promotions WHERE type LIKE '%.refused.%') AS refused USING (policy, version)
    WHERE policy = ? ORDER BY version DESC LIMIT 1
"""
_PENDING = """
    SELECT reason, count(*), coalesce(mode(nullif(detail, '')), '')
    FROM untrained
    WHERE policy = ? AND (?::TIMESTAMPTZ IS NULL OR time > ? OR reason LIKE 'waiting for%')
    GROUP BY reason ORDER BY count(*) DESC, reason
"""


def explain_learning(query: LogQuery, policy: str) -> Learning:
    """Whether this policy's turns move, or can still move, its weights."""
    counts = query.sql("SELECT count(*), count(trained_version) FROM turns WHERE policy = ?", [policy])
    num_turns, num_trained = counts.rows[0]
    newest = next((_Newest(*row) for row in query.sql(_NEWEST, [policy]).rows), _BASE)
    found = query.sql(_PENDING, [policy, newest.time, newest.time])
    is_learning, because = _answer(num_turns, newest, [_Pending(*row) for row in found.rows])
    return Learning(
        policy=policy,
        is_learning=is_learning,
        because=because,
        version=newest.version,
        num_turns=num_turns,
        num_trained_turns=num_trained,
    )


def _answer(num_turns: int, newest: _Newest, pending: list[_Pending]) -> tuple[bool, str]:
    num_pending = sum(one.num_turns for one in pending)
    told = ", ".join(map(_told, pending))
    if num_turns == 0:
        return False, "nobody has talked to it yet"
    if newest.version == 0:
        return False, f"no version has been trained yet: of {num_pending} turns {told}"
    if newest.refusal is not None:
        return False, f"the gate refused version {newest.version}: {newest.refusal}"
    if not any(one.is_waiting for one in pending) and num_pending >= newest.num_taught > 0:
        # Enough turns for one more version, and nothing to train it on.
        return False, f"none of the {num_pending} turns since version {newest.version} can train: {told}"
    since = f"of {num_pending} turns since then {told}" if pending else "no turn waits"
    return True, f"version {newest.version} was trained on {newest.num_taught} turns, and {since}"


def _told(pending: _Pending) -> str:
    verb = "are" if pending.is_waiting else "were skipped as"
    return f"{pending.num_turns} {verb} {pending.reason}" + (f" ({pending.detail})" if pending.detail else "")
