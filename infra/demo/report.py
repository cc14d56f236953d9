"""The proof at the end: one query over the log, the lineage of the last checkpoint, and the verdict on the demo."""

import os
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from infra.demo.evaluate import Evaluation
from infra.demo.user import fault_of
from infra.stack import Stack
from streams.lineage import checkpoint_lineage, render_tree
from streams.query import LogQuery

MIN_RISE = 0.25  # of held-out compliance; far beyond what 32 answers could gain by chance from one model
MAX_TREE_LINES = 40
MATCHED = "SELECT count(*) FROM actions WHERE parent_action_id IS NOT NULL AND NOT ambiguous"

QUERY = """\
SELECT version, turns, judged_turns, round(mean_score, 2) AS mean_score, complaints, thanks, trained_turns
FROM learning ORDER BY version"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What the demo measured."""

    through: str  # what the users talked through, with its version
    before: Evaluation
    after: Evaluation
    version: int
    num_updates: int
    learning_s: float
    num_requests: int
    num_continuing: int  # requests that went on with a conversation
    num_matched: int  # of them, those whose conversation was found, without a guess
    failures: tuple[str, ...]

    @property
    def shortcomings(self) -> tuple[str, ...]:
        """Why the demo did not show learning; empty when it did."""
        rise = self.after.compliance - self.before.compliance
        checks = (
            (self.version > 0, "no new version was served"),
            (rise >= MIN_RISE, f"held-out compliance rose by {rise:.2f}, less than {MIN_RISE}"),
            (
                not self.failures,
                f"{len(self.failures)} requests failed, the first with: {next(iter(self.failures), '')}",
            ),
        )
        return tuple(sentence for holds, sentence in checks if not holds)


def count_matched(stack: Stack) -> int:
    """How many answers the log knows to go on with a conversation."""
    [[count]] = LogQuery(stack.kafka).sql(MATCHED).rows
    return int(count)


def print_log(console: Console, stack: Stack, version: int) -> None:
    """Show what the log says: one query, and the conversations behind the last version."""
    query = LogQuery(stack.kafka)
    console.rule("the log, asked with DuckDB", align="left")
    console.print(QUERY, highlight=False, markup=False)
    result = query.sql(QUERY)
    grid = Table(*result.columns)
    for row in result.rows:
        grid.add_row(*("" if value is None else str(value) for value in row))
    console.print(grid)
    if version == 0:
        return
    console.rule(f"which sentences made version {version}", align="left")
    lines = render_tree(checkpoint_lineage(query, stack.settings.policy, version)).splitlines()
    console.print("\n".join(lines[:MAX_TREE_LINES]), highlight=False, markup=False, soft_wrap=True)
    if len(lines) > MAX_TREE_LINES:
        console.print(f"... and {len(lines) - MAX_TREE_LINES} more lines", highlight=False)


def print_verdict(console: Console, stack: Stack, findings: Findings, seed: int) -> int:
    """Say what was shown, and how to look further.

    Returns: the exit code: 0 shown, 1 not shown.
    """
    before, after = findings.before, findings.after
    console.rule("result", align="left")
    for label, value in (
        ("seed", str(seed)),
        ("held-out compliance", f"{before.compliance:.2f} -> {after.compliance:.2f} ({len(before.answers)} questions)"),
        ("mean answer length", f"{before.mean_words:.0f} -> {after.mean_words:.0f} words"),
        ("updates", f"{findings.num_updates} in {findings.learning_s:.0f} s; version {findings.version} serves"),
        ("requests", f"{findings.num_requests}, {len(findings.failures)} failed"),
        ("matched", f"{findings.num_matched} of {findings.num_continuing} that go on with a conversation"),
        ("users talked through", findings.through),
    ):
        console.print(f"{label:>20}: {value}", highlight=False, markup=False)
    question, first, last = _example(before, after)
    console.print(f"\n{question}\n  version 0: {first}\n  version {findings.version}: {last}", markup=False)
    home = os.path.relpath(stack.settings.home)
    prefix = stack.kafka.topic_prefix
    where = f"--set home={home}" + (f" --set kafka.topic_prefix={prefix}" if prefix else "")
    console.print(f'\nAsk the log: .venv/bin/nextstate query "FROM lineage" {where}', markup=False)
    for sentence in findings.shortcomings:
        console.print(f"not shown: {sentence}", highlight=False, markup=False)
    return 1 if findings.shortcomings else 0


def _example(before: Evaluation, after: Evaluation) -> tuple[str, str, str]:
    """A question whose answer was wrong and is right now, or else the first."""
    both = before.answers.keys() & after.answers.keys()
    pairs = [(question, before.answers[question], after.answers[question]) for question in sorted(both)]
    changed = [pair for pair in pairs if fault_of(pair[0], pair[1]) and not fault_of(pair[0], pair[2])]
    return next(iter(changed or pairs), ("", "", ""))
