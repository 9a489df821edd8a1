"""Commands that set things up: `init`, `schema`, `prefetch`, `doctor`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmark.cli import options


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (init, schema, prefetch, doctor):
        app.command()(command)


def init(
    path: Annotated[Path, typer.Argument(help="The file to write.")] = Path("sweep.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Write over an existing file.")] = False,
) -> None:
    """Write a commented sweep to start from."""
    from tasks.errors import BadInput

    if path.exists() and not force:
        raise BadInput(f"{path}: exists already; choose another name or add --force")
    starter = Path(__file__).resolve().parent.parent / "config" / "starter.yaml"
    try:
        path.write_text(starter.read_text(encoding="utf-8"), encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{path}: cannot be written: {error.strerror}") from None
    typer.echo(f"{path} written. Next: leanboard plan {path}")


def schema() -> None:
    """Print the JSON Schema of a sweep, for editors."""
    from benchmark.config.schema import sweep_schema

    typer.echo(json.dumps(sweep_schema(), indent=1))


def prefetch(
    sweep: options.SweepFile,
    settings: options.Set = None,
) -> None:
    """Fetch a sweep's model and data into the local cache, so that it runs with --offline."""
    from benchmark.engine import check_data
    from methods import pretrained

    job = options.open_job(sweep, settings=settings)
    console = Console()
    with console.status("fetching data"):
        check_data(job)
    with console.status("fetching the models"):
        for source in (job.model, *job.models.values()):
            pretrained.fetch(source)
    if job.corpus:
        with console.status("fetching the corpus"):
            next(job.corpus.documents(), None)
    console.print(f"{job.model.id} and {len(job.tasks)} tasks are on this machine; run with --offline")


def doctor(
    sweep: Annotated[
        Path | None, typer.Argument(metavar="SWEEP", help="Also check this sweep's model and data.")
    ] = None,
    offline: options.Offline = False,
    as_json: options.AsJson = False,
) -> None:
    """Check this machine: versions, cores, GPU, bf16, Ray, MLflow, and that model and data can be reached."""
    from benchmark.doctor import examine

    findings = examine(sweep, offline=offline)
    if as_json:
        typer.echo(json.dumps([vars(finding) for finding in findings], indent=1))
    else:
        table = Table(show_header=False, box=None)
        for finding in findings:
            table.add_row("[green]ok[/]" if finding.ok else "[red]no[/]", finding.what, finding.found)
        Console().print(table)
    sys.exit(0 if all(finding.ok or finding.optional for finding in findings) else 1)
