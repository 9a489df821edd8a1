"""Panels: one set of axes per task, in the look of all figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PER_ROW = 3


def panels(count: int, width: float = 4.2, height: float = 3.4) -> tuple[Figure, Sequence[Axes]]:
    """Return a figure with `count` axes, at most three in a row; sizes in inches per panel."""
    from matplotlib.figure import Figure

    across = min(count, _PER_ROW)
    down = -(-count // across)
    figure = Figure(figsize=(width * across, height * down), layout="constrained")
    return figure, [figure.add_subplot(down, across, number + 1) for number in range(count)]


def legend(figure: Figure, axes: Axes, inches: float = 1.9) -> None:
    """Put the legend of one panel below all of them; each entry gets so many inches."""
    from reports.plots import INK

    handles, labels = axes.get_legend_handles_labels()
    columns = max(1, int(figure.get_figwidth() / inches))
    figure.legend(
        handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=8, labelcolor=INK
    )
