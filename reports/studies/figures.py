"""Panels: one set of axes per task, in the look of all figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure


def panels(
    count: int, width: float = 4.2, height: float = 3.4, most: int = 3
) -> tuple[Figure, Sequence[Axes]]:
    """Return a figure with `count` axes, at most `most` in a row; sizes in inches per panel."""
    from matplotlib.figure import Figure

    across = min(count, most)
    down = -(-count // across)
    figure = Figure(figsize=(width * across, height * down), layout="constrained")
    return figure, [figure.add_subplot(down, across, number + 1) for number in range(count)]


def intervals(
    ax: Axes,
    places: Sequence[float],
    found: Sequence[tuple[float, float, float] | None],
    colour: str,
    label: str | None = None,
) -> None:
    """Draw a point and a line from low to high at each place, of (value, low, high); None leaves a gap."""
    drawn = [(place, *each) for place, each in zip(places, found, strict=True) if each is not None]
    if drawn:
        x, y, low, high = zip(*drawn, strict=True)
        ax.vlines(x, low, high, color=colour, linewidth=1.4, alpha=0.6)
        ax.plot(x, y, "o", color=colour, markersize=5, label=label)


def name_places(ax: Axes, names: Sequence[str]) -> None:
    """Write a name under each of the places 0, 1, ... of the horizontal axis."""
    ax.set_xticks(range(len(names)), names, rotation=30, ha="right")
    ax.set_xlim(-0.6, len(names) - 0.4)


def legend(figure: Figure | SubFigure, ax: Axes) -> None:
    """Put the legend of one panel below all of them, in as many columns as its longest entry lets fit."""
    from reports.plots import INK

    handles, labels = ax.get_legend_handles_labels()
    inches = 0.6 + 0.07 * max(map(len, labels), default=0)  # The line before an entry, and 8-point letters.
    columns = max(1, int(figure.bbox.width / figure.dpi / inches))
    figure.legend(
        handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=8, labelcolor=INK
    )
