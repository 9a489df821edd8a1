"""Tasks by name: the built-in ones and those that installed packages bring."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points

from tasks.errors import BadInput, did_you_mean
from tasks.glue import BESIDE, GLUE
from tasks.task import Task

GROUP = "leanboard.tasks"


def task(name: str) -> Task:
    """Return the task called `name`, by name or alias, whatever the case.

    Raises:
        BadInput: no task has that name.
    """
    known = {spelling.lower(): each for each in tasks().values() for spelling in (each.name, *each.aliases)}
    try:
        return known[name.lower()]
    except KeyError:
        raise BadInput(f"unknown task {name!r}; {did_you_mean(name, tasks())}") from None


@cache
def tasks() -> dict[str, Task]:
    """Return every task by its name: GLUE's, then those of the entry points `leanboard.tasks`.

    Raises:
        BadInput: a plug-in cannot be imported, is no Task, or takes a name or alias that is in use.
    """
    found = {each.name: each for each in (*GLUE, *BESIDE)}
    taken = {spelling.lower() for each in found.values() for spelling in (each.name, *each.aliases)}
    for point in entry_points(group=GROUP):
        plugin = _load(point)
        spellings = {spelling.lower() for spelling in (plugin.name, *plugin.aliases)}
        if clash := sorted(spellings & taken):
            raise BadInput(f"{_where(point)}: the task name {clash[0]!r} is in use; rename or uninstall one")
        taken |= spellings
        found[plugin.name] = plugin
    return found


def _load(point: EntryPoint) -> Task:
    try:
        plugin = point.load()
    except Exception as error:
        raise BadInput(f"{_where(point)} cannot be imported: {error!r}; fix or uninstall it") from error
    if not isinstance(plugin, Task):
        raise BadInput(f"{_where(point)} is a {type(plugin).__name__}; it must be a tasks.task.Task")
    return plugin


def _where(point: EntryPoint) -> str:
    package = f" of {point.dist.name}" if point.dist else ""
    return f"entry point {GROUP}:{point.name} = {point.value}{package}"
