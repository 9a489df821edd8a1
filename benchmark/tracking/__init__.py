"""The MLflow mirror of a sweep. The store is the truth; whatever MLflow misses can be replayed from it.

Nothing here imports mlflow before it must write, so a sweep that has nothing to do answers without it.
"""

from benchmark.tracking.mirror import Mirror, MirrorReport
from benchmark.tracking.run_identity import RunIdentity
from benchmark.tracking.session import Session
from benchmark.tracking.state import in_sync, links
from benchmark.tracking.sync import Synced, Unreachable, sync
from benchmark.tracking.tracking_store import TrackingStore, ui_command, ui_environment

__all__ = [
    "Mirror",
    "MirrorReport",
    "RunIdentity",
    "Session",
    "Synced",
    "TrackingStore",
    "Unreachable",
    "in_sync",
    "links",
    "sync",
    "ui_command",
    "ui_environment",
]
