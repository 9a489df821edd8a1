"""The runs of one sweep in MLflow: a parent, a nested run per trial, a nested summary run per row.

What is there is read once, in one paged search, before anything is made; so writing the same outcome again
changes nothing. A run shows one attempt: where a fingerprint is tried again, a new run takes the old one's
place and the old one goes to MLflow's trash. A run is whole when it has ended and has the attempt's stamp.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.store.store import Store
from benchmark.tracking import content, description
from benchmark.tracking.client import Client, milliseconds, value
from benchmark.tracking.run_identity import RunIdentity
from benchmark.tracking.state import board_stamp
from benchmark.tracking.tracking_store import TrackingStore
from reports.flatten import flatten
from reports.record import Failure, Record, trial_name

if TYPE_CHECKING:
    from mlflow.entities import Run

    from benchmark.studies import PublishedStudy
    from reports.board import Leaderboard, Row

_ENDED = ("FINISHED", "FAILED")

Live = tuple[int, dict[str, float], float]
"""Step, metrics and time in seconds of one report of a trial."""


class Runs:
    """Writes outcomes of one sweep; every method may raise what MLflow's client raises and be repeated."""

    def __init__(self, tracking: TrackingStore, identity: RunIdentity, store: Store) -> None:
        self.identity = identity
        self.store = store
        self.client = Client(tracking, identity.experiment)
        self.counts: Counter[str] = Counter()
        """Runs made, left alone and deleted."""
        self._open: dict[str, str] = {}
        self.board = ""
        """Stamp of the leaderboard that was published; empty until then."""
        self._changed: dict[str, tuple[str, str]] = {}
        self.reload()

    def reload(self) -> None:
        """Read which runs there are."""
        self.whole: defaultdict[str, dict[str, str]] = defaultdict(dict)
        """By fingerprint and stamp, the run that needs nothing more, whatever night it was run."""
        self.summaries: dict[tuple[str, str], str] = {}
        """Run of each (label, task) of the leaderboard."""
        self._trials: defaultdict[str, list[str]] = defaultdict(list)
        parents = []
        for run in self.client.runs("leanboard.sweep", self.identity.sweep):
            tags, key = run.data.tags, run.info.run_id
            fingerprint = tags.get("leanboard.fingerprint", "")
            if fingerprint and run.info.status in _ENDED and "leanboard.stamp" in tags:
                self.whole[fingerprint][tags["leanboard.stamp"]] = key
            if tags.get("leanboard.night", "") != (self.identity.night or ""):
                continue
            if fingerprint:
                self._trials[fingerprint].append(key)
            elif tags.get("leanboard.kind") == "summary":
                self.summaries[tags["label"], tags["task"]] = key
            elif tags.get("leanboard.kind") == "sweep":
                parents.append(run)
        self._open = {key: run for key, run in self._open.items() if run in self._trials[key]}
        self.parent = self._parent(parents)

    # -- the parent ------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Show the sweep as running, with its settings."""
        self.client.reopen(self.parent)
        self._changed = self._log_params(self.parent, flatten(self.identity.config))
        self._describe(None)
        self.client.write(self.parent, "sweep.json", json.dumps(self.identity.config, indent=1, default=str))

    def published(self, board: Leaderboard, folder: Path, studies: Sequence[PublishedStudy] = ()) -> None:
        """Show a leaderboard: a summary run per row, and its files among the parent's artifacts.

        The files of studies stand beside them.
        """
        now = milliseconds(time.time())
        for row in [*board.overall, *board.rows]:
            self._summarise(row, now)
        self.client.upload_folder(self.parent, folder, "leaderboard")
        for study in studies:
            self.client.upload_folder(self.parent, study.folder, f"studies/{study.label}")
        self._describe(board)
        state = {"trials/done": board.trials, "trials/planned": board.planned}
        self._update(self.parent, state, {"complete": board.complete}, now)
        self.board = board_stamp(board, studies)

    def end(self, interrupted: bool = False) -> None:
        """Show the sweep as ended; runs of trials that are still open were not finished."""
        for key in list(self._open):
            self.client.end(self._open.pop(key), "KILLED", time.time())
        self.client.end(self.parent, "KILLED" if interrupted else "FINISHED", time.time())

    def _parent(self, found: list[Run]) -> str:
        if found:
            # Two drivers may each have made one; all agree on the first.
            return min(found, key=lambda run: (run.info.start_time, run.info.run_id)).info.run_id
        self.client.describe_experiment(description.EXPERIMENT)
        tags = {**self.identity.tags, "leanboard.kind": "sweep"}
        return self.client.create(self.identity.name, tags, time.time())

    def _describe(self, board: Leaderboard | None) -> None:
        note = description.of_sweep(self.identity.config, self._changed, board)
        self.client.log(self.parent, tags={"mlflow.note.content": note})

    # -- trials ----------------------------------------------------------------------------------------

    def started(
        self, key: str, label: str, task: str, seed: int, params: Mapping[str, Any], at: float
    ) -> None:
        """Make the run of an attempt that begins; earlier ones of the fingerprint give way."""
        self._clear(key)
        self._make(key, "trial", {"label": label, "task": task, "seed": seed}, at)
        self.client.log(self._open[key], params=flatten(params))

    def curve(self, key: str, reports: list[Live]) -> None:
        """Add live metrics to a running trial."""
        points = [
            # The UI groups charts by what stands before a slash, in alphabetical order: curves come first.
            (f"by_step/{metric}", number, milliseconds(at), step)
            for step, metrics, at in reports
            for metric, number in metrics.items()
        ]
        # The last metrics may come after the record; the run is then closed, and takes them all the same.
        runs = [self._open[key]] if key in self._open else self._trials[key]
        if runs:
            self.client.log(runs[-1], points=points)

    def finished(self, record: Record) -> None:
        """Show a record: numbers, settings, tags, files."""
        if not self._begin_writing(record, record.kind):
            return
        key, run = record.fingerprint, self._open[record.fingerprint]
        self._attach(run, record)
        at = milliseconds(record.ended)
        points = [(metric, number, at, 0) for metric, number in content.metrics(record).items()]
        tags = content.identity(record) | content.tags(record)
        tags |= {"leanboard.kind": record.kind, "leanboard.stamp": content.stamp(record)}
        self.client.log(run, points=points, params=content.params(record), tags=tags)
        self._end(key, record, "FINISHED")

    def failed(self, failure: Failure) -> None:
        """Show a failure: its kind, message and traceback."""
        if not self._begin_writing(failure, "trial"):
            return
        key, run = failure.fingerprint, self._open[failure.fingerprint]
        if failure.traceback:
            self.client.write(run, "traceback.txt", failure.traceback)
        seconds = failure.ended - failure.started
        points = [("seconds/total", seconds, milliseconds(failure.ended), 0)]
        tags = content.failure_tags(failure) | {"leanboard.stamp": content.stamp(failure)}
        tags["mlflow.note.content"] = description.of_failure(failure)
        self.client.log(run, points=points, tags=tags)
        self._end(key, failure, "FAILED")

    def replay(self, records: Iterable[Record], failures: Iterable[Failure]) -> None:
        """Make MLflow agree with the store: write what is missing, remove what the store does not know."""
        records = list(records)
        done = {record.fingerprint for record in records}
        for record in records:
            self.finished(record)
            self._keep_one(record)
        for failure in failures:
            if failure.fingerprint not in done:
                self.failed(failure)
                self._keep_one(failure)

    def _keep_one(self, outcome: Record | Failure) -> None:
        key = outcome.fingerprint
        self._clear(key, but=self.whole[key][content.stamp(outcome)])

    def _begin_writing(self, outcome: Record | Failure, kind: str) -> bool:
        key = outcome.fingerprint
        if content.stamp(outcome) in self.whole[key]:
            self.counts["unchanged"] += 1
            return False
        if key not in self._open:
            self._clear(key)
            self._make(key, kind, content.identity(outcome), outcome.started)
        return True

    def _make(self, key: str, kind: str, tags: Mapping[str, Any], at: float) -> None:
        tags = {**tags, **self.identity.tags, "leanboard.kind": kind, "leanboard.fingerprint": key}
        title = trial_name(tags["label"], tags["task"], tags["seed"])
        self._open[key] = self.client.create(title, tags | {"mlflow.parentRunId": self.parent}, at)
        self._trials[key].append(self._open[key])
        self.counts["made"] += 1

    def _end(self, key: str, outcome: Record | Failure, status: str) -> None:
        self.client.end(self._open[key], status, outcome.ended)
        self.whole[key][content.stamp(outcome)] = self._open.pop(key)

    def _clear(self, key: str, but: str = "") -> None:
        for run in [run for run in self._trials[key] if run != but]:
            self.client.delete(run)
            self._trials[key].remove(run)
            self.whole[key] = {stamp: other for stamp, other in self.whole[key].items() if other != run}
            self.counts["deleted"] += 1

    def _attach(self, run: str, record: Record) -> None:
        self.client.write(run, "record.json", record.model_dump_json(indent=1))
        # Results other nodes start from hold weights; those stay in the store alone.
        for role in sorted(record.files.keys() - record.result_files.keys()):
            folder, _, file = role.removeprefix("artifacts/").rpartition("/")
            with tempfile.TemporaryDirectory() as temporary, self.store.open(record, role) as source:
                path = Path(temporary, file)
                with path.open("wb") as target:
                    shutil.copyfileobj(source, target)
                self.client.upload(run, path, folder or None)

    # -- rows ------------------------------------------------------------------------------------------

    def rows(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """The summary run of each (label, task), made where it is missing."""
        return {pair: self.summaries.get(pair) or self._row(*pair) for pair in pairs}

    def _row(self, label: str, task: str) -> str:
        tags = {"label": label, "task": task, **self.identity.tags, "leanboard.kind": "summary"}
        tags |= {"leanboard.summary": f"{label} | {task}", "mlflow.parentRunId": self.parent}
        self.summaries[label, task] = run = self.client.create(f"{label}.{task}", tags, time.time())
        return run

    def _summarise(self, row: Row, now: int) -> None:
        run = self.rows([(row.label, row.task)])[row.label, row.task]
        changed = self._log_params(run, flatten(row.params))
        tags = content.row_tags(row) | {"mlflow.note.content": description.of_row(row, changed)}
        self._update(run, content.row_metrics(row), tags, now)
        self.client.end(run, "FINISHED", now / 1000)

    def _log_params(self, run: str, params: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
        """Log the params a run lacks; MLflow never changes one, so return what others were and are now."""
        there = self.client.read(run).params
        self.client.log(run, params={k: v for k, v in params.items() if k not in there})
        return {
            key: (there[key], value(new))
            for key, new in params.items()
            if key in there and there[key] != value(new)
        }

    def _update(self, run: str, metrics: Mapping[str, float], tags: Mapping[str, Any], now: int) -> None:
        """Log metrics that changed; repeating the same ones adds no points."""
        there = self.client.read(run).metrics
        points = [
            (metric, number, now, 0) for metric, number in metrics.items() if there.get(metric) != number
        ]
        self.client.log(run, points=points, tags=tags)
