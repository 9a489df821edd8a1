"""Commands that look at what there is: `status`, `logs`, `report`, `list`, `sync`, `ui`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmark.cli import options

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from methods.method import Work


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (status, logs, report, sync, export, ui):
        app.command()(command)
    app.command("list")(list_)


def status(
    target: options.Target,
    output: options.Output = None,
    failed: Annotated[bool, typer.Option("--failed", help="Show why each failed trial failed.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Show which trials are done, failed and not run."""
    from benchmark.cli.tables import failure_lines, status_table
    from benchmark.manifest import open_output

    store, manifest = open_output(target, output)
    scan = store.scan(node.fingerprint for node in manifest.nodes)
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
            for last in failure.traceback.strip().splitlines()[-5:]:
                console.print(f"    [dim]{escape(last)}[/]", highlight=False, soft_wrap=True)
    elif failures:
        console.print(f"{len(failures)} failed; `leanboard status {target} --failed` says why")


def logs(
    trial: Annotated[
        str, typer.Argument(help="A trial as progress shows it: label.task.seed.", show_default=False)
    ],
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="The sweep's output folder; by default the newest below runs/."),
    ] = None,
) -> None:
    """Print the log of one trial."""
    from benchmark.files import log_name
    from benchmark.manifest import open_output
    from tasks.errors import BadInput, did_you_mean

    store, manifest = open_output(output or _newest())
    path = store.path("logs", log_name(trial))
    if not store.fs.exists(path):
        known = [node.name for node in manifest.nodes]
        if trial in known:
            raise BadInput(f"{trial}: not run yet, so there is no log in {store.url}")
        raise BadInput(f"{trial}: no such trial in {store.url}; {did_you_mean(trial, known)}")
    typer.echo(store.fs.cat_file(path).decode(errors="replace"), nl=False)


def report(
    target: options.Target,
    output: options.Output = None,
    as_json: options.AsJson = False,
) -> None:
    """Build the leaderboard again from the records and print it."""
    from benchmark.cli.tables import leaderboard_table
    from benchmark.manifest import open_output
    from benchmark.publish import publish
    from benchmark.studies import publish_studies
    from benchmark.tracking import Session, Sheet

    store, manifest = open_output(target, output)
    scan = store.scan(node.fingerprint for node in manifest.nodes)
    links = Session(store, Sheet(manifest.sweep.name, night=manifest.night)).links(())
    published = publish(store, manifest, scan.records.values(), links=links, force=True)
    studies = publish_studies(store, manifest, scan.records.values(), force=True)
    if as_json:
        typer.echo(published.board.model_dump_json(indent=1))
        return
    console = Console()
    console.print(leaderboard_table(published.board))
    console.print(f"Leaderboard: {published.page}", highlight=False, markup=False, soft_wrap=True)
    for study in studies:
        console.print(f"Study {study.label}: {study.page}", highlight=False, markup=False, soft_wrap=True)


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
    from benchmark.archive import pack
    from benchmark.manifest import open_output
    from tasks.errors import BadInput

    if archive.suffix != ".zip":
        raise BadInput(f"{archive}: an archive's name ends in .zip; write {archive}.zip")
    store, manifest = open_output(target, output)
    packed = pack(store, manifest, archive)
    typer.echo(f"{packed.records} records, {packed.bytes / 1e6:.1f} MB: {archive}")


def list_(
    what: Annotated[Literal["methods", "tasks", "studies"], typer.Argument(help="What to list.")],
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One of them, with its fields.", show_default=False)
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """List the methods, tasks or studies a sweep can name; with a NAME, all that it takes."""
    entries = {"methods": _methods, "tasks": _tasks, "studies": _studies}[what]()
    if name is not None:
        entries = [_entry(name, entries, what)]
    if as_json:
        typer.echo(json.dumps(entries, indent=1))
    elif name is not None:
        _print_entry(entries[0], Console())
    else:
        columns = [column for column in entries[0] if column not in ("fields", "needs", "labels", "rows")]
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in columns:
            table.add_column(column, no_wrap=column == "name", overflow="fold")
        for entry in entries:
            table.add_row(*(_shown(entry[column]) for column in columns))
        Console().print(table)
        typer.echo(f"`leanboard list {what} NAME` shows all of one.")


def _entry(name: str, entries: list[dict[str, Any]], what: str) -> dict[str, Any]:
    from tasks.errors import BadInput, did_you_mean

    known = {entry["name"]: entry for entry in entries}
    if name not in known:
        raise BadInput(f"{name}: no such entry among the {what}; {did_you_mean(name, known)}")
    return known[name]


def _print_entry(entry: dict[str, Any], console: Console) -> None:
    for key, value in entry.items():
        if key != "fields" and value not in ("", [], {}):
            console.print(f"[bold]{key}[/]  {_shown(value)}", highlight=False, soft_wrap=True)
    if entry.get("fields"):
        table = Table("field", "default", "meaning", box=box.SIMPLE_HEAD, pad_edge=False)
        for name, field in entry["fields"].items():
            table.add_row(name, escape(json.dumps(field["default"])), escape(field["meaning"]))
        console.print(table)


def sync(target: options.Target, output: options.Output = None) -> None:
    """Bring MLflow up to date with the records, e.g. after an outage; doing it twice changes nothing."""
    from benchmark.manifest import open_output
    from benchmark.publish import publish
    from benchmark.studies import publish_studies
    from benchmark.tracking import Sheet, Unreachable, place, sync
    from tasks.errors import BadInput

    store, manifest = open_output(target, output)
    keys = {node.fingerprint for node in manifest.nodes}
    records = store.scan(keys).records
    failures = store.failures(keys - records.keys()).values()
    published = publish(store, manifest, records.values())
    studies = publish_studies(store, manifest, records.values())
    where = place(store.url)
    sheet = Sheet(manifest.sweep.name, manifest.sweep.config, manifest.night)
    shown = (published.board, published.folder, studies)
    try:
        done = sync(where, sheet, store, records.values(), failures, *shown)
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
    """Open the MLflow UI on a sweep's runs."""
    from benchmark.manifest import open_output
    from benchmark.tracking import place, ui_command, ui_environment

    store, _ = open_output(target, output)
    where = place(store.url)
    if where.served:
        typer.echo(f"MLflow runs already: {where.shown}")
        return
    typer.echo(f"MLflow at http://{host}:{port} (Ctrl-C ends it)")
    done = subprocess.run(ui_command(where, host, port), env=ui_environment(), check=False)
    sys.exit(done.returncode)


def _newest() -> str:
    from tasks.errors import BadInput

    found = sorted(Path("runs").glob("*/manifest.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise BadInput("no sweep was run below runs/ here; name the output folder with -o")
    return str(found[-1].parent)


def _methods() -> list[dict[str, Any]]:
    from methods import registry

    return [
        {
            "name": method.name,
            "family": method.family,
            "does": _purpose(method),
            "fields": _fields(method),
            "needs": list(method.needs),
            "paper": method.paper,
        }
        for method in registry.methods().values()
    ]


def _studies() -> list[dict[str, Any]]:
    from methods import registry

    return [
        {
            "name": study.name,
            "shows": _purpose(study),
            "fields": _fields(study),
            "paper": study.paper,
        }
        for study in registry.studies().values()
    ]


def _purpose(work: type[Work]) -> str:
    return (work.__doc__ or "").strip().split("\n")[0]


def _fields(work: type[Work]) -> dict[str, dict[str, Any]]:
    return {
        name: {"default": _default(field), "meaning": field.description or ""}
        for name, field in work.model_fields.items()
    }


def _default(field: FieldInfo) -> Any:
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(field.get_default(call_default_factory=True, validated_data={}))


def _tasks() -> list[dict[str, Any]]:
    from tasks import registry

    return [
        {
            "name": task.name,
            "title": task.title,
            "metrics": list(task.metrics),
            "primary": task.primary,
            "majority": round(100 * task.majority, 2),
            "margin": task.margin,
            "labels": list(task.labels),
            "rows": task.rows,
        }
        for task in registry.tasks().values()
    ]


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return escape(", ".join(f"{name} {content}" for name, content in value.items()))
    return escape(", ".join(map(str, value)) if isinstance(value, list) else str(value))
