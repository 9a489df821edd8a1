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
    """Draw a panel for each forest that has changes; None where none has.

    Args:
        forests: by title.
        x: what a change is, below every panel.
    """
    from reports.plots import FAINT, PALETTE, frame

    drawn = {title: forest for title, forest in forests.items() if forest}
    if not drawn:
        return None
    lines = max(map(len, drawn.values()))
    ends = [end for forest in drawn.values() for change in forest.values() for end in (*change.interval, 0.0)]
    margin = 0.04 * (max(ends) - min(ends))
    figure, axes = panels(len(drawn), width=5.6, height=1.3 + 0.27 * lines, most=2)
    for place, (title, forest) in zip(axes, drawn.items(), strict=True):
        frame(place, title, x, "")
        place.grid(visible=False)
        place.axvline(0, color=FAINT, linewidth=0.8, linestyle="--")
        for y, change in enumerate(forest.values()):
            # What is significant is filled, so that the verdict does not rest on colour.
            significant = change.verdict in ("better", "worse")
            colour = PALETTE[1 if change.verdict == "worse" else 0]
            place.hlines(y, *change.interval, color=colour, linewidth=1.4, alpha=0.6)
            fill = colour if significant else "white"
            place.plot(change.mean, y, "o", color=colour, markerfacecolor=fill, markersize=5)
        place.set_yticks(range(len(forest)), list(forest))
        # One scale for all panels, in both directions; the first line is on top.
        place.set_ylim(lines - 0.4, -0.6)
        place.set_xlim(min(ends) - margin, max(ends) + margin)
    return figure
