"""Options that several commands share, and the way from them to a job or to its output."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.markup import escape

from tasks.errors import BadInput

if TYPE_CHECKING:
    from benchmark.engine import Result
    from benchmark.interrupts import Interrupted
    from benchmark.plan.job import Job
    from benchmark.store.manifest import Manifest
    from benchmark.store.store import Store
    from reports.record import Failure

SweepFile = Annotated[
    Path, typer.Argument(metavar="SWEEP", help="The sweep's YAML file.", show_default=False)
]
Target = Annotated[
    str,
    typer.Argument(
        metavar="SWEEP", help="A sweep's YAML file, an output folder, or an archive.", show_default=False
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        help="Folder or URL of the results; by default runs/<sweep name>.",
        show_default=False,
    ),
]
Methods = Annotated[
    list[str] | None,
    typer.Option(
        "--methods",
        "-m",
        help="Run only this label, or all rows of this method (repeatable); the baseline stays.",
    ),
]
Tasks = Annotated[list[str] | None, typer.Option("--tasks", "-t", help="Run only this task (repeatable).")]
Seeds = Annotated[int | None, typer.Option("--seeds", help="Number of seeds, 1..n.", min=1)]
Limit = Annotated[int | None, typer.Option("--limit", help="Training examples per task, stratified.", min=8)]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change a key of the sweep, e.g. train.epochs=2 (repeatable)."
    ),
]
Offline = Annotated[
    bool, typer.Option("--offline", help="Never touch the network; use what is on this machine.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        envvar="RAY_ADDRESS",
        help="Run on this Ray cluster, e.g. `auto` or head:6379; else on a Ray of our own.",
        show_default=False,
    ),
]
Cpus = Annotated[
    int | None, typer.Option("--cpus", help="CPUs to use of this machine; by default all.", min=1)
]
Wait = Annotated[
    float,
    typer.Option(
        "--wait",
        help="Seconds to wait for an autoscaler to make room, and for a node idle enough to measure latency.",
        min=0,
    ),
]


def open_job(
    sweep: Path,
    *,
    output: str | None = None,
    methods: list[str] | None = None,
    tasks: list[str] | None = None,
    seeds: int | None = None,
    limit: int | None = None,
    settings: list[str] | None = None,
    offline: bool = False,
) -> Job:
    """Load a sweep with the options of a command and resolve every name in it.

    Raises:
        BadInput: with what is wrong, where, and what to do.
    """
    from benchmark.config.load import load_sweep
    from benchmark.plan.job import resolve

    if offline:
        check_tracking_is_here()
    loaded = load_sweep(sweep, settings=settings or (), tasks=tasks or None, seeds=seeds, limit=limit)
    return resolve(loaded, output=output, methods=methods or (), offline=offline)


def open_target(target: str, output: str | None = None) -> tuple[Store, Manifest]:
    """Open the output that a target means; say so where its sweep's file has changed since.

    Raises:
        BadInput: nothing has been run there.
    """
    from benchmark.config.load import load_sweep
    from benchmark.store.manifest import open_output

    store, manifest = open_output(target, output)
    if target.endswith((".yaml", ".yml")):
        try:
            now = load_sweep(target).model_dump(mode="json")
        except BadInput:  # Somebody is writing it at this moment.
            return store, manifest
        changed = [key for key, value in now.items() if value != manifest.sweep.config.get(key)]
        if changed:
            Console(stderr=True).print(
                f"[yellow]{escape(store.url)} was last run with other settings than are in {escape(target)} "
                f"({', '.join(changed)}); `leanboard plan` shows what is missing[/]",
                soft_wrap=True,
            )
    return store, manifest


def check_tracking_is_here() -> None:
    """Refuse a tracking server behind the network: `--offline` would not be."""
    parts = urlsplit(os.environ.get("MLFLOW_TRACKING_URI", ""))
    if parts.scheme in ("http", "https") and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise BadInput(
            f"--offline: MLFLOW_TRACKING_URI is a server on {parts.hostname}; unset it: runs then go to a "
            "file, and `leanboard sync` brings them to the server later"
        )


def echo(console: Console, text: str) -> None:
    """Print text as it is, so that paths, labels and commands can be copied."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def command() -> str:
    """What the user typed."""
    return shlex.join(["leanboard", *sys.argv[1:]])


def say_stopped(stop: Interrupted, finished: str, console: Console) -> NoReturn:
    """Say after a signal what is finished, and exit with the signal's code."""
    console.print(
        f"\n[yellow]stopped by {stop}[/]; {escape(finished)}. Run the same command to resume:\n"
        f"  {escape(command())}",
        highlight=False,
        soft_wrap=True,
    )
    sys.exit(stop.exit_code)


def finished(job: Job, wanted: Collection[str]) -> str:
    """How many of the wanted trials have a record."""
    done = len(set(wanted) & job.scan().records.keys())
    return f"{done} of {len(wanted)} trials are in {job.output}"


def print_failures(failures: Iterable[Failure], console: Console) -> None:
    """Print a line for each failed trial."""
    from benchmark.cli.tables import failure_lines

    for line in failure_lines(failures):
        console.print(line, highlight=False, soft_wrap=True)


def print_counts(result: Result, console: Console) -> None:
    """Print what a command did, in numbers."""
    echo(console, f"{result.ran} run now, {result.cached} cached, {result.incomplete} without a result")
