"""Verdicts in plain words."""

from __future__ import annotations

from reports.board import Row
from reports.statistics.verdicts import signed


def sentence(row: Row, baseline: str) -> str:
    """Say what became of a row; its name goes before it, as in `loses 1.2 points (-2.0 to -0.4)`.

    Args:
        row: compared with the baseline, on a task or over all.
        baseline: label of the row it is compared with.
    """
    nothing = f"gets no verdict. {row.reason[:1].upper()}{row.reason[1:]}."
    if row.delta is None or row.ci is None:
        return nothing
    low, high = (signed(x) for x in row.ci)
    noise = f"cannot be told from {baseline}: the change could be {low} to {high}"
    if row.reason.startswith("depends on"):
        noise += f", and it {row.reason.partition(';')[0]}"
    elif row.ci[0] * row.ci[1] > 0:
        noise += "; on its own that would count, among all comparisons it does not"
    said = {
        "better": f"gains {abs(row.delta):.1f} points ({low} to {high}).",
        "worse": f"loses {abs(row.delta):.1f} points ({low} to {high}).",
        "equivalent": f"is as good as {baseline} to within {row.margin:g} points ({low} to {high}).",
        "within noise": f"{noise}.",
        "none": nothing,
    }
    return said[row.verdict]
