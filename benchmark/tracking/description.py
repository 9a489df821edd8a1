"""The Markdown texts MLflow shows above the experiment, the parent run and the summary runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from benchmark.tracking.client import TAG_LENGTH
from reports.record import Failure

if TYPE_CHECKING:
    from reports.board import Leaderboard, Row

EXPERIMENT = """\
Compression methods compared over tasks and seeds by **leanboard**. One parent run per sweep (or night) \
holds the leaderboard among its artifacts. Below it stand a **summary run** per method and task \
(`leanboard.kind = summary`: median over seeds, spread, verdict) and a **trial run** per method, task and \
seed (`leanboard.kind = trial`: curves, scores, predictions). Trials that studies are made of have \
`leanboard.kind = study`; their tables and figures are artifacts of the parent, in `studies/`.

- The leaderboard as a table: search ``tags.`leanboard.kind` = 'summary'`` and sort by `score`.
- All seeds of a row: search `tags.label = 'kd' AND tags.task = 'rte'`.
- `score` is the primary metric in points (0 to 100); metrics under `validation/` are fractions.
"""


def of_sweep(
    config: Mapping[str, Any], changed: Mapping[str, tuple[str, str]], board: Leaderboard | None
) -> str:
    """Describe a sweep: what runs, what changed since its first run, and how it stands."""
    facts = [
        f"- **{key}**: {_words(config[key])}"
        for key in ("model", "data", "tasks", "methods", "studies", "seeds", "limit", "baseline")
        if config.get(key) not in (None, (), [])
    ]
    facts += _changes(changed)
    if board is None:
        return _fit(["The leaderboard is written when all trials have ended.", "", *facts])
    state = f"{board.trials} of {board.planned} trials" + ("" if board.complete else ", **incomplete**")
    lines = [f"Leaderboard of {state}; the whole page is the artifact `leaderboard/leaderboard.html`.", ""]
    for rows in [board.overall, *(board.of(task.name) for task in board.sweep.tasks)]:
        if rows:
            lines += [f"**{rows[0].task}** ({rows[0].metric})", "", *_table(rows), ""]
    # What the sweep is stands last: the UI shows the beginning of a text and folds the rest.
    return _fit([*lines, *facts])


def _changes(changed: Mapping[str, tuple[str, str]]) -> list[str]:
    listed = [f"- `{key}`: {old} → {new}" for key, (old, new) in changed.items()]
    return ["", "Params show the first run; changed since:", "", *listed] if listed else []


def of_row(row: Row, changed: Mapping[str, tuple[str, str]]) -> str:
    """Describe a row: its median, its difference to the baseline, the verdict, every seed, and new params."""
    spread = f"{_number(row.min)} to {_number(row.max)}"
    lines = [
        f"**{row.label}** on **{row.task}**: median {row.metric} **{_number(row.median)}** points ({spread})."
    ]
    if row.delta is not None:
        interval = f", 95 % interval {row.ci[0]:+.2f} to {row.ci[1]:+.2f}" if row.ci else ""
        lines += ["", f"Difference to the baseline: {row.delta:+.2f} points{interval}."]
    lines += ["", f"Verdict: **{row.verdict}** ({row.reason})", "", "| seed | score | |", "|---|---|---|"]
    for seed, score in zip(row.seeds, row.scores, strict=True):
        lines.append(f"| {seed} | {score:.2f} | {'collapsed' if seed in row.collapsed_seeds else ''} |")
    lines += [f"| {seed} | | no result |" for seed in row.missing]
    return _fit([*lines, *_changes(changed)])


def of_failure(failure: Failure) -> str:
    """Describe a failure: its kind, its message and where its log is."""
    log = f"\n\nLog: `{failure.log}`" if failure.log else ""
    return _fit([f"Failed (**{failure.kind}**): {failure.message}{log}"])


def _table(rows: list[Row]) -> list[str]:
    lines = ["| rank | method | median | min–max | difference | verdict |", "|---|---|---|---|---|---|"]
    for row in rows:
        delta = "" if row.delta is None else f"{row.delta:+.2f}"
        lines.append(
            f"| {row.rank or ''} | {row.label} | {_number(row.median)} "
            f"| {_number(row.min)}–{_number(row.max)} | {delta} | {row.verdict} |"
        )
    return lines


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _words(content: Any) -> str:
    if isinstance(content, Mapping):
        return ", ".join(f"{key} {_words(inner)}" for key, inner in content.items())
    if isinstance(content, list | tuple):
        return ", ".join(_words(inner) for inner in content)
    return str(content)


def _fit(lines: list[str]) -> str:
    """Whole lines, as many as a tag holds."""
    more = "\n… (see the leaderboard among the artifacts)"
    text = "\n".join(lines)
    if len(text) <= TAG_LENGTH:
        return text
    return text[: TAG_LENGTH - len(more)].rsplit("\n", 1)[0] + more
