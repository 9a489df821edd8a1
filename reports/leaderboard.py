"""Records in, leaderboard out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from reports.board import OVERALL, Leaderboard, Links, MethodFacts, Row, SweepFacts
from reports.comparisons import RowComparison, compare_rows, judge_cells, judge_overall
from reports.decisions import Decisions
from reports.evidence import Evidence
from reports.predictions import Predictions
from reports.record import Failure, Latency, Record
from reports.rows import Judgement, cell_row, overall_row, ranked
from reports.statistics.replicates import REPLICATES
from reports.trials import averaged_tasks, by_trial, evidence_by_task, missing_trials


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
        latencies: measurements of one machine and setting, found by the signature of each row's first seed.
        links: MLflow runs by (label, task); the task of an overall row is `overall`.
        notes: sentences that must stand on top, such as which data and model these are.
        replicates: draws of the bootstrap over examples.

    Raises:
        ValueError: the baseline is not among the methods, two records claim one trial, runs of a task were
            scored on different examples, or latencies are of several machines or settings.
    """
    if sweep.baseline not in {m.label for m in sweep.methods}:
        raise ValueError(f"the baseline {sweep.baseline!r} is not among the methods of the sweep")
    _check_latencies(latencies)
    trials = by_trial(records, sweep)
    missing = missing_trials(trials, sweep, failures)
    evidence = evidence_by_task(trials, sweep, lambda record: Decisions.of(predictions(record)), replicates)
    averaged, left_out = averaged_tasks(evidence, sweep)
    compared = {
        method.label: compare_rows(method.label, sweep.baseline, evidence, missing, averaged, sweep.margin)
        for method in sweep.methods
        if method.label != sweep.baseline
    }
    judgements = _judge(compared, sweep)
    links = links or {}

    rows = []
    for task in sweep.tasks:
        of_task = [
            cell_row(
                method,
                evidence[task.name],
                sweep,
                judgements[method.label, task.name],
                latencies,
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
        overall=_overall_rows(rows, judgements, [evidence[t] for t in averaged], sweep, links),
        rows=rows,
        missing=missing,
    )


def _judge(compared: dict[str, RowComparison], sweep: SweepFacts) -> dict[tuple[str, str], Judgement]:
    """What became of every row's comparison, by label and by task or `overall`."""
    by_bh, by_holm = judge_cells(
        {(label, task): cell for label, rows in compared.items() for task, cell in rows.cells.items()}
    )
    by_row = judge_overall({label: rows.overall for label, rows in compared.items() if rows.overall})
    none = Judgement(None, None, None, "the baseline")
    found = {(sweep.baseline, name): none for name in (OVERALL, *(task.name for task in sweep.tasks))}
    for label, rows in compared.items():
        for task, why in rows.withheld.items():
            key = label, task
            found[key] = Judgement(rows.cells.get(task), by_bh.get(key), by_holm.get(key), why)
        judged = by_row.get(label)
        found[label, OVERALL] = Judgement(rows.overall, judged, judged, rows.withheld_overall)
    return found


def _overall_rows(
    rows: Sequence[Row],
    judgements: dict[tuple[str, str], Judgement],
    evidence: Sequence[Evidence],
    sweep: SweepFacts,
    links: Links,
) -> list[Row]:
    tasks = [e.task.name for e in evidence]
    if not tasks:
        return []

    def row(method: MethodFacts) -> Row:
        own = {r.task: r for r in rows if r.label == method.label and r.task in tasks}
        key = method.label, OVERALL
        return overall_row(method, [own[t] for t in tasks], sweep, judgements[key], links.get(key, ""))

    return ranked([row(m) for m in sweep.methods], evidence, sweep)


def _check_latencies(latencies: Sequence[Latency]) -> None:
    found = sorted({f"{m.machine}, {m.precision}, {m.length} tokens" for m in latencies})
    if len(found) > 1:
        raise ValueError(f"latencies are never compared across machines and settings: {'; '.join(found)}")


def _machines(trials: Iterable[dict[int, Record]]) -> list[str]:
    found = set()
    for seeds in trials:
        for record in seeds.values():
            found |= {str(record.environment[k]) for k in ("processor", "gpu") if record.environment.get(k)}
    return sorted(found)
