"""The MLflow mirror of a sweep. The store is the truth; whatever MLflow misses can be replayed from it.

Nothing here imports mlflow before it must write, so a sweep that has nothing to do answers without it.
"""

from benchmark.tracking.mirror import Mirror, MirrorReport
from benchmark.tracking.place import Place, place, ui_command, ui_environment
from benchmark.tracking.session import Session
from benchmark.tracking.sheet import Sheet
from benchmark.tracking.state import in_sync, links
from benchmark.tracking.sync import Synced, Unreachable, sync

__all__ = [
    "Mirror",
    "MirrorReport",
    "Place",
    "Session",
    "Sheet",
    "Synced",
    "Unreachable",
    "in_sync",
    "links",
    "place",
    "sync",
    "ui_command",
    "ui_environment",
]
