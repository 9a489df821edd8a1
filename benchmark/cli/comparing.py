"""The command `compare`: one row of a sweep against another, whatever its baseline is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from benchmark.cli import options

if TYPE_CHECKING:
    from benchmark.store.manifest import Manifest
    from benchmark.store.store import Store
    from reports.board import Leaderboard, Row, SweepFacts


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(compare)


def compare(
    target: options.Target,
    own: Annotated[
        str, typer.Argument(metavar="A", help="Label of a row, e.g. kd:layers=3.", show_default=False)
    ],
    base: Annotated[
        str,
        typer.Argument(
            metavar="B", help="Label of the row that A is compared with, e.g. finetune.", show_default=False
        ),
    ],
    tasks: Annotated[
        list[str] | None, typer.Option("--tasks", "-t", help="Compare on this task only (repeatable).")
    ] = None,
    output: options.Output = None,
    as_json: options.AsJson = False,
) -> None:
    """Compare two rows of a sweep by the leaderboard's test; its leaderboard stays as it is.

    leanboard compare first.yaml kd:layers=3 patient-kd:layers=3

    leanboard compare published.zip kd:layers=3 finetune -t sst2 -t qnli

    Changes are A minus B, paired by seed, with 95 % intervals over new seeds
    and examples. p is adjusted for as many comparisons as tasks are compared
    (Benjamini-Hochberg); their average is one comparison. The leaderboard
    adjusts for all its rows: a pair that was picked there by its scores is
    tested there, not here.
    """
    from benchmark.cli.tables import comparison_table

    store, manifest = options.open_target(target, output)
    board = _board(store, manifest, _part(manifest.sweep, own, base, tasks or [], target))
    lines = _lines(board, own)
    sentence = _sentence(board, own, lines)
    if as_json:
        typer.echo(json.dumps(_content(board, own, lines, sentence), indent=1))
        return
    console = Console()
    options.echo(console, f"A  {own}\nB  {base}")
    console.print(comparison_table(board, lines, _judged(lines)))
    for row, _ in lines:
        options.echo(console, f"{row.task}: {row.verdict}: {row.reason}")
    for note in board.notes:
        options.echo(console, note)
    for task, why in board.left_out.items():
        options.echo(console, f"{task} is left out of overall: {why}")
    options.echo(console, f"\n{sentence}")


def _part(sweep: SweepFacts, own: str, base: str, tasks: Sequence[str], where: str) -> SweepFacts:
    """The sweep of two rows, the second its baseline.

    Raises:
        BadInput: there is no such row or task, or both rows are one.
    """
    from tasks import registry
    from tasks.errors import BadInput, did_you_mean

    rows = {method.label: method for method in sweep.methods}
    for label in (own, base):
        if label not in rows:
            raise BadInput(f"{label}: no such row in {where}; {did_you_mean(label, rows)}")
    if own == base:
        raise BadInput(f"{own}: is both A and B; name two rows")
    known = {task.name: task for task in sweep.tasks}
    names = [name if name in known else registry.task(name).name for name in tasks] or list(known)
    for name in names:
        if name not in known:
            raise BadInput(f"-t {name}: no such task in {where}; {did_you_mean(name, known)}")
    return sweep.model_copy(
        update={
            "methods": (rows[own], rows[base]),
            "tasks": tuple(task for name, task in known.items() if name in names),
            "baseline": base,
        }
    )


def _board(store: Store, manifest: Manifest, sweep: SweepFacts) -> Leaderboard:
    """The leaderboard of a part of a sweep, from its records."""
    from benchmark.publish import warnings
    from reports import leaderboard, predictions

    labels, tasks = {method.label for method in sweep.methods}, {task.name for task in sweep.tasks}
    rows = {key: node for key, node in manifest.rows().items() if node.label in labels and node.task in tasks}
    # Prerequisites say whether what the rows start from has changed since.
    others = [node for node in manifest.nodes if not node.row and not node.study]
    part = manifest.model_copy(update={"nodes": (*rows.values(), *others), "sweep": sweep})
    found = part.scan(store).records
    records = {key: record for key, record in found.items() if key in rows}
    return leaderboard.build(
        records.values(),
        lambda record: predictions.read(store.open(record, "predictions.parquet")),
        sweep,
        failures=list(store.failures(rows.keys() - records.keys()).values()),
        notes=warnings(part, found.values()),
    )


def _lines(board: Leaderboard, own: str) -> list[tuple[Row, Row]]:
    """The row and the one it is compared with: over all tasks, where there are several, then by task."""
    groups = [board.overall] if len(board.averaged) > 1 else []
    groups += [board.of(task.name) for task in board.sweep.tasks]
    return [
        (next(row for row in rows if row.label == own), next(row for row in rows if row.label != own))
        for rows in groups
    ]


def _judged(lines: Sequence[tuple[Row, Row]]) -> int:
    """Tasks with a verdict: as many comparisons their p-values are adjusted for."""
    from reports.board import OVERALL

    return sum(row.task != OVERALL and row.verdict != "none" for row, _ in lines)


def _sentence(board: Leaderboard, own: str, lines: Sequence[tuple[Row, Row]]) -> str:
    """What came out over all tasks, or on each where no average is taken."""
    from reports.board import OVERALL
    from reports.sentences import sentence

    names = {task.name: task.short_name for task in board.sweep.tasks}
    places = {task: f"on {name}" for task, name in names.items()}
    places[OVERALL] = f"on average over {', '.join(names[task] for task in board.averaged)}"
    chosen = [row for row, _ in lines if row.task == OVERALL] or [row for row, _ in lines]
    base = board.sweep.baseline
    return " ".join(f"{own} against {base}, {places[row.task]}: {sentence(row, base)}" for row in chosen)


def _content(board: Leaderboard, own: str, lines: Sequence[tuple[Row, Row]], sentence: str) -> dict[str, Any]:
    """The same for programs, under the names of `leanboard report --json`."""
    fields = ("delta", "ci", "p", "p_adjusted", "margin", "verdict", "reason")
    return {
        "sweep": board.sweep.name,
        "label": own,
        "baseline": board.sweep.baseline,
        "unit": "points",
        "complete": board.complete,
        "adjusted_over": _judged(lines),
        "averaged": board.averaged,
        "left_out": board.left_out,
        "notes": board.notes,
        "comparisons": [
            {
                "task": row.task,
                "metric": row.metric,
                "seeds": row.seeds,
                "median": row.median,
                "baseline_median": base.median,
                **{name: getattr(row, name) for name in fields},
            }
            for row, base in lines
        ],
        "sentence": sentence,
    }
