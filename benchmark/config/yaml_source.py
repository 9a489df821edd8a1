"""YAML with memory: which line each key stands on, and no key twice."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tasks.errors import BadInput

KeyPath = tuple[str | int, ...]


@dataclass
class YamlSource:
    """A parsed YAML document and the line of every key in it."""

    file: str
    data: Any
    lines: dict[KeyPath, int] = field(default_factory=dict)
    works: dict[str, KeyPath] = field(default_factory=dict)
    """Where methods and studies stand, by label, once they are known."""

    def where_is(self, label: str) -> str:
        """Return `file:line` of the entry that a method or study comes from."""
        return self.where(self.works.get(label, ()))

    def where(self, path: KeyPath) -> str:
        """Return `file:line` of the nearest known ancestor of `path`."""
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.file}:{self.lines[path]}" if path in self.lines else self.file


def read(path: Path) -> YamlSource:
    """Parse a YAML file.

    Raises:
        BadInput: the file is not there, is not YAML (with the line) or holds a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file; `leanboard init` writes a commented sweep") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read: {error}") from None
    return parse(text, str(path))


def parse(text: str, file: str) -> YamlSource:
    """Parse YAML text; `file` is the name that errors show."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        source = YamlSource(file, yaml.safe_load(text))
        if root is not None:
            _walk(root, (), source)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise BadInput(f"{file}{line}: not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError) as error:  # A date or a number that is none is a ValueError.
        raise BadInput(f"{file}: not valid YAML: {error}") from None
    except RecursionError:
        raise BadInput(f"{file}: nested too deeply, or an anchor that holds itself; write it out") from None
    return source


def _walk(node: yaml.Node, path: KeyPath, source: YamlSource) -> None:
    source.lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            key = (*path, key_node.value)
            if key in source.lines:
                raise BadInput(
                    f"{source.file}:{key_node.start_mark.line + 1}: key {key_node.value!r} appears twice "
                    f"(first on line {source.lines[key]}); remove one"
                )
            source.lines[key] = key_node.start_mark.line + 1
            _walk(value_node, key, source)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(item, (*path, index), source)
