"""The leaderboard as one self-contained HTML page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from reports.board import Leaderboard
from reports.names import short_names
from reports.plots import FAMILIES, inline
from reports.sentences import sentence
from reports.sparks import change_scale, forest, score_scale, strip
from reports.statistics.verdicts import MARKS, rounded_p, signed
from reports.tables import millions, when

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

MOST_SENTENCES = 4
"""Rows within noise that get a sentence each; more of them share one."""
METRICS = {"accuracy": "accuracy", "f1": "F1", "matthews": "Matthews correlation"}


def to_html(board: Leaderboard, figures: Mapping[str, str]) -> str:
    """Render the page; it loads nothing from anywhere and opens from a file.

    Args:
        board: the leaderboard.
        figures: SVG documents by task, `overall` among them.
    """
    from markupsafe import Markup

    tables = [("overall", board.overall)] if board.overall else []
    tables += [(task.name, board.of(task.name)) for task in board.sweep.tasks]
    cells = {(row.label, row.task): row for row in board.rows}
    compared = [row for row in board.overall if row.delta is not None]
    noise = [row for row in compared if row.verdict == "within noise"]
    together = noise if len(noise) > MOST_SENTENCES else []
    apart = [row for row in compared if not together or row.verdict != "within noise"]
    names = short_names(row.label for row in board.overall)
    return (
        _environment()
        .get_template("leaderboard.html")
        .render(
            board=board,
            sweep=board.sweep,
            tables=dict(tables),
            scales={name: (score_scale(rows), change_scale(rows)) for name, rows in tables},
            batches=sorted({b for _, rows in tables for r in rows for b in r.latency_ms or {}}, key=int),
            timed=next((row.latency for row in board.rows if row.latency), None),
            cells=cells,
            figures={name: Markup(inline(svg, name)) for name, svg in figures.items()},
            sentences=[(row, sentence(row, board.sweep.baseline)) for row in apart],
            together=[names[row.label] for row in together],
            papers={m.label: m.paper for m in board.sweep.methods},
            titles={task.name: task.short_name for task in board.sweep.tasks},
            families=[f for f in FAMILIES if any(m.family == f for m in board.sweep.methods)],
        )
    )


def number(value: float | None, places: int = 1, unit: str = "") -> str:
    """Format a number; a dash where there is none."""
    return "–" if value is None else f"{value:,.{places}f}{unit}"


def scaled(value: float | None) -> str:
    """Format a large count with a letter: 3.2 G."""
    if value is None:
        return "–"
    for power, letter in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= power:
            return f"{value / power:.3g} {letter}"
    return f"{value:.3g}"


def duration(seconds: float | None) -> str:
    """Format wall time."""
    if seconds is None:
        return "–"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def p_value(p: float | None) -> str:
    """Format a p-value; a dash where there is none."""
    return "–" if p is None else rounded_p(p)


def minus(text: str) -> str:
    """Set signs and ranges of numbers as a typographer would."""
    return re.sub(r"(?<![\w.-])-(?=\d)", "−", text.replace("...", " … "))


def breakable(label: str) -> Markup:
    """Allow a line break between a method's name and its fields, and between fields."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"([:,=])", r"\1<wbr>", str(escape(label))))


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = {
        "number": number,
        "scaled": scaled,
        "duration": duration,
        "p": p_value,
        "signed": lambda value: "–" if value is None else minus(signed(value)),
        "minus": minus,
        "breakable": breakable,
        "millions": millions,
    }
    environment.filters |= filters
    environment.globals |= {
        "strip": strip,
        "forest": forest,
        "marks": MARKS,
        "metrics": METRICS,
        "when": when,
    }
    return environment
