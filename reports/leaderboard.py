"""Records in, leaderboard out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from reports.board import Leaderboard, Links, MethodFacts, Missing, Row, SweepFacts
from reports.comparisons import Comparison, compare, judge_cells, judge_overall
from reports.comparisons import overall as compare_overall
from reports.decisions import Decisions
from reports.evidence import Evidence
from reports.predictions import Predictions
from reports.record import Failure, Latency, Record
from reports.rows import Judgement, cell_row, overall_row, ranked, why_withheld, why_withheld_overall
from reports.statistics.replicates import REPLICATES
from reports.statistics.verdicts import Judged
from reports.trials import Key, averaged_tasks, by_trial, evidence_by_task, missing_trials


def build(
    records: Iterable[Record],
    predictions: Callable[[Record], Predictions],
    sweep: SweepFacts,
    *,
    failures: Sequence[Failure] = (),
    latencies: Sequence[Latency] = (),
    links: Links | None = None,
    notes: Sequence[str] = (),
    replicates: int = REPLICATES,
) -> Leaderboard:
    """Build the leaderboard of a sweep from the records there are.

    Args:
        records: finished trials, one by (label, task, seed); those outside the sweep are left out.
        predictions: reads a record's predictions.
        sweep: what was to be run; every label x task gets a row, with or without records.
        failures: why trials have no record; where several name one trial, the last to end counts.
        latencies: measurements, found by the signature of each row's first seed.
        links: MLflow runs by (label, task); the task of an overall row is `overall`.
        notes: sentences that must stand on top, such as which data and model these are.
        replicates: draws of the bootstrap over examples.

    Raises:
        ValueError: the baseline is not among the methods, two records claim one trial, or runs of a task were
            scored on different examples.
    """
    if sweep.baseline not in {m.label for m in sweep.methods}:
        raise ValueError(f"the baseline {sweep.baseline!r} is not among the methods of the sweep")
    trials = by_trial(records, sweep)
    missing = missing_trials(trials, sweep, failures)
    evidence = evidence_by_task(trials, sweep, lambda record: Decisions.of(predictions(record)), replicates)
    averaged, left_out = averaged_tasks(evidence, sweep)
    cells = _compare_cells(evidence, sweep, missing)
    totals = _compare_overall(cells, averaged, sweep)
    by_bh, by_holm = judge_cells(cells)
    by_method = judge_overall(totals)
    links = links or {}
    timed = _one_machine(latencies, trials.values())

    rows = []
    for task in sweep.tasks:
        of_task = [
            cell_row(
                method,
                evidence[task.name],
                sweep,
                Judgement(
                    cells.get((method.label, task.name)),
                    by_bh.get((method.label, task.name)),
                    by_holm.get((method.label, task.name)),
                    why_withheld(method.label, evidence[task.name], sweep, missing),
                ),
                timed,
                links.get((method.label, task.name), ""),
            )
            for method in sweep.methods
        ]
        rows += ranked(of_task, [evidence[task.name]], sweep)
    ends = [record.ended for seeds in trials.values() for record in seeds.values()]
    return Leaderboard(
        sweep=sweep,
        complete=not missing,
        trials=len(ends),
        planned=len(sweep.methods) * len(sweep.tasks) * len(sweep.seeds),
        finished=datetime.fromtimestamp(max(ends), UTC).isoformat(timespec="seconds") if ends else None,
        examples={name: e.examples for name, e in evidence.items()},
        majority={name: e.majority for name, e in evidence.items() if e.majority is not None},
        replicates=replicates,
        notes=list(notes),
        machines=_machines(trials.values()),
        averaged=averaged,
        left_out=left_out,
        overall=_overall_rows(rows, totals, by_method, [evidence[t] for t in averaged], sweep, links),
        rows=rows,
        missing=missing,
    )


def _compare_cells(
    evidence: dict[str, Evidence], sweep: SweepFacts, missing: Sequence[Missing]
) -> dict[Key, Comparison]:
    found = {}
    for name, of_task in evidence.items():
        base = of_task.cells[sweep.baseline]
        for label, cell in of_task.cells.items():
            if label == sweep.baseline:
                continue
            withheld = why_withheld(label, of_task, sweep, missing)
            if comparison := compare(cell, base, of_task, withheld):
                found[label, name] = comparison
    return found


def _compare_overall(
    cells: dict[Key, Comparison], tasks: Sequence[str], sweep: SweepFacts
) -> dict[str, Comparison]:
    found = {}
    for method in sweep.methods:
        parts = {t: cells[method.label, t] for t in tasks if (method.label, t) in cells}
        if tasks and len(parts) == len(tasks):
            found[method.label] = compare_overall(
                list(parts.values()),
                sweep.margin,
                why_withheld_overall({t: c.withheld for t, c in parts.items()}),
            )
    return found


def _overall_rows(
    rows: Sequence[Row],
    totals: dict[str, Comparison],
    judged: dict[str, Judged],
    evidence: Sequence[Evidence],
    sweep: SweepFacts,
    links: Links,
) -> list[Row]:
    tasks = [e.task.name for e in evidence]
    if not tasks:
        return []

    def row(method: MethodFacts) -> Row:
        own = {r.task: r for r in rows if r.label == method.label and r.task in tasks}
        withheld = why_withheld_overall({t: own[t].reason if own[t].verdict == "none" else "" for t in tasks})
        verdict = judged.get(method.label)
        judgement = Judgement(totals.get(method.label), verdict, verdict, withheld)
        link = links.get((method.label, "overall"), "")
        return overall_row(method, [own[t] for t in tasks], sweep, judgement, link)

    return ranked([row(m) for m in sweep.methods], evidence, sweep)


def _one_machine(latencies: Sequence[Latency], trials: Iterable[dict[int, Record]]) -> list[Latency]:
    """Keep the measurements of the one machine and setting that timed most models of the sweep."""
    known = {r.model.signature for seeds in trials for r in seeds.values() if r.model}
    settings = Counter((m.machine, m.precision, m.length) for m in latencies if m.signature in known)
    if not settings:
        return []
    chosen = min(settings, key=lambda s: (-settings[s], s))
    return [m for m in latencies if (m.machine, m.precision, m.length) == chosen]


def _machines(trials: Iterable[dict[int, Record]]) -> list[str]:
    found = set()
    for seeds in trials:
        for record in seeds.values():
            found |= {str(record.environment[k]) for k in ("processor", "gpu") if record.environment.get(k)}
    return sorted(found)
