"""A thin layer over MLflow's client: its limits, its time-outs and its chatter."""

from __future__ import annotations

import getpass
import json
import logging
import math
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.tracking.tracking_store import TrackingStore

if TYPE_CHECKING:
    from mlflow.entities import Run, RunData

PARAM_LENGTH = 6000
TAG_LENGTH = 8000
NAME_LENGTH = 250
_ENTITIES = 100  # Of params or tags in a batch.
_METRICS = 1000
_PAGE = 100

Point = tuple[str, float, int, int]
"""Metric name, value, time in milliseconds, step."""


def name(text: str) -> str:
    """The nearest text that MLflow takes as a name of a metric, param or tag."""
    allowed = re.sub(r"[^\w.\- :/]", "_", text)
    parts = [part for part in allowed.split("/") if part.strip(".")]
    return "/".join(parts)[:NAME_LENGTH].rstrip("/") or "_"


def value(content: Any) -> str:
    """The text of a param or tag: strings as they are, anything else as JSON."""
    return content if isinstance(content, str) else json.dumps(content, default=str)


class Client:
    """One experiment of one tracking store.

    Raises:
        mlflow.exceptions.MlflowException: the store does not answer, here and in every method.
    """

    def __init__(self, tracking: TrackingStore, experiment: str) -> None:
        _settle()
        from mlflow import MlflowClient

        if tracking.file:
            tracking.file.parent.mkdir(parents=True, exist_ok=True)
        self._mlflow = MlflowClient(tracking_uri=tracking.uri)
        self._name = experiment
        self.experiment = self._find(tracking)
        self.user = _user()

    def _find(self, tracking: TrackingStore) -> str:
        found = self._mlflow.get_experiment_by_name(self._name)
        if found is None:
            artifacts = Path(tracking.artifacts).as_uri() if tracking.artifacts else None
            # With a kind set, the UI does not ask what kind of experiment this is.
            tags = {"mlflow.experimentKind": "custom_model_development"}
            return self._mlflow.create_experiment(self._name, artifact_location=artifacts, tags=tags)
        if found.lifecycle_stage != "active":
            raise RuntimeError(
                f"experiment {self._name!r} was deleted; restore it with "
                f"`mlflow experiments restore -x {found.experiment_id}`"
            )
        return found.experiment_id

    def answers(self) -> bool:
        """Whether the store is there."""
        try:
            return self._mlflow.get_experiment(self.experiment) is not None
        except Exception:
            return False

    def describe_experiment(self, note: str) -> None:
        """Set the text above the experiment's runs."""
        self._mlflow.set_experiment_tag(self.experiment, "mlflow.note.content", note)

    def runs(self, tag: str, content: str) -> Iterator[Run]:
        """All runs that are not deleted and carry a tag."""
        token = None
        while True:
            page = self._mlflow.search_runs(
                [self.experiment], f"tags.`{tag}` = '{content}'", max_results=_PAGE, page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return

    def create(self, run_name: str, tags: Mapping[str, Any], started: float) -> str:
        """Make a run with status RUNNING and return its id."""
        standard = {
            "mlflow.user": self.user,
            "mlflow.source.name": "leanboard",
            "mlflow.source.type": "LOCAL",
        }
        texts = {name(key): value(content)[:TAG_LENGTH] for key, content in (standard | dict(tags)).items()}
        run = self._mlflow.create_run(
            self.experiment, start_time=milliseconds(started), tags=texts, run_name=run_name
        )
        return run.info.run_id

    def delete(self, run: str) -> None:
        """Move a run to the trash, from which MLflow can restore it."""
        self._mlflow.delete_run(run)

    def log(
        self,
        run: str,
        *,
        points: list[Point] | None = None,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, Any] | None = None,
    ) -> None:
        """Write points, params and tags in as few batches as MLflow's limits allow; NaN and inf are left out.

        A point that is there with the same time, step and value is not written twice by MLflow's stores.
        """
        from mlflow.entities import Metric, Param, RunTag

        metrics = iter(
            [
                Metric(name(key), float(v), time, step)
                for key, v, time, step in points or ()
                if math.isfinite(v)
            ]
        )
        settings = iter([Param(name(key), value(v)[:PARAM_LENGTH]) for key, v in (params or {}).items()])
        labels = iter([RunTag(name(key), value(v)[:TAG_LENGTH]) for key, v in (tags or {}).items()])
        while True:
            p, t = list(islice(settings, _ENTITIES)), list(islice(labels, _ENTITIES))
            # A batch holds at most 1000 of all together.
            m = list(islice(metrics, _METRICS - len(p) - len(t)))
            if not (m or p or t):
                return
            self._mlflow.log_batch(run, metrics=m, params=p, tags=t)

    def read(self, run: str) -> RunData:
        """Params and latest metrics of a run; params can be added to but never changed."""
        return self._mlflow.get_run(run).data

    def upload(self, run: str, path: Path, folder: str | None = None) -> None:
        """Add a file to a run's artifacts, over one of the same name."""
        self._mlflow.log_artifact(run, str(path), folder)

    def upload_folder(self, run: str, source: Path, folder: str) -> None:
        """Add a folder's files to a run's artifacts, over those of the same names."""
        self._mlflow.log_artifacts(run, str(source), folder)

    def write(self, run: str, file: str, text: str) -> None:
        """Add a text file to a run's artifacts."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, file)
            path.write_text(text, encoding="utf-8")
            self.upload(run, path)

    def reopen(self, run: str) -> None:
        """Set a run's status to RUNNING."""
        self._mlflow.update_run(run, status="RUNNING")

    def end(self, run: str, status: str, ended: float) -> None:
        """Set a run's last status."""
        self._mlflow.set_terminated(run, status, milliseconds(ended))


def milliseconds(seconds: float) -> int:
    """MLflow's unit of time."""
    return round(seconds * 1000)


def _settle() -> None:
    """Settings that must stand before MLflow is imported; the user's own win."""
    for key, content in {
        # MLflow would retry for minutes; what is not written is repaired by `sync`.
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    }.items():
        os.environ.setdefault(key, content)
    if "MLFLOW_LOGGING_LEVEL" not in os.environ:
        # The mirror reports outages itself, in one line instead of a stack per retry.
        os.environ["MLFLOW_LOGGING_LEVEL"] = "CRITICAL"
        for chatty in ("mlflow", "alembic", "urllib3.connectionpool"):
            logging.getLogger(chatty).setLevel(logging.CRITICAL)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # A container's user may have no name.
        return "unknown"


def one_line(error: BaseException) -> str:
    """The innermost cause in one line: clients wrap a refused connection several times."""
    while cause := (error.__cause__ or error.__context__):
        error = cause
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first[:200]}".rstrip(": ")
