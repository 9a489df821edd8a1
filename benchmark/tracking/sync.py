"""Replay of a sweep into MLflow, after an outage or into another server."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.store.store import Store
from benchmark.tracking import state
from benchmark.tracking.client import one_line
from benchmark.tracking.run_identity import RunIdentity
from benchmark.tracking.runs import Runs
from benchmark.tracking.tracking_store import TrackingStore
from reports.record import Failure, Record

if TYPE_CHECKING:
    from benchmark.studies import PublishedStudy
    from reports.board import Leaderboard


class Unreachable(ConnectionError):
    """MLflow does not answer or refuses."""


@dataclass(frozen=True)
class Synced:
    """What a replay did to the trials' runs."""

    made: int
    unchanged: int
    deleted: int
    """Runs of attempts that the store does not count, and duplicates; MLflow's trash keeps them."""


def sync(
    tracking: TrackingStore,
    identity: RunIdentity,
    store: Store,
    records: Iterable[Record],
    failures: Iterable[Failure] = (),
    board: Leaderboard | None = None,
    folder: Path | None = None,
    studies: Sequence[PublishedStudy] = (),
) -> Synced:
    """Make MLflow show these outcomes; what it shows already is left alone, so a second call changes nothing.

    Live curves are kept nowhere but in MLflow, so a run that must be made again has none.

    Args:
        tracking: where MLflow is.
        identity: the sweep.
        store: holds the records' files.
        records: those the sweep counts.
        failures: of trials without a record; others are passed over.
        board: the leaderboard, if there is one,
        folder: and the folder of its files.
        studies: shown beside the leaderboard.

    Raises:
        Unreachable: MLflow does not answer or refuses; what was written until then stays.
    """
    try:
        runs = Runs(tracking, identity, store)
        runs.begin()
        runs.replay(records, failures)
        if board is not None and folder is not None:
            runs.published(board, folder, studies)
        runs.end()
    except Exception as error:
        raise Unreachable(f"MLflow at {tracking.shown}: {one_line(error)}") from error
    state.remember(store, tracking, identity, runs)
    counts = runs.counts
    return Synced(counts["made"], counts["unchanged"], counts["deleted"])
