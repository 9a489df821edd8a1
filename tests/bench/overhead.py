"""Driver overhead: trials that sleep, through Tune, store, statistics and MLflow's mirror."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from rich.console import Console

from benchmark import engine
from benchmark.config.load import make_sweep
from benchmark.plan.job import Job, resolve
from benchmark.plan.plan import build
from tests.bench.sleeping import Sleeping
from tests.bench.world import write_data, write_model

TRIALS, SECONDS, SLOTS = 200, 0.5, 2


def sleeping_job(folder: Path, rows: int, seeds: int, seconds: float) -> Job:
    """A job of `rows` x `seeds` sleeping trials on one task."""
    sweep = make_sweep(
        {
            "name": "sleeping",
            "model": str(folder / "model"),
            "data": str(folder / "data"),
            "tasks": ["sst2"],
            "methods": ["finetune"],
            "seeds": seeds,
            "latency": None,
            "train": {"max_length": 32},
            "baseline": "finetune",
        }
    )
    job = resolve(sweep, output=str(folder / "out"), offline=True)
    methods = [Sleeping(seconds=seconds, number=number) for number in range(rows)]
    plan = build(methods, job.tasks, sweep.seeds, job.plan.context)
    sweep = sweep.model_copy(update={"baseline": methods[0].label})
    return Job(sweep, methods, job.tasks, job.model, job.data, plan, job.store, job.output, offline=True)


def measure() -> str:
    """Time the trials after start-up, against the ideal."""
    # Workers find the sleeping method by its module.
    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(folder / "model")
        write_data(folder / "data")
        job = sleeping_job(folder, rows=TRIALS // 5, seeds=5, seconds=SECONDS)
        result = engine.run(job, Console(quiet=True), engine.Options(cpus=SLOTS))
        records = result.records.values()
        assert len(records) == TRIALS, f"{len(result.failures)} of {TRIALS} trials failed"
        ends = sorted(record.ended for record in records)
    # A worker's first trial still imports libraries: the clock starts when each slot has ended one.
    timed = TRIALS - SLOTS
    taken = ends[-1] - ends[SLOTS - 1]
    ideal = timed * SECONDS / SLOTS
    return (
        f"driver overhead: {timed} trials of {SECONDS} s on {SLOTS} slots take {taken:.1f} s, "
        f"{taken / ideal:.2f} x the ideal (at most 1.15)"
    )
