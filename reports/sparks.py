"""Word-sized SVG graphics inside table cells; colours come from the page's style sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from reports.board import Row

WIDTH, HEIGHT, PAD = 112, 20, 5


@dataclass(frozen=True)
class Scale:
    """Maps points to horizontal positions; what lies outside is drawn at the edge."""

    low: float
    high: float

    def __call__(self, value: float) -> float:
        """Return the position of a value in points."""
        share = (value - self.low) / (self.high - self.low)
        return round(PAD + min(max(share, 0.0), 1.0) * (WIDTH - 2 * PAD), 1)


def score_scale(rows: Sequence[Row]) -> Scale:
    """Return a scale over all runs that did not collapse."""
    kept = [s for row in rows for seed, s in _runs(row) if seed not in row.collapsed_seeds]
    return _scale(kept or [s for row in rows for s in row.scores])


def change_scale(rows: Sequence[Row]) -> Scale:
    """Return a scale over all changes, zero and the margin; very wide intervals run off its edge."""
    values = [row.delta for row in rows if row.delta is not None]
    margins = [sign * 1.4 * row.margin for row in rows for sign in (-1, 1)]
    return _scale([*values, *margins, 0.0], room=0.2)


def _scale(values: Sequence[float], room: float = 0.04) -> Scale:
    if not values:
        return Scale(0.0, 1.0)
    span = max(max(values) - min(values), 0.5)
    return Scale(min(values) - room * span, max(values) + room * span)


def strip(row: Row, scale: Scale) -> Markup:
    """Draw all seeds as dots, min to max as a line, the median as a tick; collapsed runs are hollow."""
    if row.median is None or row.min is None or row.max is None:
        return Markup("")
    middle = HEIGHT / 2
    dots = "".join(
        f'<circle cx="{scale(score)}" cy="{middle}" r="2.6" '
        f'class="{"hollow" if seed in row.collapsed_seeds else "dot"}">'
        f"<title>seed {seed}: {score:.1f}</title></circle>"
        for seed, score in _runs(row)
    )
    return _svg(
        f"median {row.median:.1f}, runs {row.min:.1f} to {row.max:.1f}",
        f'<line x1="{scale(row.min)}" x2="{scale(row.max)}" y1="{middle}" y2="{middle}" class="range"/>{dots}'
        f'<line x1="{scale(row.median)}" x2="{scale(row.median)}" y1="3" y2="{HEIGHT - 3}" class="median"/>',
    )


def forest(row: Row, scale: Scale) -> Markup:
    """Draw the change with its interval over a zero line and the band of the equivalence margin."""
    if row.delta is None or row.ci is None:
        return Markup("")
    low, high = row.ci
    middle, band = HEIGHT / 2, scale(row.margin) - scale(-row.margin)
    arrows = "".join(
        f'<path d="M{x} {middle - 3.5}L{x + turn} {middle}L{x} {middle + 3.5}Z" class="arrow"/>'
        for outside, x, turn in ((low < scale.low, PAD, -4), (high > scale.high, WIDTH - PAD, 4))
        if outside
    )
    return _svg(
        f"change {row.delta:+.1f}, 95 % interval {low:+.1f} to {high:+.1f}, margin {row.margin:g}",
        f'<rect x="{scale(-row.margin)}" y="0" width="{band:.1f}" height="{HEIGHT}" class="margin"/>'
        f'<line x1="{scale(0)}" x2="{scale(0)}" y1="0" y2="{HEIGHT}" class="zero"/>'
        f'<line x1="{scale(low)}" x2="{scale(high)}" y1="{middle}" y2="{middle}" class="interval"/>{arrows}'
        f'<circle cx="{scale(row.delta)}" cy="{middle}" r="3.4" class="mean"/>',
        row.verdict.replace(" ", "-"),
    )


def _runs(row: Row) -> list[tuple[int, float]]:
    return list(zip(row.seeds, row.scores, strict=True))


def _svg(text: str, body: str, verdict: str = "") -> Markup:
    # All parts are numbers and our own words; nothing a user wrote goes in.
    return Markup(
        f'<svg class="spark {verdict}" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-label="{text}">{body}</svg>'
    )
