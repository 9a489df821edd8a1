"""From a sweep file, and options of the command line, to a `Sweep`; every error says where and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from benchmark.config import yaml_source
from benchmark.config.sweep import Sweep
from benchmark.config.yaml_source import KeyPath, YamlSource
from methods.settings import nested_model
from tasks.errors import BadInput, did_you_mean

Model = TypeVar("Model", bound=BaseModel)


def load_sweep(path: str | Path, *, settings: Sequence[str] = (), **options: Any) -> Sweep:
    """Read and validate a sweep.

    Args:
        path: the YAML file.
        settings: `KEY=VALUE` changes with dotted keys, e.g. `train.epochs=2`; values are YAML.
        options: top-level keys to replace where not None, e.g. `seeds`, `limit`.

    Raises:
        BadInput: with file, line, key and advice.
    """
    path = Path(path)
    source = yaml_source.read(path)
    if not isinstance(source.data, dict):
        raise BadInput(f"{path}: a sweep is a mapping of keys; `leanboard init` writes a commented one")
    source.data.setdefault("name", path.stem)
    for setting in settings:
        apply(source.data, setting)
    source.data.update({key: value for key, value in options.items() if value is not None})
    return make_sweep(source.data, source, folder=path.resolve().parent)


def make_sweep(
    data: Mapping[str, Any], source: YamlSource | None = None, *, folder: Path | None = None
) -> Sweep:
    """Validate a mapping as a sweep; `source` adds file and line to errors."""
    source = source or YamlSource("sweep", data)
    return validate(Sweep, dict(data), source).read_from(source, folder or Path.cwd())


def validate(model: type[Model], data: Any, source: YamlSource, at: KeyPath = ()) -> Model:
    """Validate `data`, found at key path `at`, as `model`.

    Raises:
        BadInput: every error on its own line, as `file:line: key: problem`.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise BadInput(
            "\n".join(_explain(model, issue, data, source, at) for issue in error.errors())
        ) from None


def _explain(model: type[BaseModel], issue: Any, data: Any, source: YamlSource, at: KeyPath) -> str:
    path = _path(issue, data)
    where, key = source.where((*at, *path)), ".".join(str(part) for part in (*at, *path))
    match issue["type"]:
        case "extra_forbidden":
            problem = f"unknown key; {did_you_mean(str(path[-1]), _known_keys(model, path[:-1]))}"
        case "missing":
            problem = f"is missing ({_meaning(model, path)})"
        case "value_error":
            problem = str(issue["ctx"]["error"])
        case "model_type" | "model_attributes_type":
            problem = f"takes fields, e.g. {{field: value}}, not {issue['input']!r}"
        case "tuple_type":
            problem = f"takes a list, not {issue['input']!r}"
        case _:
            problem = f"{issue['msg'][0].lower()}{issue['msg'][1:]}, not {issue['input']!r}"
    return f"{where}: {key}: {problem}" if key else f"{where}: {problem}"


def _path(issue: Any, data: Any) -> KeyPath:
    """The keys of an error's location; pydantic also names branches of unions there, unknown to users."""
    path: list[str | int] = []
    for part in issue["loc"]:
        inside = isinstance(data, Mapping) and part in data
        if inside or (isinstance(data, list | tuple) and isinstance(part, int)):
            data = data[part]
            path.append(part)
    return (*path, issue["loc"][-1]) if issue["type"] == "missing" else tuple(path)


def _known_keys(model: type[BaseModel], path: Iterable[str | int]) -> list[str]:
    return list(_model_at(model, path).model_fields)


def _meaning(model: type[BaseModel], path: KeyPath) -> str:
    """What a field is, as `leanboard schema` has it."""
    return _model_at(model, path[:-1]).model_fields[str(path[-1])].description or "it has no default"


def _model_at(model: type[BaseModel], path: Iterable[str | int]) -> type[BaseModel]:
    for part in path:
        field = model.model_fields.get(str(part))
        model = (field and nested_model(field)) or model
    return model


def apply(data: dict[str, Any], setting: str, option: str = "--set") -> None:
    """Change one key of `data`, in place, as `KEY=VALUE` says; keys are dotted and values YAML.

    Raises:
        BadInput: it cannot be read so; `option` is where the user wrote it.
    """
    key, equals, text = setting.partition("=")
    if not equals or not key:
        example = "train.epochs=2" if option == "--set" else "step=0.05"
        raise BadInput(f"{option} {setting}: write KEY=VALUE, e.g. {option} {example}")
    value = yaml_source.parse(text, f"{option} {setting}").data
    *parents, last = key.split(".")
    for parent in parents:
        inner = data.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise BadInput(f"{option} {setting}: {parent!r} holds no keys that could be set")
        data = inner
    data[last] = value
