"""What identifies the runs of a sweep."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class RunIdentity:
    """The names and tags of a sweep's runs, and its configuration.

    Each sweep is an experiment of its own, so that columns, filters and charts set up in the UI stay with it
    and nights of one sweep can be compared; `MLFLOW_EXPERIMENT_NAME` puts several sweeps into one, where the
    tag `leanboard.sweep` keeps them apart.
    """

    sweep: str
    """Name of the sweep and of its parent run."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """The resolved sweep, JSON-able."""
    night: str | None = None
    """The date of a nightly run, which gets a parent of its own."""

    @property
    def experiment(self) -> str:
        """Name of the MLflow experiment."""
        return os.environ.get("MLFLOW_EXPERIMENT_NAME") or self.sweep

    @property
    def name(self) -> str:
        """Name of the parent run."""
        return f"{self.sweep} {self.night}" if self.night else self.sweep

    @property
    def tags(self) -> dict[str, str]:
        """Tags every run of this sweep carries."""
        night = {"leanboard.night": self.night} if self.night else {}
        return {"leanboard.sweep": self.sweep, **night}
