"""`list`: the methods, tasks and studies a sweep can name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmark.cli import options

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    from methods.method import Work


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("list")(list_)


def list_(
    what: Annotated[Literal["methods", "tasks", "studies"], typer.Argument(help="What to list.")],
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="One of them, with its fields.", show_default=False)
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
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in ("field", "default", "values", "meaning"):
            table.add_column(column, no_wrap=column == "field", overflow="fold")
        for name, field in entry["fields"].items():
            values = escape(" | ".join(field["values"]))
            table.add_row(name, escape(json.dumps(field["default"])), values, escape(field["meaning"]))
        console.print(table)


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


def _fields(model: type[BaseModel], prefix: str = "") -> dict[str, dict[str, Any]]:
    """What each field is, those of settings within settings as `pair.strategy`."""
    from pydantic_core import to_jsonable_python

    from methods.settings import nested_model

    found: dict[str, dict[str, Any]] = {}
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True, validated_data={})
        inner = nested_model(field)
        found[prefix + name] = {
            "default": {} if inner and default is not None else to_jsonable_python(default),
            "values": _values(field),
            "meaning": field.description or "",
        }
        if inner:
            found |= _fields(inner, f"{prefix}{name}.")
    return found


def _values(field: FieldInfo) -> list[str]:
    """The words among what a field takes."""
    kinds = (field.annotation, *get_args(field.annotation))
    return [str(word) for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)]


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
