"""From the `methods:` list of a sweep to configured methods; grids are written out."""

from __future__ import annotations

import itertools
from typing import Any

from benchmark.config import Sweep
from benchmark.load import validate
from benchmark.yaml_source import KeyPath, Source
from methods import registry
from methods.method import Method
from tasks.errors import BadInput


def expand(sweep: Sweep) -> list[Method]:
    """Return the sweep's methods with their fields, in order, each label once.

    Raises:
        BadInput: unknown method or field, a bad value, an empty grid, a label that stands twice.
    """
    source = sweep.source
    methods: dict[str, Method] = {}
    for position, entry in enumerate(sweep.methods):
        at: KeyPath = ("methods", position)
        for name, fields in _named(entry, source, at):
            for method in _configured(name, fields, source, (*at, name)):
                if method.label in methods:
                    raise BadInput(
                        f"{source.where(at)}: {method.label} stands twice among the methods; remove one"
                    )
                methods[method.label] = method
    return list(methods.values())


def _named(entry: str | dict[str, Any], source: Source, at: KeyPath) -> list[tuple[str, dict[str, Any]]]:
    if isinstance(entry, str):
        return [(entry, {})]
    if not entry:
        raise BadInput(f"{source.where(at)}: an empty entry among the methods; name one or remove it")
    for name, fields in entry.items():
        if fields is not None and not isinstance(fields, dict):
            raise BadInput(f"{source.where(at)}: {name}: write {{{name}: {{field: value}}}}, not {fields!r}")
    return [(name, fields or {}) for name, fields in entry.items()]


def _configured(name: str, fields: dict[str, Any], source: Source, at: KeyPath) -> list[Method]:
    try:
        kind = registry.find(name)
    except BadInput as error:
        raise BadInput(f"{source.where(at)}: {error}") from None
    if not issubclass(kind, Method):
        raise BadInput(
            f"{source.where(at)}: {name} is a prerequisite, which methods ask for; it is not a method"
        )
    return [validate(kind, chosen, source, at) for chosen in _combinations(fields, source, at)]


def _combinations(fields: dict[str, Any], source: Source, at: KeyPath) -> list[dict[str, Any]]:
    axes = {key: _values(key, value, source, at) for key, value in fields.items()}
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def _values(key: str, value: Any, source: Source, at: KeyPath) -> list[Any]:
    if not isinstance(value, dict):
        return [value]
    if set(value) != {"grid"}:
        return list(_combinations(value, source, (*at, key)))
    grid = value["grid"]
    if not isinstance(grid, list | tuple) or not grid:
        raise BadInput(
            f"{source.where((*at, key))}: {key}: a grid is a list with a value or more, e.g. {{grid: [1, 2]}}"
        )
    return list(grid)
