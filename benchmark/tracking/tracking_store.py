"""Where MLflow keeps the runs: a server, or a SQLite file in the output folder."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit


@dataclass(frozen=True)
class TrackingStore:
    """A tracking store and where the files of its runs go."""

    uri: str
    """MLflow's tracking URI; may hold a password, so show `shown` instead."""
    artifacts: str | None
    """Absolute folder of the artifacts; None where a server decides."""

    @classmethod
    def of(cls, output: str) -> TrackingStore:
        """Return a sweep's tracking store: `MLFLOW_TRACKING_URI`, else a SQLite file in the output folder.

        A database cannot lie in an object store; for an output there it is put into `runs/<last part>`
        below the working directory.

        Args:
            output: the sweep's output folder or URL.
        """
        remote = "://" in output and not output.startswith("file://")
        folder = (
            Path("runs", output.rstrip("/").rsplit("/", 1)[-1])
            if remote
            else Path(output.removeprefix("file://"))
        )
        artifacts = str(folder.absolute() / "mlartifacts")
        if uri := os.environ.get("MLFLOW_TRACKING_URI"):
            chosen = cls(uri, artifacts)
            return cls(uri, None) if chosen.served or "databricks" in uri else chosen
        return cls(f"sqlite:///{folder.absolute() / 'mlflow.db'}", artifacts)

    @property
    def served(self) -> bool:
        """Whether a server holds the runs, so that they have an address in a browser."""
        return urlsplit(self.uri).scheme in ("http", "https")

    @property
    def shown(self) -> str:
        """The URI without user name and password."""
        parts = urlsplit(self.uri)
        # urlunsplit would write sqlite:////path with one slash too few.
        return (
            self.uri.replace(f"{parts.netloc.rpartition('@')[0]}@", "", 1)
            if "@" in parts.netloc
            else self.uri
        )

    @property
    def file(self) -> Path | None:
        """The database file, where there is one."""
        return Path(self.uri.removeprefix("sqlite:///")) if self.uri.startswith("sqlite:///") else None

    def address(self, experiment: str, run: str) -> str:
        """Address of a run's page on the server."""
        # MLflow 3 opens on its pages for language models unless told otherwise.
        base = self.shown.rstrip("/")
        return f"{base}/#/experiments/{experiment}/runs/{run}?workflowType=machine_learning"


def ui_command(tracking: TrackingStore, host: str = "127.0.0.1", port: int = 5000) -> list[str]:
    """The command that shows a database in a browser; one on a server has an address already."""
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", tracking.uri]
    if tracking.artifacts:
        command += ["--default-artifact-root", tracking.artifacts]
    # One worker is plenty for one reader; each takes seconds and hundreds of megabytes to start.
    return [*command, "--workers", "1", "--host", host, "--port", str(port)]


def ui_environment() -> dict[str, str]:
    """The environment of that command: this one's, no usage reporting, no runner for jobs we never start."""
    return {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        **os.environ,
    }
