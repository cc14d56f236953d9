"""`rows_of`: what the runs say, one row per method and mode; and the table as Markdown.

Consumes run files. A score is the number of sessions until the third satisfying one in a row, mean over the users; its
interval is Student's over the seeds. Only whole seeds count: apart, a seed is one run per user.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from scipy.stats import t as student

from infra.experiment.methods import METHODS
from infra.experiment.run_log import MODES, RunId, RunLog, read_run, run_path
from infra.experiment.score import run_score, sessions_needed

CONFIDENCE = 0.95
LAST_SESSIONS = 5  # per user, for the share satisfied in the end

_LEARNED = ("method", "mode", "seeds", "sessions", "each user", "scored", "all", "last five", "held out")
_DRIFTED = (
    "method",
    "mode",
    "general",
    "sums",
    "answer tokens",
    "entropy",
    "KL",
    "repeated",
    "updates",
    "minutes",
)
_LIVE = "Live: through Kafka, SGLang and all else that a stack has, not through its code in one process. "
_LEGEND = """\
Sessions: until the third in a row whose first answer satisfied its user, mean over users and seeds; a user who never
was counts as the cap.
±: half of the 95% interval over seeds. Scored: users who were, before the cap. All, last five: first answers that
satisfied, of all sessions, and of each user's last five. Held out: answers to questions that were never asked before
that satisfy, after the last session. General, sums: change of the log-likelihood per token of held-out texts, in nats.
Entropy, KL to the start: nats per token of the policy's own held-out answers. Repeated: share of their 4-grams that
stood in the same answer before. Minutes: processor time of a run. Held-out questions and texts are put to the policy
alone: of a memory in the client's prompt they say nothing."""

Runs = Mapping[RunId, RunLog]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One method in one mode."""

    method: str
    mode: str
    scores: Sequence[float]  # one per seed
    by_user: Mapping[str, float]  # mean score of each
    scored: float  # share of users that were satisfied three times in a row
    shares: Sequence[float]  # one per seed: of first answers that satisfied, in all sessions; less luck than a score
    last_share: float  # of first answers that satisfied, in each user's last sessions
    held_out: float  # share of answers to questions that were never asked before, after the last session
    drift: Mapping[str, float]  # means, as `Drift` names them
    num_updates: float  # mean per run
    minutes: float  # of processor time, mean per run


def half_width(values: Sequence[float]) -> float | None:
    """Half of Student's interval of a mean; None where a single value says nothing of a spread."""
    if len(values) < 2:
        return None
    quantile = float(student.ppf((1 + CONFIDENCE) / 2, len(values) - 1))
    return quantile * stdev(values) / math.sqrt(len(values))


def read_runs(out: Path, run_ids: Iterable[RunId]) -> dict[RunId, RunLog]:
    """The runs of these that are done."""
    found = {run_id: read_run(run_path(out, run_id)) for run_id in run_ids}
    return {run_id: run for run_id, run in found.items() if run is not None and run.done}


def flags_by_user(runs: Iterable[RunLog]) -> dict[str, list[bool]]:
    """Of each user in these runs, whether the first answers satisfied, in order."""
    flags: dict[str, list[bool]] = defaultdict(list)
    for run in runs:
        for session in run.sessions:
            flags[session["user"]].append(session["satisfied"])
    return dict(flags)


def rows_of(runs: Runs) -> list[Row]:
    """The rows, in the order of the methods; a method without a whole seed has none."""
    rows = [_row(method, mode, _seeds(runs, method, mode)) for method in METHODS for mode in MODES]
    return [row for row in rows if row is not None]


def _seeds(runs: Runs, method: str, mode: str) -> list[list[RunLog]]:
    """The runs of each whole seed."""
    seeds: dict[int, list[RunLog]] = defaultdict(list)
    for run_id, run in runs.items():
        if run_id.method == method and run_id.mode == mode:
            seeds[run_id.seed].append(run)
    most = max(map(len, seeds.values()), default=0)
    return [seeds[seed] for seed in sorted(seeds) if len(seeds[seed]) == most]


def _row(method: str, mode: str, seeds: Sequence[Sequence[RunLog]]) -> Row | None:
    if not seeds:
        return None
    cap = seeds[0][0].run["cap"]
    flags = [flags_by_user(runs) for runs in seeds]
    users = list(flags[0])
    all_runs = [run for runs in seeds for run in runs]
    needed = [sessions_needed(one[user]) for one in flags for user in users]
    drifts = [run.done["drift"] for run in all_runs]
    return Row(
        method=method,
        mode=mode,
        scores=[run_score(one, cap) for one in flags],
        by_user={user: fmean(sessions_needed(one[user]) or cap for one in flags) for user in users},
        scored=fmean(score is not None for score in needed),
        shares=[fmean(fmean(one[user]) for user in users) for one in flags],
        last_share=fmean(fmean(one[user][-LAST_SESSIONS:]) for one in flags for user in users),
        held_out=fmean(share for run in all_runs for share in run.done["held_out"].values()),
        drift={name: fmean(drift[name] for drift in drifts) for name in drifts[0]},
        num_updates=fmean(len(run.updates) for run in all_runs),
        minutes=fmean(run.done["cpu_seconds"] for run in all_runs) / 60,
    )


def markdown(rows: Sequence[Row]) -> str:
    """The rows as two Markdown tables: how fast, and at what price."""
    learned = map(_learned, rows)
    drifted = (_drifted(row) for row in rows if not METHODS[row.method].remembers)
    legend = _LIVE + _LEGEND if any("live" in row.mode for row in rows) else _LEGEND
    return "\n\n".join((_table(_LEARNED, learned), _table(_DRIFTED, drifted), legend))


def _learned(row: Row) -> tuple[str, ...]:
    users = ", ".join(f"{user} {score:.1f}" for user, score in row.by_user.items())
    scores, shares = _with_interval(row.scores, ".1f"), _with_interval(row.shares, ".0%")
    ends = (f"{row.last_share:.0%}", "" if METHODS[row.method].remembers else f"{row.held_out:.0%}")
    return (_name(row), row.mode, str(len(row.scores)), scores, users, f"{row.scored:.0%}", shares, *ends)


def _drifted(row: Row) -> tuple[str, ...]:
    drift = row.drift
    changes = (f"{drift[f'{name}_logprob'] - drift[f'{name}_logprob_base']:+.2f}" for name in ("general", "sums"))
    values = (f"{drift['answer_tokens']:.0f}", f"{drift['entropy']:.2f}", f"{drift['kl']:.2f}")
    costs = (f"{drift['repeated']:.1%}", f"{row.num_updates:.0f}", f"{row.minutes:.0f}")
    return (_name(row), row.mode, *changes, *values, *costs)


def _with_interval(values: Sequence[float], form: str) -> str:
    width = half_width(values)
    return f"{fmean(values):{form}}" + ("" if width is None else f" ± {width:{form}}")


def _name(row: Row) -> str:
    return f"`{row.method}`: {METHODS[row.method].what}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
