"""Tables for the terminal."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.markup import escape
from rich.table import Table

from reports.board import OVERALL, Leaderboard, Row
from reports.record import Failure
from reports.statistics.verdicts import MARKS, rounded_p, signed

if TYPE_CHECKING:
    from benchmark.plan.job import Job
    from benchmark.plan.plan import Node
    from benchmark.store.manifest import Manifest

_STYLES = {"better": "green", "worse": "red", "equivalent": "cyan", "within noise": "dim", "none": "dim"}


def leaderboard_table(board: Leaderboard) -> Table:
    """The leaderboard in brief: the median of each method by task, with the sign of its verdict."""
    tasks = [task.name for task in board.sweep.tasks]
    rows = {(row.label, row.task): row for row in [*board.overall, *board.rows]}
    state = "" if board.complete else "  [red]incomplete[/]"
    table = Table(
        title=f"{escape(board.sweep.name)}: median of {len(board.sweep.seeds)} seeds, in points{state}",
        caption="against the baseline: ▲ better  ▼ worse  = equivalent  ~ within noise  · no verdict",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("method", overflow="fold")
    for column in ("overall", *tasks, "params"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in board.overall:
        cells = [_cell(rows.get((row.label, task))) for task in ("overall", *tasks)]
        size = "" if row.parameters is None else f"{row.parameters / 1e6:.1f} M"
        table.add_row(_in_words(row.label), *cells, size)
    return table


def _in_words(label: str) -> str:
    """A label that a narrow terminal breaks between its fields."""
    name, _, fields = label.partition(":")
    return escape(" ".join([name, *fields.split(",")]).strip())


def _cell(row: Row | None) -> str:
    if row is None or row.median is None:
        return "[dim]-[/]"
    return f"{row.median:.1f} [{_STYLES[row.verdict]}]{MARKS[row.verdict]}[/]"


def comparison_table(board: Leaderboard, lines: Sequence[tuple[Row, Row]], adjusted: int) -> Table:
    """A row against another by task: medians, the change with its interval, the test and the verdict.

    Args:
        board: of the two rows.
        lines: the row and the one it is compared with, by task.
        adjusted: number of tasks that p-values are adjusted for.
    """
    state = "" if board.complete else "  [red]incomplete[/]"
    count = f"{adjusted} task{'' if adjusted == 1 else 's'}"
    alone = "; overall is one comparison" if lines[0][0].task == OVERALL else ""
    table = Table(
        title=f"{escape(board.sweep.name)}: medians of {len(board.sweep.seeds)} seeds, in points{state}",
        caption=f"adjusted over {count} (Benjamini-Hochberg){alone}",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("task", no_wrap=True)
    for column in ("A", "B", "A - B", "95 % interval", "p", "adjusted"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for row, base in lines:
        interval = "-" if row.ci is None else f"{signed(row.ci[0])} to {signed(row.ci[1])}"
        word = "no verdict" if row.verdict == "none" else row.verdict
        table.add_row(
            escape(row.task),
            *("-" if median is None else f"{median:.1f}" for median in (row.median, base.median)),
            "-" if row.delta is None else signed(row.delta),
            interval,
            *("-" if p is None else rounded_p(p) for p in (row.p, row.p_adjusted)),
            f"[{_STYLES[row.verdict]}]{MARKS[row.verdict]} {word}[/]",
        )
    return table


def plan_table(
    job: Job, nodes: Mapping[str, Node], cached: Collection[str], missing: Mapping[str, Node]
) -> Table:
    """Nodes by label: how many there are, cached and to run; the rest is not needed any more."""
    total = Counter(node.label for node in nodes.values())
    there = Counter(nodes[key].label for key in cached)
    to_run = Counter(node.label for node in missing.values())
    on_board = {node.label for node in job.plan.trials()}
    studied = {job.plan.nodes[key].label for key in job.plan.studies}
    table = Table(title=f"{escape(job.name)}: {len(job.tasks)} tasks x {len(job.sweep.seeds)} seeds")
    for column, justify in (
        ("node", "left"),
        ("kind", "left"),
        ("all", "right"),
        ("cached", "right"),
        ("to run", "right"),
    ):
        table.add_column(column, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for label, count in total.items():
        kind = "trial" if label in on_board else "study" if label in studied else "prerequisite"
        table.add_row(escape(label), kind, str(count), str(there[label]), str(to_run[label]))
    return table


def status_table(manifest: Manifest, done: set[str], failed: Mapping[str, Failure]) -> Table:
    """Trials by label and task: done, failed, not run."""
    tasks = [task.name for task in manifest.sweep.tasks]
    table = Table(title=f"{escape(manifest.sweep.name)}: done / failed / not run")
    table.add_column("method", overflow="fold")
    for task in tasks:
        table.add_column(task, justify="right", no_wrap=True)
    trials: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for key, node in manifest.targets().items():
        trials[node.label, node.task].append(key)
    labels = [method.label for method in manifest.sweep.methods]
    labels += dict.fromkeys(node.label for node in manifest.nodes if node.study)
    for label in labels:
        cells = []
        for task in tasks:
            keys = trials[label, task]
            finished = sum(key in done for key in keys)
            broken = sum(key in failed and key not in done for key in keys)
            absent = len(keys) - finished - broken
            style = "green" if finished == len(keys) else "red" if broken else "yellow"
            cells.append(f"[{style}]{finished} / {broken} / {absent}[/]")
        table.add_row(escape(label), *cells)
    return table


def failure_lines(failures: Iterable[Failure]) -> Iterator[str]:
    """One line per failed trial: kind, message and where its log lies."""
    for failure in failures:
        first = failure.message.splitlines()[0] if failure.message else ""
        log = f"  [dim]{escape(failure.log)}[/]" if failure.log else ""
        yield f"[red]failed[/] {escape(failure.name)}  {failure.kind}: {escape(first)}{log}"
