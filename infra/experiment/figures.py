"""`draw_curves`: the share of satisfied users against the session number, one panel per method."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from infra.experiment.run_log import RunId, RunLog
from infra.experiment.table import flags_by_user

WINDOW = 5  # sessions; fewer swing with each answer, more hide the rise
PANELS_PER_ROW = 4
PANEL_INCHES = 2.8


def rolling(flags: Sequence[bool]) -> list[float]:
    """Share of true ones among the last `WINDOW` up to each place."""
    return [fmean(flags[max(0, end - WINDOW) : end]) for end in range(1, len(flags) + 1)]


def draw_curves(runs: Mapping[RunId, RunLog], path: Path) -> None:
    """Writes a picture: thin lines are runs and users, the thick one is their mean as long as all of them talk."""
    panels: dict[str, list[RunLog]] = {}
    for run_id, run in runs.items():
        panels.setdefault(f"{run_id.method}, {run_id.mode}", []).append(run)
    num_rows = max(1, -(-len(panels) // PANELS_PER_ROW))
    size = (PANELS_PER_ROW * PANEL_INCHES, num_rows * PANEL_INCHES)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    for number, (title, of_method) in enumerate(panels.items(), start=1):
        _draw(figure.add_subplot(num_rows, PANELS_PER_ROW, number), title, of_method)
    figure.axes[0].legend(fontsize=7, loc="upper left")
    figure.supxlabel("session")
    figure.supylabel(f"satisfied by the first answer, share of {WINDOW}")
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _draw(axes: Axes, title: str, runs: Sequence[RunLog]) -> None:
    users = sorted({session["user"] for run in runs for session in run.sessions})
    colors = {user: f"C{number}" for number, user in enumerate(users)}
    curves = [(user, rolling(flags)) for run in runs for user, flags in flags_by_user([run]).items()]
    for user, curve in curves:
        axes.plot(range(1, len(curve) + 1), curve, color=colors[user], linewidth=0.6, alpha=0.5)
    shared = min(len(curve) for _, curve in curves)
    means = [fmean(curve[place] for _, curve in curves) for place in range(shared)]
    axes.plot(range(1, shared + 1), means, color="black", linewidth=2)
    for user, color in colors.items():
        axes.plot([], [], color=color, label=user)
    axes.set_title(title, fontsize=9)
    axes.set_ylim(-0.03, 1.03)
