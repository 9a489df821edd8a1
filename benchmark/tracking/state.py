"""What the store remembers of the mirror: a finished sweep knows that it is shown without asking MLflow."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from benchmark.store.store import Store
from benchmark.tracking.content import stamp
from benchmark.tracking.run_identity import RunIdentity
from benchmark.tracking.tracking_store import TrackingStore
from reports.record import Failure, Record

if TYPE_CHECKING:
    from benchmark.studies import PublishedStudy
    from benchmark.tracking.runs import Runs
    from reports.board import Leaderboard, Links

FILE = "mirror.json"


def board_stamp(board: Leaderboard, studies: Iterable[PublishedStudy] = ()) -> str:
    """What tells leaderboards, and the studies beside them, apart."""
    content = [board.model_dump_json(), *sorted(study.stamp for study in studies)]
    return hashlib.sha256("\n".join(content).encode()).hexdigest()


def remember(store: Store, tracking: TrackingStore, identity: RunIdentity, runs: Runs) -> None:
    """Write down which runs are whole."""
    content = {
        "where": _where(tracking, identity),
        "experiment": runs.client.experiment,
        "parent": runs.parent,
        "board": runs.board,
        "trials": {key: stamps for key, stamps in runs.whole.items() if stamps},
        "summaries": [[*pair, run] for pair, run in runs.summaries.items()],
    }
    store.write_json(FILE, content)


def in_sync(
    store: Store,
    tracking: TrackingStore,
    identity: RunIdentity,
    outcomes: Iterable[Record | Failure],
    board: Leaderboard | None = None,
    studies: Iterable[PublishedStudy] = (),
) -> bool:
    """Whether MLflow was last seen to hold all these outcomes, this leaderboard and these studies."""
    known = _recall(store, tracking, identity)
    if known is None or (tracking.file and not tracking.file.exists()):
        return False
    if board is not None and known["board"] != board_stamp(board, studies):
        return False
    trials = known["trials"]
    return all(stamp(outcome) in trials.get(outcome.fingerprint, ()) for outcome in outcomes)


def links(store: Store, tracking: TrackingStore, identity: RunIdentity) -> Links:
    """Addresses of the summary runs by (label, task); empty unless a server holds them."""
    known = _recall(store, tracking, identity) if tracking.served else None
    if known is None:
        return {}
    return {
        (label, task): tracking.address(known["experiment"], run) for label, task, run in known["summaries"]
    }


def _recall(store: Store, tracking: TrackingStore, identity: RunIdentity) -> dict[str, Any] | None:
    content = store.read_json(FILE)
    return content if content and content.get("where") == _where(tracking, identity) else None


def _where(tracking: TrackingStore, identity: RunIdentity) -> str:
    """A digest, because the URI may hold a password."""
    where = [tracking.uri, identity.experiment, identity.sweep, identity.night]
    return hashlib.sha256(json.dumps(where).encode()).hexdigest()
