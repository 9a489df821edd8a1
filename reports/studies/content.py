"""What every study's report yields, and the files it becomes."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reports.board import StudyFacts, SweepFacts, TaskFacts
from reports.decisions import Decisions
from reports.plots import to_png, to_svg
from reports.record import Record
from reports.tables import aligned
from reports.withheld import in_words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Variants = Callable[[Record], Mapping[str, Decisions]]
"""Reads what a record's variants decide, by name; a method's trial has one, `decisions.RESULT`."""


@dataclass(frozen=True)
class Table:
    """Named columns and rows of numbers, texts and None."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def to_csv(self) -> str:
        """Return CSV; numbers with six digits, None as an empty cell."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([_digits(cell) for cell in row] for row in self.rows)
        return text.getvalue()

    def to_markdown(self) -> str:
        """Return a Markdown table; texts start at the left, numbers end at the right."""
        lines = [[_words(cell) for cell in row] for row in self.rows]
        left = {i for i in range(len(self.columns)) if any(isinstance(row[i], str) for row in self.rows)}
        return aligned([[str(column) for column in self.columns], *lines], left)


@dataclass(frozen=True)
class Findings:
    """A study's result."""

    title: str
    conclusion: list[str]
    """Plain sentences that stand on their own."""
    summary: Table
    """What fits on a page."""
    table: Table
    """Every number."""
    figure: Figure | None = None
    notes: list[str] = field(default_factory=list)
    """How to read it: what was tested, what a column means."""
    further: Mapping[str, Table] = field(default_factory=dict)
    """More tables that fit on the page, by heading."""


Report = Callable[[StudyFacts, SweepFacts, Sequence[Record], Variants], Findings]
"""Makes the findings of a study of the records there are; at least one."""


def render(
    findings: Findings, study: StudyFacts, notes: Iterable[str] = (), missing: int = 0
) -> dict[str, bytes]:
    """Render `index.md`, `table.md`, `table.csv` and the figure as SVG and PNG.

    Args:
        findings: what the report yields.
        study: the study.
        notes: sentences about the sweep that must stand on top, such as which data and model these are.
        missing: trials of the study without a result.

    Returns:
        The content of each file by its name.
    """
    summary = findings.summary.to_markdown() + "\n"
    parts = [f"# {findings.title}"]
    if missing:
        parts.append(f"**Incomplete: {missing} trials have no result.**")
    parts += [*(f"> {note}" for note in notes), "\n".join(f"- {each}" for each in findings.conclusion)]
    files = {"table.md": summary.encode(), "table.csv": findings.table.to_csv().encode()}
    if findings.figure is not None:
        parts.append(f"![{findings.title}](figure.svg)")
        files |= {
            "figure.svg": to_svg(findings.figure, study.study).encode(),
            "figure.png": to_png(findings.figure),
        }
    parts.append(summary.strip())
    parts += [f"## {heading}\n\n{table.to_markdown()}" for heading, table in findings.further.items()]
    parts += [*findings.notes, "Every number stands in [table.csv](table.csv)."]
    if study.paper:
        parts.append(f"After {study.paper}.")
    return {"index.md": ("\n\n".join(parts) + "\n").encode(), **files}


def by_task(sweep: SweepFacts, records: Iterable[Record]) -> list[tuple[TaskFacts, list[Record]]]:
    """Group records by task in the sweep's order, each group by seed; tasks without a record are left out."""
    ordered = sorted(records, key=lambda record: record.seed)
    grouped = [(task, [record for record in ordered if record.task == task.name]) for task in sweep.tasks]
    return [(task, own) for task, own in grouped if own]


def collapsed_starts(sweep: SweepFacts, records: Iterable[Record]) -> list[str]:
    """Say of each task at which seeds the start model had collapsed."""
    found = []
    for task, own in by_task(sweep, records):
        seeds = sorted({r.seed for r in own if r.teacher_collapsed})
        if seeds:
            found.append(
                f"{task.long_name}: the start model collapsed ({in_words(seeds)}); what is found "
                "there is of a model that has learnt nothing."
            )
    return found


def seeds_in_words(records: Sequence[Record]) -> str:
    """Return `1 seed` or `5 seeds`."""
    count = len({record.seed for record in records})
    return f"{count} seed{'' if count == 1 else 's'}"


def machine(record: Record) -> str:
    """Name what a record's times were measured on: processor or GPU, threads, library."""
    facts = record.environment
    where = facts.get("gpu") or facts.get("processor", "an unknown processor")
    torch = facts.get("libraries", {}).get("torch", "?")
    return f"{where}, {facts.get('threads', '?')} thread(s), torch {torch}"


def _digits(cell: Any) -> Any:
    return "" if cell is None else f"{cell:.6g}" if isinstance(cell, float) else cell


def _words(cell: Any) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:.4f}" if 0 < abs(cell) < 0.05 else f"{cell:.2f}"
    return str(cell).replace("|", "\\|")
