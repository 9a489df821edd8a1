"""Planning and repeating: what a large sweep costs before and after it runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.world import write_data, write_model

REPEATED = """
import json, sys, time
from pathlib import Path
from rich.console import Console
from benchmark import engine
from tests.bench.overhead import sleeping_job
begun = time.perf_counter()
job = sleeping_job(Path(sys.argv[1]), rows=200, seeds=5, seconds=0.5)
result = engine.run(job, Console(quiet=True), engine.Options())
heavy = [name for name in ("torch", "ray", "mlflow", "transformers", "datasets") if name in sys.modules]
print(json.dumps([time.perf_counter() - begun, result.cached, result.published.fresh, heavy]))
"""

SYNCED = """
import json, subprocess, sys
command = [sys.executable, "-m", "benchmark.cli", "sync", sys.argv[1] + "/out"]
subprocess.run(command, check=True, capture_output=True)
print(json.dumps([]))
"""

PLANNED = """
import json, resource, sys, time
from pathlib import Path
from tests.bench.overhead import sleeping_job
begun = time.perf_counter()
job = sleeping_job(Path(sys.argv[1]), rows=20_000, seeds=5, seconds=0.5)
missing = job.missing(job.scan())
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([time.perf_counter() - begun, len(missing), peak]))
"""


def measure() -> Iterator[str]:
    """Time a second run of a finished 1,000-trial sweep and a plan of 100,000 trials."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(folder / "model")
        write_data(folder / "data")
        seconds, trials, peak = _in_process(PLANNED, folder)
        yield f"plan: {trials:,} trials in {seconds:.1f} s (under 20), {peak / 2**20:.2f} GiB (under 2)"
        _write_records(folder)
        # A sweep that ran has its page and its MLflow runs; synthetic records get theirs here.
        _in_process(REPEATED, folder)
        _in_process(SYNCED, folder)
        seconds, cached, fresh, heavy = _in_process(REPEATED, folder)
        assert cached == 1000 and not fresh and not heavy, (cached, fresh, heavy)
        yield f"finished sweep of {cached:,} trials, run again: {seconds:.1f} s (under 5)"


def _in_process(code: str, folder: Path) -> list:
    root = str(Path(__file__).resolve().parents[2])
    environment = os.environ | {"PYTHONPATH": root}
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True, env=environment
    )
    return json.loads(done.stdout.splitlines()[-1])


def _write_records(folder: Path) -> None:
    """Synthetic records for every node of the sleeping job, with real prediction files."""
    import numpy as np

    from reports import predictions
    from reports.predictions import Predictions
    from reports.record import Collapse, Cost, Model, Parameters, Record
    from tests.bench.overhead import sleeping_job

    job = sleeping_job(folder, rows=200, seeds=5, seconds=0.5)
    draw = np.random.default_rng(0)
    labels = np.arange(64) % 2
    size = Parameters(total=1000, encoder=600, embeddings=300)
    shape = Model(
        parameters=size, flops=1e6, checkpoint_bytes=4000, architecture={}, signature="same", heads=[4, 4]
    )
    for node in job.plan.nodes.values():
        logits = draw.normal(size=(64, 2)).astype(np.float32)
        with (folder / "predictions.parquet").open("wb") as file:
            predictions.write(Predictions(np.arange(64), labels, logits), file)
        now = time.time()
        record = Record(
            fingerprint=node.fingerprint, decides=job.plan.decides(node), kind="trial", label=node.label,
            method=node.work.name, family=node.work.family, params=node.work.model_dump(), task=node.task,
            seed=node.seed, model_id="tiny", primary="accuracy",
            scores={"accuracy": float((logits.argmax(1) == labels).mean())},
            collapse=Collapse(collapsed=False), model=shape, cost=Cost(), seconds={"total": 0.5}, started=now, ended=now,
        )  # fmt: skip
        job.store.put(record, "synthetic", {"predictions.parquet": folder / "predictions.parquet"})
