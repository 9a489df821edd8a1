"""From the `methods:` and `studies:` lists of a sweep to configured works; grids are written out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from benchmark.config.load import validate
from benchmark.config.sweep import Sweep
from benchmark.config.yaml_source import KeyPath, YamlSource
from methods import registry
from methods.method import Method, Work
from methods.study import Study
from tasks.errors import BadInput

Kind = TypeVar("Kind", bound=Work)


def expand(sweep: Sweep) -> list[Method]:
    """Return the sweep's methods with their fields, in order, each label once.

    Raises:
        BadInput: unknown method or field, a bad value, an empty grid, a label that appears twice.
    """
    return _expand(sweep.methods, "methods", sweep.source, _method)


def expand_studies(sweep: Sweep) -> list[Study]:
    """Return the sweep's studies likewise.

    Raises:
        BadInput: as for methods.
    """
    return _expand(sweep.studies, "studies", sweep.source, registry.find_study)


def _expand(
    entries: Iterable[str | dict[str, Any]], key: str, source: YamlSource, find: Callable[[str], type[Kind]]
) -> list[Kind]:
    works: dict[str, Kind] = {}
    for position, entry in enumerate(entries):
        at: KeyPath = (key, position)
        for name, fields in _named(entry, key, source, at):
            try:
                kind = find(name)
            except BadInput as error:
                raise BadInput(f"{source.where(at)}: {error}") from None
            for work in _configured(kind, fields, source, (*at, name)):
                if work.label in works:
                    raise BadInput(
                        f"{source.where(at)}: {work.label} appears twice among the {key}; remove one"
                    )
                works[work.label] = work
                source.works[work.label] = at
    return list(works.values())


def _named(
    entry: str | dict[str, Any], key: str, source: YamlSource, at: KeyPath
) -> list[tuple[str, dict[str, Any]]]:
    if isinstance(entry, str):
        return [(entry, {})]
    if not entry:
        raise BadInput(f"{source.where(at)}: an empty entry among the {key}; name one or remove it")
    return [(name, fields or {}) for name, fields in entry.items()]


def _method(name: str) -> type[Method]:
    kind = registry.find(name)
    if not issubclass(kind, Method):
        raise BadInput(f"{name} is a prerequisite, which methods ask for; it is not a method")
    return kind


def _configured(kind: type[Kind], fields: dict[str, Any], source: YamlSource, at: KeyPath) -> list[Kind]:
    return [validate(kind, chosen, source, at) for chosen in _combinations(fields, source, at)]


def _combinations(fields: dict[str, Any], source: YamlSource, at: KeyPath) -> list[dict[str, Any]]:
    axes = {key: _values(key, value, source, at) for key, value in fields.items()}
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def _values(key: str, value: Any, source: YamlSource, at: KeyPath) -> list[Any]:
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
