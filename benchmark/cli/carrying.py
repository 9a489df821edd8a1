"""Commands that carry records from one output to another: `export`, `join`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli import options


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (export, join):
        app.command()(command)


def export(
    target: options.Target,
    archive: Annotated[
        Path, typer.Argument(metavar="ARCHIVE", help="The file to write, *.zip.", show_default=False)
    ],
    output: options.Output = None,
) -> None:
    """Put a sweep's records into one small file: predictions and measurements, no texts, no weights.

    `leanboard report ARCHIVE` builds the page from it; `leanboard run SWEEP --records ARCHIVE` goes on.
    """
    from benchmark.store.archive import pack
    from tasks.errors import BadInput

    if archive.suffix != ".zip":
        raise BadInput(f"{archive}: an archive's name ends in .zip; write {archive}.zip")
    store, manifest = options.open_target(target, output)
    packed = pack(store, manifest, archive)
    typer.echo(f"{packed.records} records, {packed.bytes / 1e6:.1f} MB: {archive}")


def join(
    parts: Annotated[
        list[str],
        typer.Argument(
            metavar="PART...", help="Output folders or archives, each with other tasks.", show_default=False
        ),
    ],
    output: Annotated[
        str,
        typer.Option("--output", "-o", help="New folder or URL for the joined results.", show_default=False),
    ],
) -> None:
    """Make one output of tasks of a sweep that were run apart, as on two clusters or in two precisions.

    leanboard join sst2.zip runs/mrpc -o runs/both

    leanboard report runs/both

    Rows are compared within a task, so a task keeps the precision it was run
    in; averages over tasks are of those changes. Weights are left out.
    """
    from benchmark.store.joining import Part
    from benchmark.store.joining import join as join_parts

    opened = [Part(name, *options.open_target(name)) for name in parts]
    store, manifest = join_parts(opened, output, options.command())
    tasks = ", ".join(task.name for task in manifest.sweep.tasks)
    typer.echo(f"{len(manifest.scan(store).records)} records of {tasks}: {store.url}")
    typer.echo(f"{shlex.join(['leanboard', 'report', output])} shows them")
