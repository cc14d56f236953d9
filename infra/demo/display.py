"""The demo's face: a live table on a terminal, one line every few seconds elsewhere."""

import time

from rich.console import Console
from rich.table import Table

from infra.demo.user import Tally
from infra.watch import Observed

RECENT_ANSWERS = 24  # enough that one answer does not swing the figure, few enough to show the trend
LINE_EVERY_S = 15.0


def _share(answers: list[bool]) -> str:
    return f"{sum(answers) / len(answers):.2f} of {len(answers)}" if answers else "-"


def rows(observed: Observed, tally: Tally) -> list[tuple[str, str]]:
    """What is shown, as (label, value)."""
    verdicts = ", ".join(f"{name}: {count}" for name, count in sorted(observed.verdicts.items())) or "-"
    checkpoint = observed.checkpoint
    last = "-"
    if checkpoint is not None:
        loss = checkpoint.metrics.get("loss", float("nan"))
        parity = checkpoint.metrics.get("parity_mean", float("nan"))
        last = (
            f"version {checkpoint.version} from {len(checkpoint.sample_ids)} samples, "
            f"loss {loss:.3f}, engine-trainer |dlogp| {parity:.1e}"
        )
    return [
        ("conversations", f"{tally.conversations} ({tally.requests} requests, {len(tally.failures)} failed)"),
        ("verdicts", f"{verdicts}; {observed.hints} with a hint"),
        ("samples, skips", f"{observed.events['samples']}, {observed.events['skips']}"),
        ("serving version", str(observed.serving_version)),
        ("compliance so far", f"{_share(tally.answers)}; newest {_share(tally.answers[-RECENT_ANSWERS:])}"),
        ("last checkpoint", last),
        ("lag", f"judge {observed.waiting_for_judge} transitions, trainer {observed.waiting_for_training} batches"),
    ]


def table(observed: Observed, tally: Tally, elapsed_s: float) -> Table:
    """The live table."""
    grid = Table(title=f"learning from the conversation, {elapsed_s:.0f} s", show_header=False, title_justify="left")
    for label, value in rows(observed, tally):
        grid.add_row(label, value)
    return grid


class LinePrinter:
    """Prints the rows as one line, at most every `LINE_EVERY_S`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last_s = -LINE_EVERY_S

    def update(self, observed: Observed, tally: Tally, elapsed_s: float) -> None:
        """Print if it is time to."""
        now_s = time.monotonic()
        if now_s - self._last_s >= LINE_EVERY_S:
            self._last_s = now_s
            line = " | ".join(f"{label}: {value}" for label, value in rows(observed, tally))
            self._console.print(f"[{elapsed_s:4.0f} s] {line}", highlight=False, markup=False, soft_wrap=True)
