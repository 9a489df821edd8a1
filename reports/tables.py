"""The leaderboard as JSON, CSV and Markdown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Sequence
from typing import Any

from reports.board import Leaderboard, Row
from reports.statistics.verdicts import signed

CSV_COLUMNS = [
    "task",
    "label",
    "method",
    "family",
    "params",
    "metric",
    "unit",
    "rank",
    "rank_low",
    "rank_high",
    "seeds",
    "scores",
    "median",
    "mean",
    "std",
    "min",
    "max",
    "retained",
    "collapsed",
    "missing",
    "delta",
    "median_delta",
    "ci_low",
    "ci_high",
    "loses_at_most",
    "margin",
    "detectable",
    "verdict",
    "strict",
    "p",
    "p_adjusted",
    "p_t_test",
    "p_bootstrap",
    "reason",
    "parameters",
    "encoder_parameters",
    "compression",
    "checkpoint_bytes",
    "flops",
    "training_tokens",
    "training_flops",
    "training_seconds",
    "peak_memory_bytes",
    "link",
]


def to_json(board: Leaderboard) -> str:
    """Return strict JSON: no NaN, null where there is no number."""
    return json.dumps(board.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def to_csv(board: Leaderboard) -> str:
    """Return one line per label and task, the overall rows first; lists and parameters are JSON."""
    rows = [*board.overall, *board.rows]
    batches = sorted({b for row in rows for b in row.latency_ms or {}}, key=int)
    columns = [*CSV_COLUMNS, *(f"latency_ms_{b}" for b in batches)]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _cell(value) for key, value in _flat(row, columns).items()})
    return text.getvalue()


def _flat(row: Row, columns: Sequence[str]) -> dict[str, Any]:
    fields = row.model_dump(mode="json")
    test = row.tests.get
    fields["rank_low"], fields["rank_high"] = row.rank_interval or (None, None)
    fields["ci_low"], fields["ci_high"] = row.ci or (None, None)
    fields["p"], fields["p_adjusted"] = row.p, row.p_adjusted
    fields["p_t_test"] = test("t_test", {}).get("p")
    fields["p_bootstrap"] = test("bootstrap", {}).get("p")
    fields |= {f"training_{key}": value for key, value in (fields["training"] or {}).items()}
    fields |= {f"latency_ms_{b}": ms for b, ms in (row.latency_ms or {}).items()}
    return {name: fields.get(name) for name in columns}


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def to_markdown(board: Leaderboard) -> str:
    """Return tables that line up in a terminal: the overall one first, then one per task."""
    sweep = board.sweep
    state = "complete" if board.complete else f"INCOMPLETE: {len(board.missing)} trials without a result"
    parts = [
        f"# Leaderboard: {sweep.name}",
        f"{state}. {board.trials} of {board.planned} trials, model {sweep.model}, data {sweep.data}, "
        f"seeds {', '.join(map(str, sweep.seeds))}, last trial {when(board)}.",
        *(f"> {note}" for note in board.notes),
    ]
    if any(row.latency_ms for row in board.rows):
        parts.append("Latency is that of each row's first seed.")
    if board.overall:
        parts.append(f"## Overall ({', '.join(board.averaged)})")
        parts += [f"{task} is left out: {why}." for task, why in board.left_out.items()]
        parts.append(_table(board.overall, sweep.baseline))
    for task in sweep.tasks:
        facts = [f"{board.examples.get(task.name, 0):,} examples"]
        if task.name in board.majority:
            facts.append(f"the constant predictor has {board.majority[task.name]:.1f}")
        facts.append(f"differences within {task.margin:g} count as equivalent")
        parts += [f"## {task.short_name}: {task.primary}", f"{'; '.join(facts)}."]
        parts.append(_table(board.of(task.name), sweep.baseline))
    parts += ["## Reasons", *_reasons(board)]
    if board.missing:
        listed = [
            f"- {m.label}, {m.task}, seed {m.seed}: {m.kind}" + (f": {_line(m.message)}" if m.message else "")
            for m in board.missing
        ]
        parts += ["## Without a result", "\n".join(listed)]
    parts.append(
        "Scores are points (0-100), medians over seeds with [min, max]. Change is the mean paired "
        f"difference to {sweep.baseline} with its 95 % interval over seeds and examples."
    )
    return "\n\n".join(parts) + "\n"


def when(board: Leaderboard) -> str:
    """Format when the last trial ended."""
    return board.finished[:16].replace("T", " ") + " UTC" if board.finished else "not yet"


def _table(rows: Sequence[Row], baseline: str) -> str:
    batch = next((b for row in rows for b in row.latency_ms or {}), None)
    head = ["rank", "method", "median [min, max]", f"change to {baseline}", "verdict", "loses at most"]
    head += ["parameters", "smaller"] + ([f"ms (batch {batch})"] if batch else [])
    lines = [head]
    for row in rows:
        latency = (row.latency_ms or {}).get(batch or "")
        line = [_or_dash(row.rank, "d"), row.label, _spread(row), _change(row), _verdict(row)]
        line += [
            _or_dash(row.loses_at_most, ".1f"),
            millions(row.parameters),
            _or_dash(row.compression, ".2f", "x"),
        ]
        lines.append(
            [cell.replace("|", "\\|") for cell in line + ([_or_dash(latency, ".1f")] if batch else [])]
        )
    return aligned(lines, left={1, 4})


def aligned(lines: Sequence[Sequence[str]], left: Collection[int]) -> str:
    """Return a Markdown table that lines up in a terminal; the first line is its head.

    Args:
        lines: cells of each line, pipes escaped.
        left: columns that start at the left; the others end at the right.
    """
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]

    def text(line: Sequence[str]) -> str:
        cells = [
            c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))
        ]
        return "| " + " | ".join(cells) + " |"

    rule = "|" + "|".join("-" * (w + 1) + ("-" if i in left else ":") for i, w in enumerate(widths)) + "|"
    return "\n".join([text(lines[0]), rule, *(text(line) for line in lines[1:])])


def _reasons(board: Leaderboard) -> list[str]:
    rows = [r for r in (*board.overall, *board.rows) if r.label != board.sweep.baseline]
    return (
        ["\n".join(f"- {row.task}, {row.label}: {row.verdict}: {row.reason}" for row in rows)] if rows else []
    )


def _spread(row: Row) -> str:
    if row.median is None:
        return "-"
    return f"{row.median:.1f} [{row.min:.1f}, {row.max:.1f}]"


def _change(row: Row) -> str:
    if row.delta is None or row.ci is None:
        return "-"
    return f"{signed(row.delta)} [{signed(row.ci[0])}, {signed(row.ci[1])}]"


def _verdict(row: Row) -> str:
    if row.reason == "the baseline":
        return "baseline"
    marks = ["incomplete"] if row.missing else []
    if row.teacher_collapsed:
        marks.append("start model collapsed")
    elif row.collapsed:
        marks.append(f"{row.collapsed} collapsed")
    return row.verdict + (f" ({', '.join(marks)})" if marks else "")


def _or_dash(value: float | None, spec: str, unit: str = "") -> str:
    return "-" if value is None else f"{value:{spec}}{unit}"


def millions(count: float | None) -> str:
    """Format a number of parameters."""
    return "-" if count is None else f"{count / 1e6:.1f} M"


def _line(message: str) -> str:
    lines = [line for line in message.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""
