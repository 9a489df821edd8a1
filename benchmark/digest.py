"""The environment digest: the sources that took part in a result and the libraries' versions."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
from collections.abc import Iterator, Mapping
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

from benchmark.plan.fingerprint import fingerprint

LIBRARIES = ("torch", "transformers", "tokenizers", "datasets")
"""Libraries whose version can change a score."""

_OURS = ("benchmark", "methods", "tasks", "reports")
# What every trial passes through, whatever its method.
_ENTRY = "benchmark.trial.execute"


def libraries() -> dict[str, str]:
    """Installed versions of the libraries that can change a score; imports none of them."""
    return {name: _version(name) for name in LIBRARIES}


@functools.cache
def digest(module: str) -> str:
    """Digest of the environment in which works of `module` run.

    The sources are `module` and everything of this project it imports, found by reading import statements,
    so a change to one method leaves the digest of the others alone. Of a plug-in they are all files of its
    top-level package, and what these import from beside it in the same distribution.
    """
    sources = {name: _content(name) for name in sorted(_closure(module) | _closure(_ENTRY))}
    return fingerprint({"sources": sources, "libraries": libraries()})


@functools.cache
def sources(package: str) -> str:
    """Digest of every file of one of our packages, templates included, as they were when first asked for."""
    folder = Path(__file__).resolve().parent.parent / package
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return fingerprint(
        [(str(path.relative_to(folder)), hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]
    )


@functools.cache
def _closure(module: str) -> frozenset[str]:
    found: set[str] = set()
    stack = [*_whole(module)]
    while stack:
        current = stack.pop()
        if current not in found and _file(current) is not None:
            found.add(current)
            stack.extend(name for imported in _imports(current) for name in _whole(imported))
    return frozenset(found)


def _whole(module: str) -> Iterator[str]:
    """The module, and if it is a plug-in's every other one of its top-level package: relative imports too."""
    top = module.split(".")[0]
    yield module
    if top in _OURS:
        return
    spec = _spec(top)
    for folder in (spec and spec.submodule_search_locations) or ():
        for path in Path(folder).rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            yield ".".join((top, *(parts[:-1] if parts[-1] == "__init__" else parts)))


@functools.cache
def _imports(module: str) -> tuple[str, ...]:
    path = _file(module)
    assert path is not None
    names = []
    for statement in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(statement, ast.Import):
            names += [alias.name for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom) and statement.module and statement.level == 0:
            # `from package import x`: x may be a module or a name in one.
            names += [statement.module, *(f"{statement.module}.{alias.name}" for alias in statement.names)]
    top = module.split(".")[0]
    return tuple(name for name in names if _belongs(name.split(".")[0], top))


def _belongs(name: str, top: str) -> bool:
    """Whether a top-level name that modules of `top` import is ours, or a companion of a plug-in `top`."""
    if name in _OURS or top in _OURS or name == top:
        return name in _OURS
    beside = _folder(name)
    # In site-packages everything stands beside everything.
    return beside is not None and beside == _folder(top) and _distributions(name) == _distributions(top)


@functools.cache
def _folder(top: str) -> Path | None:
    """Where a top-level module or package lies."""
    spec = _spec(top)
    if spec is None:
        return None
    for folder in spec.submodule_search_locations or ():
        return Path(folder).parent
    return Path(spec.origin).parent if spec.has_location and spec.origin else None


def _distributions(top: str) -> frozenset[str]:
    """The installed distributions that a top-level name belongs to; none for files that lie on the path."""
    return frozenset(_packages().get(top, ()))


@functools.cache
def _packages() -> Mapping[str, list[str]]:
    return packages_distributions()


def _spec(top: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(top)
    except ValueError:  # `__main__` has none.
        return None


@functools.cache
def _file(module: str) -> Path | None:
    top, *rest = module.split(".")
    spec = _spec(top)
    if spec is None:
        return None
    # Asking for the spec of `a.b.c` would import `a.b`, and torch with it.
    for folder in spec.submodule_search_locations or ():
        path = Path(folder, *rest)
        for file in (path / "__init__.py", path.with_suffix(".py")):
            if file.is_file():
                return file
    return Path(spec.origin) if not rest and spec.origin and spec.origin.endswith(".py") else None


@functools.cache
def _content(module: str) -> str:
    path = _file(module)
    assert path is not None
    return hashlib.sha256(path.read_bytes()).hexdigest()


@functools.cache
def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
