"""Forest plots: changes between rows with their intervals, line under line, beside zero."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from reports.studies.figures import panels
from reports.studies.steps import Change

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Forest = Mapping[str, Change]
"""Changes by what is compared, from top to bottom."""


def draw(forests: Mapping[str, Forest], x: str) -> Figure | None:
    """Draw all forests on one scale, each under its name; None where there is no change.

    Args:
        forests: by name.
        x: what a change is, below the axis.
    """
    from reports.plots import FAINT, PALETTE, frame

    drawn = {name: forest for name, forest in forests.items() if forest}
    if not drawn:
        return None
    names = [line for name, forest in drawn.items() for line in (name, *forest)]
    figure, (place,) = panels(1, width=7.2, height=0.8 + 0.21 * len(names))
    frame(place, "", x, "")
    place.grid(visible=False)
    place.axvline(0, color=FAINT, linewidth=0.8, linestyle="--")
    y = 0
    for forest in drawn.values():
        for line, change in enumerate(forest.values(), start=y + 1):
            # What is significant is filled, so that the verdict does not rest on colour.
            significant = change.verdict in ("better", "worse")
            colour = PALETTE[1 if change.verdict == "worse" else 0]
            place.hlines(line, *change.interval, color=colour, linewidth=1.4, alpha=0.6)
            fill = colour if significant else "white"
            place.plot(change.mean, line, "o", color=colour, markerfacecolor=fill, markersize=5)
        y += 1 + len(forest)
    place.set_yticks(range(len(names)), names)
    place.set_ylim(len(names) - 0.4, -0.8)
    place.tick_params(axis="y", length=0)
    for label in place.get_yticklabels():
        if label.get_text() in drawn:
            label.set_fontweight("bold")
    return figure
