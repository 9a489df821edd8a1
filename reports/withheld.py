"""Why a comparison gets no verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reports.board import Missing
from reports.evidence import Evidence


def why_withheld(own: str, base: str, evidence: Evidence, missing: Sequence[Missing]) -> str:
    """Return why a row gets no verdict against another on a task; empty where it may get one.

    Args:
        own: label of the row.
        base: label of the row it is compared with, the baseline.
        evidence: all runs on the task.
        missing: trials without a record.
    """
    for who, name in ((own, ""), (base, f" of the baseline {base}")):
        gaps = [m for m in missing if m.label == who and m.task == evidence.task.name]
        if gaps:
            listed = ", ".join(f"{m.seed} ({m.kind})" for m in gaps)
            return f"incomplete: seed{'s' if len(gaps) > 1 else ''} {listed}{name} missing"
    mine, theirs = evidence.cells[own], evidence.cells[base]
    if dead := sorted({*mine.teacher_collapsed, *theirs.teacher_collapsed}):
        return f"the start model collapsed ({in_words(dead)})"
    if 2 * len(theirs.collapsed) >= len(theirs.scores):
        return f"the baseline collapsed ({in_words(theirs.collapsed)})"
    return ""


def why_withheld_overall(reasons: Mapping[str, str]) -> str:
    """Return why a row gets no overall verdict, from the reasons by task (empty ones count for nothing)."""
    given = {task: reason for task, reason in reasons.items() if reason}
    if len(set(given.values())) == 1 and len(given) == len(reasons):
        return next(iter(given.values()))
    return "; ".join(f"{task}: {reason}" for task, reason in given.items())


def in_words(seeds: Sequence[int]) -> str:
    """Name seeds, e.g. `seeds 2, 4`."""
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
