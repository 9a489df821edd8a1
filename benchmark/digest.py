"""The environment digest: the sources that took part in a result and the libraries' versions."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmark.fingerprint import fingerprint

LIBRARIES = ("torch", "transformers", "tokenizers", "datasets")
"""Libraries whose version can change a score."""

_OURS = ("benchmark", "methods", "tasks", "reports")
# What every trial passes through, whatever its method.
_ENTRY = "benchmark.trial"


def libraries() -> dict[str, str]:
    """Installed versions of the libraries that can change a score; imports none of them."""
    return {name: _version(name) for name in LIBRARIES}


@functools.cache
def digest(module: str) -> str:
    """Digest of the environment in which works of `module` run.

    The sources are `module` and everything of this project it imports, found by reading import statements,
    so a change to one method leaves the digest of the others alone.
    """
    sources = {name: _content(name) for name in sorted(_closure(module) | _closure(_ENTRY))}
    return fingerprint({"sources": sources, "libraries": libraries()})


def sources(package: str) -> str:
    """Digest of every file of one of our packages, templates included."""
    folder = Path(__file__).resolve().parent.parent / package
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return fingerprint(
        [(str(path.relative_to(folder)), hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]
    )


@functools.cache
def _closure(module: str) -> frozenset[str]:
    found: set[str] = set()
    stack = [module]
    while stack:
        current = stack.pop()
        if current not in found and _file(current) is not None:
            found.add(current)
            stack.extend(_imports(current))
    return frozenset(found)


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
    return tuple(name for name in names if name.split(".")[0] in _OURS)


@functools.cache
def _file(module: str) -> Path | None:
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # `__main__` has none.
        return None
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
