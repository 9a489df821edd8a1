"""Figures: score against size, and the look of all figures."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Literal

from reports.board import Leaderboard, Row
from reports.names import short_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Box = tuple[float, float, float, float]  # left, bottom, right, top in points
Offset = tuple[float, float, Literal["left", "center", "right"]]
_LABEL = 8.0  # size of a point's label
INK, FAINT = "#1d1c1a", "#8a867e"
FAMILIES = {  # Okabe-Ito's palette, distinguishable by colour-blind readers, and a shape each
    "baseline": ("#55524d", "s"),
    "pruning": ("#0072b2", "o"),
    "distillation": ("#c65102", "D"),
    "sharing": ("#008563", "^"),
}
_OTHER = ("#a0458a", "v")
PALETTE = ("#0072b2", "#c65102", "#008563", "#a0458a", "#55524d", "#b58900", "#56b4e9", "#7f3b08")
"""Colours of lines that stand for other things than families."""
_THEME = {INK: "ink", FAINT: "faint", **{c: family for family, (c, _) in FAMILIES.items()}}


def scatter(rows: Sequence[Row], title: str, metric: str) -> Figure | None:
    """Draw median score (line: min to max) against unique parameters, embeddings included.

    Returns:
        The figure; None unless at least two rows have a score and a size.
    """
    from matplotlib.figure import Figure

    points = [r for r in rows if r.median is not None and r.parameters]
    if len(points) < 2:
        return None
    figure = Figure(figsize=(4.5, 3.5))
    figure.subplots_adjust(left=0.13, right=0.985, top=0.915, bottom=0.235)
    axes = figure.add_subplot()
    sizes = [(row.parameters or 0) / 1e6 for row in points]
    seen = set()
    for size, row in zip(sizes, points, strict=True):
        colour, marker = FAMILIES.get(row.family, _OTHER)
        name = None if row.family in seen else row.family
        seen.add(row.family)
        axes.vlines(size, row.min or 0.0, row.max or 0.0, color=colour, linewidth=1, alpha=0.45, zorder=2)
        axes.plot(size, row.median or 0.0, marker, color=colour, markersize=6, label=name, zorder=3)
    _style(axes, title, metric, sizes)
    heights = [row.median or 0.0 for row in points]
    _fit(axes, points)
    names = short_names(row.label for row in points)
    _label(axes, sizes, heights, [names[row.label] for row in points])
    return figure


def scatters(board: Leaderboard) -> dict[str, Figure]:
    """Return the scatter of each task, and of `overall`, that has one."""
    titles = {task.name: task.short_name for task in board.sweep.tasks}
    every = len(board.averaged) == len(board.sweep.tasks)
    together = "All tasks" if every else f"Mean of {', '.join(titles[name] for name in board.averaged)}"
    wanted = [("overall", together, "mean score", board.overall)]
    wanted += [(name, title, _metric(board.of(name)), board.of(name)) for name, title in titles.items()]
    drawn = {name: scatter(rows, title, metric) for name, title, metric, rows in wanted}
    return {name: figure for name, figure in drawn.items() if figure is not None}


def to_svg(figure: Figure, name: str) -> str:
    """Return the figure as an SVG document; `name` makes the ids inside unique."""
    import matplotlib

    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return text.getvalue()


def inline(svg: str, name: str) -> str:
    """Make an SVG document part of an HTML page.

    The prolog and the fixed size go, colours and font become the page's (CSS variables), and ids get `name`
    in front, so that several figures can stand on one page.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<svg [^>]*?(viewBox=\"[^\"]*\")[^>]*>", r'<svg \1 role="img">', svg, count=1)
    svg = re.sub(r"(font: (?:\w+ )?[\d.]+px) [^;\"]*", r"\1 var(--sans)", svg)
    svg = svg.replace(' id="', f' id="{name}-').replace("url(#", f"url(#{name}-")
    svg = svg.replace('xlink:href="#', f'href="#{name}-')
    for colour, variable in _THEME.items():
        svg = svg.replace(colour, f"var(--{variable})")
    return svg


def to_png(figure: Figure) -> bytes:
    """Return the figure as PNG on white, 200 dots per inch."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=200, facecolor="white", metadata={"Software": None})
    return data.getvalue()


def frame(ax: Axes, title: str, x: str, y: str) -> None:
    """Give axes the look of all figures here, a title and the names of both axes."""
    ax.set_title(title, loc="left", fontsize=10, color=INK, fontweight="bold")
    ax.set_xlabel(x, fontsize=8.5, color=INK)
    ax.set_ylabel(y, fontsize=8.5, color=INK)
    ax.tick_params(colors=FAINT, labelcolor=INK, labelsize=8, length=3)
    ax.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.6)
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(FAINT)


def _metric(rows: Sequence[Row]) -> str:
    return rows[0].metric if rows else ""


def _style(ax: Axes, title: str, metric: str, sizes: Sequence[float]) -> None:
    frame(ax, title, "parameters (million)", f"{metric} (points)")
    room = max(max(sizes) - min(sizes), 0.1 * max(sizes))
    ax.set_xlim(min(sizes) - 0.14 * room, max(sizes) + 0.14 * room)
    ax.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.19),
        ncols=5,
        frameon=False,
        fontsize=8,
        labelcolor=INK,
        handletextpad=0.1,
        columnspacing=1.2,
    )


def _fit(ax: Axes, rows: Sequence[Row]) -> None:
    """Show every median; runs far below all medians (collapsed ones) may leave the picture."""
    medians = [r.median or 0.0 for r in rows]
    span = max(max(medians) - min(medians), 1.0)
    low = max(min(r.min or 0.0 for r in rows), min(medians) - 0.4 * span)
    high = max(r.max or 0.0 for r in rows)
    ax.set_ylim(low - 0.1 * span, high + 0.12 * span)


def _label(ax: Axes, xs: Sequence[float], ys: Sequence[float], labels: Sequence[str]) -> None:
    """Write each label beside its point where it covers least of what is there already."""
    points = list(zip(xs, ys, strict=True))
    scale = 72 / ax.figure.dpi  # everything below is in points, whatever resolution the file has
    x0, y0, x1, y1 = (edge * scale for edge in ax.get_window_extent().extents)
    spots = [(x * scale, y * scale) for x, y in ax.transData.transform(points)]
    taken: list[Box] = [(x - 4, y - 4, x + 4, y + 4) for x, y in spots]
    for spot, point, label in sorted(zip(spots, points, labels, strict=True), key=lambda p: -p[0][1]):
        extent = _extent(label)
        boxes = {offset: _box(spot, extent, offset) for offset in _offsets()}
        costs = {offset: _cost(box, taken, (x0, y0, x1, y1), offset) for offset, box in boxes.items()}
        best = min(costs, key=costs.__getitem__)
        taken.append(boxes[best])
        ax.annotate(
            label,
            point,
            best[:2],
            textcoords="offset points",
            ha=best[2],
            va="center",
            fontsize=_LABEL,
            color=INK,
        )


def _box(spot: tuple[float, float], extent: tuple[float, float], offset: Offset) -> Box:
    (x, y), (width, height), (dx, dy, side) = spot, extent, offset
    left = x + dx - {"left": 0.0, "center": 0.5, "right": 1.0}[side] * width
    return left, y + dy - height / 2, left + width, y + dy + height / 2


def _cost(box: Box, taken: Sequence[Box], frame: Box, offset: Offset) -> float:
    outside = (box[2] - box[0]) * (box[3] - box[1]) - _overlap(box, frame)
    return sum(_overlap(box, other) for other in taken) + 4 * outside + abs(offset[0]) + abs(offset[1])


def _extent(label: str) -> tuple[float, float]:
    """Return width and height of a label in points, from the font's own metrics."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=_LABEL)
    width, _, _ = text_to_path.get_text_width_height_descent(label, font, ismath=False)
    return width, 1.25 * _LABEL


@cache
def _offsets() -> list[Offset]:
    sides: list[tuple[float, Literal["left", "center", "right"]]]
    sides = [(7.0, "left"), (-7.0, "right"), (0.0, "center")]
    near = [(dx, dy, side) for dy in (0.0, 9.0, -9.0, 17.0, -17.0, 26.0, -26.0) for dx, side in sides]
    return [spot for spot in near if spot[:2] != (0.0, 0.0)]


def _overlap(a: Box, b: Box) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return width * height if width > 0 and height > 0 else 0.0
