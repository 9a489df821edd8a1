"""Commands that look at what there is: `status`, `logs`, `report`, `sync`, `ui`."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from benchmark.cli import options

if TYPE_CHECKING:
    from benchmark.store.store import Store
    from reports.record import Failure


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (status, logs, report, sync, ui):
        app.command()(command)


def status(
    target: options.Target,
    output: options.Output = None,
    failed: Annotated[bool, typer.Option("--failed", help="Show why each failed trial failed.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Show which trials are done, failed and not run."""
    from benchmark.cli.tables import failure_lines, status_table

    store, manifest = options.open_target(target, output)
    scan = manifest.scan(store)
    failures = store.failures({node.fingerprint for node in manifest.nodes} - scan.records.keys())
    rows = manifest.targets()
    if as_json:
        done = rows.keys() & scan.records.keys()
        content: dict[str, Any] = {
            "sweep": manifest.sweep.name,
            "trials": len(rows),
            "done": len(done),
            "failed": [failure.model_dump(mode="json") for failure in failures.values()],
            "not_run": sorted(rows[key].name for key in rows.keys() - done - failures.keys()),
            "damaged": scan.damaged,
        }
        typer.echo(json.dumps(content, indent=1))
        return
    console = Console()
    console.print(status_table(manifest, set(scan.records), failures))
    for key, reason in scan.damaged.items():
        console.print(f"[yellow]damaged[/] {key[:12]}: {escape(reason)}; `leanboard run` makes it again")
    if failed:
        for failure, line in zip(failures.values(), failure_lines(failures.values()), strict=True):
            console.print(line, highlight=False, soft_wrap=True)
            for last in _last_lines(store, failure):
                console.print(f"    [dim]{escape(last)}[/]", highlight=False, soft_wrap=True)
    elif failures:
        console.print(f"{len(failures)} failed; `leanboard status {target} --failed` says why")


def _last_lines(store: Store, failure: Failure) -> list[str]:
    """The end of a failure's traceback; of a worker that was killed, and could write none, of its log."""
    from benchmark.store.files import log_name

    text = failure.traceback
    if not text:
        path = store.path("logs", log_name(failure.name))
        text = store.fs.cat_file(path).decode(errors="replace") if store.fs.exists(path) else ""
    return text.strip().splitlines()[-5:]


def logs(
    trial: Annotated[
        str,
        typer.Argument(
            metavar="TRIAL",
            help="A trial as progress shows it: label.task.seed, e.g. kd:layers=3.rte.1.",
            show_default=False,
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="The sweep's output folder; by default the newest below runs/."),
    ] = None,
) -> None:
    """Print the log of one trial."""
    from benchmark.store.files import log_name
    from tasks.errors import BadInput, did_you_mean

    store, manifest = options.open_target(output or _newest())
    path = store.path("logs", log_name(trial))
    if not store.fs.exists(path):
        known = [node.name for node in manifest.nodes]
        if trial in known:
            raise BadInput(
                f"{trial}: not run yet, or ended before it could log; {store.url} has no log of it"
            )
        raise BadInput(f"{trial}: no such trial in {store.url}; {did_you_mean(trial, known)}")
    if output is None:
        typer.echo(f"# {path}", err=True)
    typer.echo(store.fs.cat_file(path).decode(errors="replace"), nl=False)


def report(
    target: options.Target,
    output: options.Output = None,
    as_json: options.AsJson = False,
) -> None:
    """Build the leaderboard again from the records and print it."""
    from benchmark.cli.tables import leaderboard_table
    from benchmark.publish import publish
    from benchmark.studies import publish_studies
    from benchmark.tracking import RunIdentity, Session

    store, manifest = options.open_target(target, output)
    scan = manifest.scan(store)
    links = Session(store, RunIdentity(manifest.sweep.name, night=manifest.night)).links(())
    published = publish(store, manifest, scan.records.values(), links=links, force=True)
    studies = publish_studies(store, manifest, scan.records.values(), force=True)
    if as_json:
        typer.echo(published.board.model_dump_json(indent=1))
        return
    console = Console()
    console.print(leaderboard_table(published.board))
    options.echo(console, f"Leaderboard: {published.page}")
    for study in studies:
        options.echo(console, f"Study {study.label}: {study.page}")


def sync(target: options.Target, output: options.Output = None) -> None:
    """Bring MLflow up to date with the records, e.g. after an outage; doing it twice changes nothing."""
    from benchmark.publish import publish
    from benchmark.studies import publish_studies
    from benchmark.tracking import RunIdentity, TrackingStore, Unreachable, sync
    from tasks.errors import BadInput

    store, manifest = options.open_target(target, output)
    keys = {node.fingerprint for node in manifest.nodes}
    records = manifest.scan(store).records
    failures = store.failures(keys - records.keys()).values()
    published = publish(store, manifest, records.values())
    studies = publish_studies(store, manifest, records.values())
    where = TrackingStore.of(store.url)
    identity = RunIdentity(manifest.sweep.name, manifest.sweep.config, manifest.night)
    shown = (published.board, published.folder, studies)
    try:
        done = sync(where, identity, store, records.values(), failures, *shown)
    except Unreachable as error:
        raise BadInput(f"{error}; check MLFLOW_TRACKING_URI and whether the server runs") from None
    counts = f"{done.made} runs written, {done.unchanged} unchanged, {done.deleted} removed"
    Console().print(
        f"MLflow at {where.shown}: {counts}",
        highlight=False,
        soft_wrap=True,
    )


def ui(
    target: options.Target,
    output: options.Output = None,
    port: Annotated[int, typer.Option("--port", "-p", help="Port of the page.")] = 5000,
    host: Annotated[str, typer.Option("--host", help="Interface to listen on.")] = "127.0.0.1",
) -> None:
    """Serve the MLflow UI on a sweep's runs and print its address."""
    from benchmark.interrupts import Interrupted, interruptible
    from benchmark.tracking import TrackingStore, ui_command, ui_environment

    store, _ = options.open_target(target, output)
    where = TrackingStore.of(store.url)
    if where.served:
        typer.echo(f"MLflow runs already: {where.shown}")
        return
    typer.echo(f"MLflow at http://{host}:{port} (Ctrl-C ends it)")
    code = 0  # Ctrl-C is how a page is closed, not a failure.
    with contextlib.suppress(Interrupted), interruptible():
        # In a session of its own, which the terminal's Ctrl-C does not reach: we end it, once, in order.
        command = ui_command(where, host, port)
        server = subprocess.Popen(command, env=ui_environment(), start_new_session=True)
        try:
            code = server.wait()
        except Interrupted:
            server.terminate()
            server.wait()
            raise
    sys.exit(code)


def _newest() -> str:
    from tasks.errors import BadInput

    found = [path.parent for path in Path("runs").glob("*/manifest.json")]
    if not found:
        raise BadInput("no sweep was run below runs/ here; name the output folder with -o")
    # A resumed sweep leaves its manifest as it is, and writes logs.
    return str(
        max(
            found,
            key=lambda folder: max(
                path.stat().st_mtime for path in (folder / "manifest.json", *folder.glob("logs/*"))
            ),
        )
    )
