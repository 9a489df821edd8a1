"""Leanboard's public Python API.

    from leanboard import Method, Sweep, load_sweep, run

Names are imported when they are first used, so `import leanboard` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmark.config.load import load_sweep as load_sweep
    from benchmark.config.load import make_sweep as make_sweep
    from benchmark.config.sweep import Sweep as Sweep
    from leanboard.running import run as run
    from methods.method import Method as Method
    from methods.method import Prerequisite as Prerequisite
    from methods.method import SweepPrerequisite as SweepPrerequisite
    from methods.run import Run as Run
    from methods.settings import Training as Training
    from methods.study import Experiment as Experiment
    from methods.study import Study as Study
    from methods.study import Variant as Variant
    from reports.board import Leaderboard as Leaderboard
    from reports.record import Record as Record
    from tasks.errors import BadInput as BadInput
    from tasks.task import Task as Task

_HOMES = {
    "BadInput": "tasks.errors",
    "Experiment": "methods.study",
    "Leaderboard": "reports.board",
    "Method": "methods.method",
    "Prerequisite": "methods.method",
    "Record": "reports.record",
    "Run": "methods.run",
    "Study": "methods.study",
    "Sweep": "benchmark.config.sweep",
    "SweepPrerequisite": "methods.method",
    "Task": "tasks.task",
    "Training": "methods.settings",
    "Variant": "methods.study",
    "load_sweep": "benchmark.config.load",
    "make_sweep": "benchmark.config.load",
    "run": "leanboard.running",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'leanboard' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
