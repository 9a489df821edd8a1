"""Commands that do or foresee work: `run`, `plan`, `nightly`."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from benchmark.cli import options

if TYPE_CHECKING:
    from benchmark.engine import Result
    from benchmark.plan.job import Job


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(run)
    app.command()(plan)
    app.command()(nightly)


def run(
    sweep: options.SweepFile,
    output: options.Output = None,
    methods: options.Methods = None,
    tasks: options.Tasks = None,
    seeds: options.Seeds = None,
    limit: options.Limit = None,
    settings: options.Set = None,
    rerun: Annotated[
        list[str] | None,
        typer.Option(
            "--rerun",
            metavar="LABEL",
            help="Make the records of this label again, e.g. kd:layers=3, and all built on it (repeatable).",
        ),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            "--keep",
            metavar="LABEL",
            help="Keep the trained models of this label and say where (repeatable).",
        ),
    ] = None,
    records: Annotated[
        list[Path] | None,
        typer.Option(
            "--records", metavar="ARCHIVE", help="Take finished trials from `leanboard export` (repeatable)."
        ),
    ] = None,
    address: options.Address = None,
    cpus: options.Cpus = None,
    wait: options.Wait = 600,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan and stop; --records are taken in before.")
    ] = False,
    offline: options.Offline = False,
) -> None:
    """Run what is missing of a sweep and write its leaderboard.

    The same command again does only what is missing, whatever was killed in between.
    """
    from benchmark import engine
    from benchmark.interrupts import Interrupted
    from benchmark.plan.reruns import to_make_again

    console = Console()
    job = options.open_job(
        sweep,
        output=output,
        methods=methods,
        tasks=tasks,
        seeds=seeds,
        limit=limit,
        settings=settings,
        offline=offline,
    )
    job.keep(keep or ())
    if records:
        _bring(records, job, console)
    if dry_run:
        show_plan(job, console, without=to_make_again(job, rerun or (), remember=False))
        return
    try:
        result = engine.run(
            job,
            console,
            engine.Options(
                command=options.command(), address=address, cpus=cpus, wait=wait, rerun=rerun or []
            ),
        )
    except Interrupted as stop:
        options.say_stopped(stop, options.finished(job, job.plan.targets), console)
    _show_result(result, job.output, console)
    _show_models(result, job, console)
    sys.exit(1 if result.incomplete else 0)


def plan(
    sweep: options.SweepFile,
    output: options.Output = None,
    methods: options.Methods = None,
    tasks: options.Tasks = None,
    seeds: options.Seeds = None,
    limit: options.Limit = None,
    settings: options.Set = None,
    offline: options.Offline = False,
    as_json: options.AsJson = False,
) -> None:
    """Show what `run` would do: trials, what is cached, time and disk."""
    job = options.open_job(
        sweep,
        output=output,
        methods=methods,
        tasks=tasks,
        seeds=seeds,
        limit=limit,
        settings=settings,
        offline=offline,
    )
    show_plan(job, Console(), as_json=as_json)


def nightly(
    sweep: options.SweepFile,
    output: options.Output = None,
    refresh: Annotated[
        Literal["changed", "all"],
        typer.Option(
            "--refresh", help="Make again what other code or libraries made (changed), or everything."
        ),
    ] = "changed",
    settings: options.Set = None,
    address: options.Address = None,
    cpus: options.Cpus = None,
    wait: options.Wait = 600,
    offline: options.Offline = False,
) -> None:
    """Run a sweep with today's code and compare with the last published night.

    Exit codes: 3 a regression; 1 a trial has no result, or nothing had to be run, so that nothing was tested.
    """
    from benchmark.engine import Options
    from benchmark.interrupts import Interrupted
    from benchmark.night import nightly as night

    console = Console()
    job = options.open_job(sweep, output=output, settings=settings, offline=offline)
    how = Options(command=options.command(), address=address, cpus=cpus, wait=wait)
    try:
        outcome = night.run(job, console, how, refresh=refresh)
    except Interrupted as stop:
        options.say_stopped(stop, "what is finished counts", console)
    _show_result(outcome.result, job.output, console)
    for line in outcome.lines():
        options.echo(console, line)
    sys.exit(outcome.exit_code)


def _bring(archives: list[Path], job: Job, console: Console) -> None:
    """Take the records of this job's nodes out of archives."""
    from benchmark.store.archive import differences, unpack

    for archive in archives:
        found = unpack(archive, job.store, job.plan.nodes.keys())
        taken = f"{found.new} of {found.total} records taken, {found.there} there already"
        options.echo(console, f"{archive}: {taken}")
        if not found.new + found.there:
            nodes = job.plan.nodes.values()
            decides = {(node.label, node.task, node.seed): job.plan.decides(node) for node in nodes}
            parts = differences(archive, decides)
            why = (
                f"they differ in {', '.join(parts)}" if parts else "it has no trial of these labels and seeds"
            )
            console.print(f"[yellow]none of them fits this sweep: {why}[/]", soft_wrap=True)


def show_plan(
    job: Job,
    console: Console,
    *,
    as_json: bool = False,
    targets: Collection[str] | None = None,
    without: Collection[str] = (),
) -> None:
    """Print what would be run, all of the job or what `targets` need, if records `without` were not there."""
    from benchmark.cli.tables import plan_table
    from benchmark.plan.estimate import estimate, sizes
    from benchmark.progress import duration

    scan = job.scan()
    for key in without:
        del scan.records[key]
    missing = job.missing(scan, targets)
    nodes = job.plan.nodes if targets is None else job.plan.needed(targets)
    cached = nodes.keys() & scan.records.keys() - missing.keys()
    # Prerequisites all of whose trials are done need no record.
    idle = len(nodes) - len(cached) - len(missing)
    expected = estimate(missing, scan.records.values(), job.plan.kept, sizes(job.plan, job.model))
    summary = {
        "sweep": job.name,
        "output": job.output,
        "nodes": len(nodes),
        "trials": len(job.plan.rows),
        "studies": len(job.plan.studies),
        "cached": len(cached),
        "not_needed": idle,
        "to_run": len(missing),
        "damaged": sorted(scan.damaged),
        "worker_seconds": expected.seconds,
        "disk_bytes": expected.disk_bytes,
        "cache_bytes": expected.cache_bytes,
    }
    if as_json:
        summary["missing"] = [{"fingerprint": key, "name": node.name} for key, node in missing.items()]
        typer.echo(json.dumps(summary, indent=1))
        return
    console.print(plan_table(job, nodes, cached, missing))
    time = "unknown until like trials have run" if expected.seconds is None else duration(expected.seconds)
    options.echo(
        console,
        f"{len(missing)} of {len(nodes)} nodes to run, {len(cached)} cached"
        f"{f', {idle} not needed' if idle else ''}. "
        f"Worker time: {time}. "
        f"Disk for kept weights: {expected.disk_bytes / 1e6:.0f} MB, "
        f"for cached teacher outputs at most {expected.cache_bytes / 1e6:.0f} MB.\nOutput: {job.output}",
    )


def _show_models(result: Result, job: Job, console: Console) -> None:
    """Say where the models lie that were asked for."""
    from benchmark.store.store import has_result

    for key, node in job.plan.nodes.items():
        if key in job.plan.asked and key in result.records and has_result(result.records[key]):
            place = job.store.place(result.records[key], "result/model")
            options.echo(console, f"Model of {node.name}: {place}")


def _show_result(result: Result, output: str, console: Console) -> None:
    from benchmark.cli.tables import leaderboard_table

    console.print(leaderboard_table(result.published.board))
    options.print_failures(result.failures.values(), console)
    for study in result.studies:
        options.echo(console, f"Study {study.label}: {study.page}")
    options.print_counts(result, console)
    options.echo(console, f"Leaderboard: {result.published.page}")
    hint = f"(leanboard ui {shlex.quote(output)})"
    console.print(f"MLflow:      {result.tracking}   {hint}", markup=False, soft_wrap=True)
