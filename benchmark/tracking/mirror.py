"""The mirror: a thread that shows in MLflow what happens, and never holds up or breaks the sweep."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.store.store import Store
from benchmark.tracking import state
from benchmark.tracking.client import one_line
from benchmark.tracking.run_identity import RunIdentity
from benchmark.tracking.runs import Live, Runs
from benchmark.tracking.tracking_store import TrackingStore
from reports.record import Failure, Record

if TYPE_CHECKING:
    from benchmark.studies import PublishedStudy
    from reports.board import Leaderboard, Links

LIMIT = 10_000
"""Events kept while MLflow is slow or down; what comes later is left to `sync`."""
LIVE_LIMIT = 2_000
"""Events above which live metrics are no longer taken in."""
_GATHER_SECONDS = 1.0
_RETRY_SECONDS = (5.0, 10.0, 20.0, 40.0, 60.0)


@dataclass
class MirrorReport:
    """What came of mirroring a sweep."""

    tracking: TrackingStore
    written: int = 0
    """Events that are in MLflow."""
    lost: int = 0
    """Events that are not; `leanboard sync` repairs them."""
    points_lost: int = 0
    """Reports of live metrics that are not; they are kept nowhere else."""
    error: str = ""
    """What went wrong last."""

    @property
    def warning(self) -> str:
        """One line for the user; empty if MLflow shows everything."""
        parts = []
        if self.lost:
            events = f"{self.lost} of {self.lost + self.written} events"
            parts.append(f"misses {events} ({self.error}); `leanboard sync` repairs")
        if self.points_lost:
            parts.append(f"has lost {self.points_lost} points of live curves for good")
        return f"MLflow at {self.tracking.shown} {', and '.join(parts)}" if parts else ""


@dataclass
class _Event:
    """A call of a method of Runs that is still to be made."""

    write: Callable[..., Any]
    arguments: tuple[Any, ...]
    answer: Future[Any] | None = None

    @property
    def live(self) -> bool:
        return self.write is Runs.curve


class _Down(ConnectionError):
    """MLflow does not answer."""


class Mirror:
    """Mirrors one sweep while it runs. All methods return at once, except `links`, `paused` and `close`.

    Call `start` when the heavy imports of the driver are done: the thread imports mlflow, and imports of the
    same packages in two threads can collide (the mirror would then try again).
    """

    def __init__(self, tracking: TrackingStore, identity: RunIdentity, store: Store) -> None:
        self._tracking, self._identity, self._store = tracking, identity, store
        self._report = MirrorReport(tracking)
        self._queue: deque[_Event] = deque()
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._allowed = threading.Event()
        self._allowed.set()
        self._something = threading.Event()
        self._closing = threading.Event()
        self._interrupted = False
        self._runs: Runs | None = None
        self._stale = False
        self._thread = threading.Thread(target=self._serve, name="mlflow-mirror", daemon=True)

    def start(self) -> None:
        """Begin to write; makes the parent run."""
        self._put(Runs.begin)
        self._thread.start()

    def started(self, fingerprint: str, label: str, task: str, seed: int, params: Mapping[str, Any]) -> None:
        """A trial's attempt begins."""
        self._put(Runs.started, fingerprint, label, task, seed, params, time.time())

    def metrics(self, fingerprint: str, reports: list[Live]) -> None:
        """A running trial reports metrics of some steps."""
        self._put(Runs.curve, fingerprint, reports)

    def finished(self, record: Record) -> None:
        """A trial left a record."""
        self._put(Runs.finished, record)

    def failed(self, failure: Failure) -> None:
        """A trial's attempt failed."""
        self._put(Runs.failed, failure)

    def replay(self, records: Iterable[Record], failures: Iterable[Failure] = ()) -> None:
        """Write what MLflow misses of records from earlier runs; those it has are left alone."""
        self._put(Runs.replay, list(records), list(failures))

    def published(self, board: Leaderboard, folder: Path, studies: Sequence[PublishedStudy] = ()) -> None:
        """The leaderboard and the studies are there; `folder` holds the files that show the former."""
        self._put(Runs.published, board, folder, studies)

    def links(self, pairs: Iterable[tuple[str, str]], timeout: float = 15.0) -> Links:
        """Addresses of the summary runs of (label, task), made where missing; empty if no server answers.

        The page that links to them is written before it is published, so the runs are made ahead.
        """
        if not self._tracking.served:
            return {}
        answer: Future[dict[tuple[str, str], str]] = Future()
        self._put(Runs.rows, list(pairs), answer=answer)
        try:
            runs = answer.result(timeout)
        except Exception:
            return {}
        assert self._runs is not None
        experiment = self._runs.client.experiment
        return {pair: self._tracking.address(experiment, run) for pair, run in runs.items()}

    @contextlib.contextmanager
    def paused(self, timeout: float = 60.0) -> Iterator[None]:
        """Write nothing for the time of the block, so that what is timed there has the machine to itself.

        What comes in waits. A call that MLflow has not answered after `timeout` seconds is not waited for.
        """
        self._allowed.clear()
        held = self._writing.acquire(timeout=timeout)
        try:
            yield
        finally:
            if held:
                self._writing.release()
            self._allowed.set()

    def close(self, timeout: float = 60.0, *, interrupted: bool = False) -> MirrorReport:
        """Write what is left, for at most `timeout` seconds, and say what was written and what was lost."""
        self._interrupted = interrupted
        self._closing.set()
        self._something.set()
        if self._thread.is_alive():
            self._thread.join(timeout)
        with self._lock:
            if self._thread.is_alive() and not self._report.error:
                self._report.error = f"not done after {timeout:g} s"
            while self._queue:
                self._lose(self._queue.popleft())
        return self._report

    # -- in the caller's thread --------------------------------------------------------------------------

    def _put(self, write: Callable[..., Any], *arguments: Any, answer: Future[Any] | None = None) -> None:
        event = _Event(write, arguments, answer)
        with self._lock:
            if len(self._queue) >= (LIVE_LIMIT if event.live else LIMIT):
                self._lose(event)
            else:
                self._queue.append(event)
        self._something.set()

    def _lose(self, event: _Event) -> None:
        if event.live:
            self._report.points_lost += len(event.arguments[1])
        else:
            self._report.lost += 1
        if event.answer:
            event.answer.cancel()

    # -- in the thread -----------------------------------------------------------------------------------

    def _serve(self) -> None:
        outages = 0
        while True:
            self._something.wait()
            # Live metrics of one trial go into one batch if they are given time to gather.
            self._closing.wait(_GATHER_SECONDS)
            try:
                self._drain()
                outages = 0
            except _Down as error:
                self._report.error = str(error)
                if self._closing.is_set():
                    return
                self._closing.wait(_RETRY_SECONDS[min(outages, len(_RETRY_SECONDS) - 1)])
                outages += 1
                continue
            if self._closing.is_set():
                break
        self._finish()

    def _drain(self) -> None:
        more = True
        while more:
            # A lock alone is not fair: with a long queue the thread would take it again and again.
            self._allowed.wait()
            with self._writing:
                more = self._next()

    def _next(self) -> bool:
        """Write one event; return whether there was one."""
        event = self._take()
        if event is None:
            return False
        try:
            self._write(event)
        except _Down:
            with self._lock:
                self._queue.appendleft(event)
            raise
        return True

    def _take(self) -> _Event | None:
        with self._lock:
            if not self._queue:
                self._something.clear()
                if self._closing.is_set():
                    self._something.set()
                return None
            event = self._queue.popleft()
            if event.live:
                gather(event.arguments[0], event.arguments[1], self._queue)
            return event

    def _write(self, event: _Event) -> None:
        runs = self._connected()
        try:
            result = event.write(runs, *event.arguments)
        except Exception as first:
            # Half of it may be there, or somebody else deleted the run.
            self._stale = True
            if not runs.client.answers():
                raise _Down(one_line(first)) from first
            result = self._again(event)
        else:
            self._report.written += 1
        if event.answer and not event.answer.cancelled():
            event.answer.set_result(result)

    def _again(self, event: _Event) -> Any:
        runs = self._connected()
        try:
            result = event.write(runs, *event.arguments)
        except Exception as error:
            self._stale = True
            with self._lock:
                self._report.error = one_line(error)
                self._lose(event)
            return None
        self._report.written += 1
        return result

    def _connected(self) -> Runs:
        """The runs, read again after a failure."""
        try:
            if self._runs is None:
                self._runs = Runs(self._tracking, self._identity, self._store)
            elif self._stale:
                self._runs.reload()
            self._stale = False
        except Exception as error:
            raise _Down(one_line(error)) from error
        return self._runs

    def _finish(self) -> None:
        if self._runs is None:
            return
        try:
            self._runs.end(self._interrupted)
            state.remember(self._store, self._tracking, self._identity, self._runs)
        except Exception as error:
            self._report.lost += 1
            self._report.error = one_line(error)


def gather(key: str, reports: list[Live], queue: deque[_Event]) -> None:
    """Move the live metrics of the same attempt out of the queue into `reports`."""
    kept = []
    ended = False
    for event in queue:
        same = event.arguments[:1] == (key,)
        if event.live and same and not ended:
            reports.extend(event.arguments[1])
        else:
            # A new attempt of the same trial has curves of its own.
            ended |= event.write is Runs.started and same
            kept.append(event)
    queue.clear()
    queue.extend(kept)
