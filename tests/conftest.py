"""MLflow for tests: an empty database to copy, and a real server."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

# Two test processes of two threads each wait for one another, and a tiny model gains nothing from a second.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell's background jobs ignore Ctrl-C, and what they start inherits it: commands under test must not.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without runs; making one takes seconds, so tests copy it."""
    from benchmark.tracking.client import Client
    from benchmark.tracking.tracking_store import TrackingStore

    folder = tmp_path_factory.mktemp("mlflow")
    Client(TrackingStore(f"sqlite:///{folder / 'mlflow.db'}", str(folder)), "unused")
    return folder / "mlflow.db"


@dataclass
class Server:
    """A real `mlflow server` with its workers, in a process group of its own."""

    uri: str
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.fixture
def serve(empty_database: Path, tmp_path: Path) -> Iterator[Callable[[], Server]]:
    """Start an MLflow server; a second call starts it again on the same port with the same database."""
    from benchmark.tracking import ui_environment

    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    database, log = tmp_path / "server.db", tmp_path / "server.log"
    shutil.copy(empty_database, database)
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(port)]
    command += [
        "--backend-store-uri",
        f"sqlite:///{database}",
        "--artifacts-destination",
        str(tmp_path / "served"),
    ]
    started: list[Server] = []

    def start() -> Server:
        with log.open("ab") as file:
            process = subprocess.Popen(
                command, env=ui_environment(), stdout=file, stderr=file, start_new_session=True
            )
        started.append(Server(f"http://127.0.0.1:{port}", process))
        until = time.monotonic() + 120
        while time.monotonic() < until and process.poll() is None:
            try:
                urllib.request.urlopen(f"{started[-1].uri}/health", timeout=2).close()
                return started[-1]
            except OSError:
                time.sleep(0.3)
        raise AssertionError(f"mlflow server did not start: {log.read_text()}")

    yield start
    for server in started:
        server.kill()
