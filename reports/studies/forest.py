"""Forest plots: changes between rows with their intervals, line under line, beside zero."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from reports.studies.figures import panels
from reports.studies.row_changes import RowChange

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Forest = Mapping[str, RowChange]
"""Changes by what is compared, from top to bottom."""


def draw(forests: Mapping[str, Forest], x: str) -> Figure | None:
    """Draw all forests on one scale, each under its name; None where there is no change.

    A point is filled where the verdict is better or worse, a square where it is equivalent, else hollow.

    Args:
        forests: by name.
        x: what a change is, below the axis.
    """
    from reports.plots import FAINT, PALETTE, frame

    drawn = {name: forest for name, forest in forests.items() if forest}
    if not drawn:
        return None
    names = [line for name, forest in drawn.items() for line in (name, *forest)]
    figure, (ax,) = panels(1, width=7.2, height=0.8 + 0.21 * len(names))
    frame(ax, "", x, "")
    ax.grid(visible=False)
    ax.axvline(0, color=FAINT, linewidth=0.8, linestyle="--")
    headings, y = [], 0
    for forest in drawn.values():
        headings.append(y)
        for change in forest.values():
            y += 1
            # Told apart by fill and shape, so that no verdict rests on colour.
            colour = PALETTE[1 if change.verdict == "worse" else 0]
            marker = "s" if change.verdict == "equivalent" else "o"
            fill = colour if change.verdict in ("better", "worse") else "white"
            ax.hlines(y, *change.interval, color=colour, linewidth=1.4, alpha=0.6)
            ax.plot(change.mean, y, marker, color=colour, markerfacecolor=fill, markersize=5)
        y += 1
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.8)
    ax.tick_params(axis="y", length=0)
    for heading in headings:
        ax.get_yticklabels()[heading].set_fontweight("bold")
    return figure
