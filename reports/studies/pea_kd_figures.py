"""Figures of `pea-kd-steps`: score by step, or, where students differ in depth, score against k."""

from __future__ import annotations

import statistics
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports.board import SweepFacts
from reports.studies.figures import legend, panels
from reports.studies.pea_kd_parts import PARTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Line:
    """One row: its number of layers, its part, its name, and its scores by task and seed."""

    k: int
    part: str
    name: str
    scores: Mapping[str, Mapping[int, float]]


def draw(
    sweep: SweepFacts, teacher: int | None, lines: Sequence[Line], collapsed: Container[str]
) -> Figure | None:
    """Draw a panel for each task that has scores; None where none has.

    Args:
        sweep: its tasks, in order.
        teacher: layers of the start model, whose median is a dashed line; None without one.
        lines: all rows, the start model's last.
        collapsed: tasks whose start model collapsed; their panels say so.
    """
    from reports.plots import FAINT, frame

    students = [line for line in lines if line.part in PARTS]
    tasks = [task for task in sweep.tasks if any(line.scores[task.name] for line in students)]
    if not tasks:
        return None
    several = len({line.k for line in students}) > 1
    figure, axes = panels(len(tasks), height=3.4 if several else 4.2)
    for ax, task in zip(axes, tasks, strict=True):
        if teacher is not None and (own := lines[-1].scores[task.name]):
            ax.axhline(
                statistics.median(own.values()),
                color=FAINT,
                linewidth=0.8,
                linestyle="--",
                label=f"BERT_{teacher}, the teacher",
            )
        (_against_k if several else _by_step)(ax, task.name, students)
        x = "layers of the student" if several else ""
        mark = " (start model collapsed)" if task.name in collapsed else ""
        frame(ax, task.short_name + mark, x, f"{task.primary} (points)")
    legend(figure, axes[0])
    return figure


def _by_step(ax: Axes, task: str, lines: Sequence[Line]) -> None:
    """Every seed a faint point, the median a bar; steps from left to right."""
    from reports.plots import INK, PALETTE

    for x, line in enumerate(lines):
        scores = list(line.scores[task].values())
        colour = PALETTE[list(PARTS).index(line.part) % len(PALETTE)]
        ax.plot([x] * len(scores), scores, "o", color=colour, markersize=4, alpha=0.45)
        if scores:
            median = statistics.median(scores)
            ax.plot([x - 0.3, x + 0.3], [median, median], color=colour, linewidth=2)
    ax.set_xticks(range(len(lines)))
    ax.set_xticklabels(
        [line.name for line in lines], rotation=55, ha="right", fontsize=7, color=INK, rotation_mode="anchor"
    )


def _against_k(ax: Axes, task: str, lines: Sequence[Line]) -> None:
    """A line for each part: medians, and a band from the lowest to the highest seed."""
    from matplotlib.ticker import MaxNLocator

    from reports.plots import PALETTE

    for number, (part, role) in enumerate(PARTS.items()):
        own = [(line.k, list(line.scores[task].values())) for line in lines if line.part == part]
        own = [(k, scores) for k, scores in own if scores]
        if not own:
            continue
        colour, x = PALETTE[number % len(PALETTE)], [k for k, _ in own]
        low, high = [min(scores) for _, scores in own], [max(scores) for _, scores in own]
        ax.fill_between(x, low, high, color=colour, alpha=0.1, linewidth=0)
        y = [statistics.median(scores) for _, scores in own]
        ax.plot(x, y, "-o", color=colour, markersize=4, linewidth=1.4, label=role.name.format(k="k"))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
