"""The command `study`: one analysis on its own, or beside the trials of a sweep."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from benchmark.cli import options

if TYPE_CHECKING:
    from benchmark.config.sweep import Sweep
    from methods.study import Study

NAME = "studies"
"""The sweep of studies that belong to no sweep file: all of them share its start models."""


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(study)


def study(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="See `leanboard list studies`.", show_default=False)
    ],
    tasks: Annotated[
        list[str] | None, typer.Option("--task", "-t", help="A task (repeatable), e.g. cola.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Hub id, folder or `minilm`.", show_default=False)
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data", help="Hub id, folder or `bundled`; by default nyu-mll/glue.", show_default=False
        ),
    ] = None,
    seeds: options.Seeds = None,
    fields: Annotated[
        list[str] | None,
        typer.Option(
            "--option", metavar="FIELD=VALUE", help="Set a field of the study, e.g. step=0.05 (repeatable)."
        ),
    ] = None,
    sweep: Annotated[
        Path | None,
        typer.Option(
            "--sweep",
            metavar="FILE",
            help="Take model, data, tasks, seeds and training from this sweep and share its start models.",
        ),
    ] = None,
    settings: options.Set = None,
    limit: options.Limit = None,
    output: options.Output = None,
    rerun: Annotated[bool, typer.Option("--rerun", help="Make the study's own records again.")] = False,
    address: options.Address = None,
    cpus: options.Cpus = None,
    wait: options.Wait = 600,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")] = False,
    offline: options.Offline = False,
) -> None:
    """Run a study: tables, a figure and a conclusion instead of a compressed model.

    leanboard study head-ablation --task cola --model minilm --seeds 5

    leanboard study layerwise --sweep sweeps/head-pruning.yaml   (reads the trials of that sweep)

    Files go to <output>/studies/<label>/: the output is runs/studies or the sweep's, the label NAME with its
    changed fields. The same command again does only what is missing.
    """
    from benchmark import engine
    from benchmark.cli.running import show_plan
    from benchmark.interrupts import Interrupted
    from benchmark.plan.job import resolve
    from benchmark.store.manifest import describe
    from tasks.errors import BadInput

    if offline:
        options.check_tracking_is_here()
    chosen = _study(name, fields or [])
    options_of_sweep = {"tasks": tasks or None, "model": model, "data": data, "seeds": seeds, "limit": limit}
    loaded = _with(_base(sweep, settings or [], options_of_sweep), chosen, name)
    job = resolve(loaded, output=output, offline=offline)
    console = Console()
    manifest = describe(job, options.command())
    facts = next(each for each in manifest.studies if each.label == chosen.label)
    wanted = manifest.reported(facts)
    if rerun and (dry_run or not facts.source):
        why = "--dry-run shows what is missing" if dry_run else f"{chosen.label} has no records of its own"
        raise BadInput(f"--rerun: {why}; leave it out")
    if not facts.source and not wanted.keys() & job.scan().records.keys():
        raise BadInput(
            f"{chosen.label} reads the trials of a sweep, and {job.output} has none of them; run the sweep "
            "first, and name it with --sweep FILE"
        )
    if dry_run:
        show_plan(job, console, targets=wanted.keys() & job.plan.studies)
        return
    how = engine.Options(
        command=options.command(),
        address=address,
        cpus=cpus,
        wait=wait,
        rerun=[facts.source] if rerun and facts.source else [],
        study=chosen.label,
    )
    try:
        result = engine.run(job, console, how)
    except Interrupted as stop:
        options.say_stopped(stop, options.finished(job, wanted), console)
    options.print_failures((failure for key, failure in result.failures.items() if key in wanted), console)
    for published in result.studies:
        if published.label == chosen.label:
            for sentence in published.conclusion:
                options.echo(console, sentence)
            options.echo(console, f"Study: {published.page}")
    options.print_counts(result, console)
    sys.exit(1 if result.incomplete else 0)


def _study(name: str, fields: list[str]) -> Study:
    from benchmark.config.load import apply, validate
    from benchmark.config.yaml_source import YamlSource
    from methods import registry

    kind, values = registry.find_study(name), dict[str, Any]()
    for field in fields:
        apply(values, field, "--option")
    return validate(kind, values, YamlSource(f"--option of {name}", values))


def _base(file: Path | None, settings: list[str], changes: dict[str, Any]) -> Sweep:
    """The sweep of the file, or one of nothing but the start model."""
    from benchmark.config.load import apply, load_sweep, make_sweep
    from tasks.errors import BadInput

    if file is not None:
        return load_sweep(file, settings=settings, **changes)
    for key, example in (("tasks", "--task cola"), ("model", "--model minilm")):
        if changes[key] is None:
            raise BadInput(f"a study needs {key}: add {example}, or --sweep FILE to take all from a sweep")
    content = {"name": NAME, "methods": ["finetune"], "latency": None}
    content |= {key: value for key, value in changes.items() if value is not None}
    for setting in settings:
        apply(content, setting)
    return make_sweep(content)


def _with(sweep: Sweep, study: Study, name: str) -> Sweep:
    """The sweep with one more study, unless it has it already."""
    from benchmark.config.grid import expand_studies

    if any(study.label == other.label for other in expand_studies(sweep)):
        return sweep
    return sweep.model_copy(update={"studies": (*sweep.studies, {name: study.changed()})})
