"""Nested mappings as one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def flatten(content: Mapping[str, Any], separator: str = ".") -> dict[str, Any]:
    """Join the keys of mappings within mappings, e.g. `train.epochs`; lists and empty mappings stay whole."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            flat |= {f"{key}{separator}{name}": each for name, each in flatten(value, separator).items()}
        else:
            flat[key] = value
    return flat
