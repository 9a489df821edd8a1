"""The nightly run: a sweep with today's code, compared with the last published night.

A night makes again what other code or other libraries made, publishes the leaderboard, and tests every cell
that was made again against the last published night (`reports.regression`). A suspicious loss is looked at
again with five fresh seeds; only what these confirm is a regression. A night in
which no trial is missing is published (`benchmark.night.nights`), so the next one is compared with a whole
night. One in which nothing had to be run tests nothing: it is not published, and its exit code is 1.

The earlier code is not kept: libraries cannot be put back, and a loss that a new library brings must be found
too. Fresh seeds are therefore run with tonight's code and compared with what the earlier night left.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.markup import escape

from benchmark import digest, environment
from benchmark import engine as sweep
from benchmark.engine import Options
from benchmark.interrupts import interruptible
from benchmark.night import nights
from benchmark.night.lock import locked
from benchmark.night.nights import Cell, Finding, Night, Trial
from benchmark.night.outdated import Outdated, Refresh
from benchmark.night.report import Outcome, count_reused
from benchmark.plan.job import Job
from benchmark.plan.plan import build
from reports.board import TaskFacts
from reports.record import Record
from reports.regression import FRESH_SEEDS, Change, Confirmation, Scored, changes, confirm
from tasks.errors import BadInput


def run(job: Job, console: Console, options: Options, *, refresh: Refresh) -> Outcome:
    """Run a night.

    Args:
        job: the sweep.
        console: where progress is shown.
        options: how it is run.
        refresh: `changed` makes again what other code or libraries made, `all` everything.

    Raises:
        BadInput: another nightly run holds the output, or whatever `sweep.run` refuses.
        Interrupted: a signal came; the same command resumes.
    """
    job.store.probe()
    if not job.plan.rows:
        raise BadInput(f"{job.name}: the sweep plans no trial, so a night would show nothing")
    with interruptible(), locked(job.store):
        return _carry_out(job, console, options, refresh)


def _carry_out(job: Job, console: Console, options: Options, refresh: Refresh) -> Outcome:
    earlier, damaged = nights.last(job.store)
    for sentence in damaged:
        console.print(f"[yellow]{escape(sentence)}[/]", soft_wrap=True)
    name = nights.next_name(job.store)
    outdated = Outdated(job.store, name, refresh)
    outdated.add(job.plan, job.scan().records)
    result = sweep.run(job, console, replace(options, night=name, redo=outdated.redo))
    trials = [result.records[key] for key in job.plan.rows if key in result.records]
    tasks = {task.name: task for task in result.manifest.sweep.tasks}
    scored = nights.score(job.store, trials)
    labels = {key: job.plan.nodes[key].label for key in job.plan.rows}
    before = earlier.scored(job.store, labels) if earlier else {}
    earlier = earlier.under(labels) if earlier else None
    with console.status("comparing with the last published night"):
        found = changes(before, scored, tasks.values(), made_again(earlier, trials)) if earlier else []
    suspicious = [change for change in found if change.suspicious]

    fresh_job = with_fresh_seeds(job, [(change.label, change.task) for change in suspicious])
    fresh = _run_fresh(fresh_job, outdated, console, options) if suspicious else []
    fresh_scored = nights.score(job.store, fresh)
    confirmations = _confirm(suspicious, before, fresh_scored, tasks)
    unseen = len(fresh_job.plan.rows) - len(fresh)
    # Trials left by an unfinished night still need comparing, so a night is idle only if every trial is
    # reused.
    idle = earlier is not None and count_reused(earlier, trials) == len(job.plan.rows)

    outcome = Outcome(
        name=name,
        output=job.store.address(nights.FOLDER, name),
        result=result,
        earlier=earlier,
        trials=trials,
        changes=found,
        confirmations=confirmations,
        failures=job.store.failures(fresh_job.plan.rows - {record.fingerprint for record in fresh}),
        still_lost=_still_lost(earlier, trials, tasks),
        environment={"git": environment.git_state(), "libraries": digest.libraries()},
        idle=idle,
        published=not (idle or result.incomplete or unseen),
    )
    if outcome.published:
        _publish(job, outcome, _merge(scored, fresh_scored), fresh, refresh)
    outdated.settle(job.store.scan({*job.plan.nodes, *fresh_job.plan.nodes}).records)
    return outcome


def made_again(earlier: Night | None, trials: Iterable[Record]) -> dict[Cell, list[int]]:
    """Seeds that both nights have of each cell and that were made again in between.

    A trial whose fingerprint differs (its settings, its data, or a method's declared version changed) answers
    another question and is not compared.
    """
    known = {} if earlier is None else {t.fingerprint: t for t in earlier.trials if not t.fresh}
    cells: dict[Cell, list[int]] = {}
    for record in sorted(trials, key=lambda record: record.seed):
        if record.fingerprint in known and known[record.fingerprint].ended != record.ended:
            cells.setdefault((record.label, record.task), []).append(record.seed)
    return cells


def with_fresh_seeds(job: Job, cells: Collection[Cell]) -> Job:
    """The job of some cells with seeds that the sweep does not have."""
    first = max(job.sweep.seeds) + 1
    seeds = tuple(range(first, first + FRESH_SEEDS))
    plan = build(job.methods, job.tasks, seeds, job.plan.context)
    plan.rows = {node.fingerprint for node in plan.trials() if (node.label, node.task) in cells}
    return replace(job, plan=plan, sweep=job.sweep.model_copy(update={"seeds": seeds}))


def _run_fresh(job: Job, outdated: Outdated, console: Console, options: Options) -> list[Record]:
    cells = sorted({f"{node.label} on {node.task}" for node in job.plan.trials()})
    console.print(
        f"[yellow]suspicious:[/] {escape(', '.join(cells))}; looking again with {FRESH_SEEDS} fresh seeds",
        soft_wrap=True,
    )
    outdated.add(job.plan, job.scan().records)
    scan = sweep.run_apart(job, console, replace(options, redo=outdated.redo))
    return [scan.records[key] for key in job.plan.rows if key in scan.records]


def _confirm(
    suspicious: Iterable[Change],
    before: Mapping[str, Scored],
    fresh: Mapping[str, Scored],
    tasks: Mapping[str, TaskFacts],
) -> list[Confirmation]:
    """Judge the suspicious cells whose fresh seeds are all there."""
    found = []
    for change in suspicious:
        made = [label for label, _ in fresh[change.task].predicted] if change.task in fresh else []
        if made.count(change.label) == FRESH_SEEDS:
            task = tasks[change.task]
            found.append(confirm(change, before[change.task], fresh[change.task], task))
    return found


def _still_lost(
    earlier: Night | None, trials: Sequence[Record], tasks: Mapping[str, TaskFacts]
) -> tuple[Finding, ...]:
    """Regressions of earlier nights whose cell is still half a margin below what it was."""
    if earlier is None:
        return ()
    scores: dict[Cell, list[float]] = {}
    for record in trials:
        scores.setdefault((record.label, record.task), []).append(100 * record.scores[record.primary])
    return tuple(
        finding
        for finding in (*earlier.still_lost, *(f for f in earlier.findings if f.confirmed))
        if (own := scores.get((finding.label, finding.task)))
        and statistics.fmean(own) <= finding.before - tasks[finding.task].margin / 2
    )


def _publish(
    job: Job, outcome: Outcome, scored: Mapping[str, Scored], fresh: Iterable[Record], refresh: Refresh
) -> None:
    trials = [_trial(record, fresh=False) for record in outcome.trials]
    trials += [_trial(record, fresh=True) for record in fresh]
    night = Night(
        name=outcome.name,
        published=time.time(),
        refresh=refresh,
        environment=outcome.environment,
        compared_with=outcome.earlier.name if outcome.earlier else None,
        trials=tuple(trials),
        findings=tuple(_finding(outcome.name, each) for each in outcome.confirmations),
        still_lost=outcome.still_lost,
        files={},
    )
    nights.publish(job.store, night, scored, outcome.result.published.folder)


def _trial(record: Record, *, fresh: bool) -> Trial:
    facts: dict[str, Any] = record.model_dump(include=set(Trial.model_fields) - {"fresh"})
    return Trial(**facts, fresh=fresh)


def _finding(night: str, confirmation: Confirmation) -> Finding:
    change = confirmation.change
    assert change.p_adjusted is not None
    return Finding(
        night=night,
        label=change.label,
        task=change.task,
        before=change.before,
        now=change.now,
        p_adjusted=change.p_adjusted,
        fresh_seeds=confirmation.seeds,
        fresh_now=confirmation.now,
        fresh_difference=confirmation.estimate.mean,
        fresh_p=confirmation.p,
        confirmed=confirmation.confirmed,
    )


def _merge(one: Mapping[str, Scored], other: Mapping[str, Scored]) -> dict[str, Scored]:
    """Predictions of both by task; their trials are different ones."""
    return {
        task: replace(own, predicted=own.predicted | (other[task].predicted if task in other else {}))
        for task, own in one.items()
    }
