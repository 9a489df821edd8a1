"""A small finished sweep in a store: two labels, two tasks, two seeds, one failure, and its leaderboard."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmark.plan.fingerprint import fingerprint
from benchmark.store.store import Store
from benchmark.tracking import RunIdentity
from reports import leaderboard, predictions
from reports.board import Leaderboard, MethodFacts, SweepFacts, TaskFacts
from reports.metrics import collapse, score
from reports.predictions import Predictions
from reports.record import Cost, Failure, Model, Parameters, Record
from reports.render import render

TASKS = {"rte": "accuracy", "mrpc": "f1"}
METHODS = {"finetune": {}, "kd:layers=3": {"layers": 3}}
CONFIG = {
    "name": "small",
    "model": "minilm",
    "tasks": list(TASKS),
    "methods": ["finetune", {"kd": {"layers": 3}}],
    "seeds": [1, 2],
    "train": {"epochs": 3, "learning_rate": 1e-4},
}


@dataclass
class Sweep:
    """What a sweep left behind."""

    store: Store
    identity: RunIdentity = field(default_factory=lambda: RunIdentity("small", CONFIG))
    records: list[Record] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    @property
    def outcomes(self) -> list[Record | Failure]:
        return [*self.records, *self.failures]

    def board(self) -> Leaderboard:
        facts = SweepFacts(
            name="small",
            model="minilm",
            data="bundled",
            tasks=tuple(TaskFacts(name=task, primary=primary, margin=2.0) for task, primary in TASKS.items()),
            methods=tuple(
                MethodFacts(label=label, method=label.split(":")[0], family="baseline", params=params)
                for label, params in METHODS.items()
            ),
            seeds=(1, 2),
            baseline="finetune",
        )
        return leaderboard.build(self.records, self.read, facts, failures=self.failures, replicates=200)

    def read(self, record: Record) -> Predictions:
        with self.store.open(record, "predictions.parquet") as file:
            return predictions.read(file)


def sweep(folder: Path, trials: int | None = None) -> Sweep:
    """Write the sweep into a store; the last of its trials, the eighth, failed."""
    made = Sweep(Store(str(folder)))
    cells = [(label, task, seed) for label in METHODS for task in TASKS for seed in (1, 2)]
    for number, (label, task, seed) in enumerate(cells[:trials]):
        if number == len(cells) - 1:
            made.failures.append(failure(label, task, seed))
            made.store.fail(made.failures[-1])
        else:
            made.records.append(put(made.store, label, task, seed, 1.8e9 + 100 * number))
    return made


def decides(label: str, task: str, seed: int) -> dict:
    train = {"epochs": 3, "learning_rate": 1e-4}
    return {
        "label": label,
        "task": task,
        "seed": seed,
        "train": train,
        "limit": None,
        "model": {"id": "minilm"},
    }


def put(store: Store, label: str, task: str, seed: int, ended: float) -> Record:
    rng = np.random.default_rng(seed)
    labels = np.arange(40) % 2
    logits = np.eye(2, dtype=np.float32)[np.where(rng.random(40) < 0.8, labels, 1 - labels)]
    content = decides(label, task, seed)
    record = Record(
        fingerprint=fingerprint(content),
        decides=content,
        kind="trial",
        label=label,
        method=label.split(":")[0],
        family="baseline",
        params=METHODS[label],
        task=task,
        seed=seed,
        model_id="minilm",
        primary=TASKS[task],
        scores=score(labels, logits, ["accuracy", "f1"]),
        choice={"accuracy": 0.75},
        collapse=collapse(labels, logits, "accuracy"),
        model=Model(
            parameters=Parameters(total=1000, encoder=600, embeddings=390),
            flops=2e6,
            checkpoint_bytes=4000,
            architecture={},
            signature=label,
        ),
        cost=Cost(steps=30, examples=960, tokens=20_000, flops=1e9),
        seconds={"compress": 80.0, "total": 90.0},
        peak_memory_bytes=10**9,
        environment={"processor": "a CPU", "git": {"commit": "0" * 40, "dirty": False}},
        digest="d" * 64,
        started=ended - 90,
        ended=ended,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "predictions.parquet")
        with path.open("wb") as file:
            predictions.write(Predictions(np.arange(40), labels, logits), file)
        weights = Path(folder, "weights")
        weights.write_bytes(b"large")
        return store.put(record, "a", {"predictions.parquet": path, "result/weights": weights})


def failure(label: str, task: str, seed: int) -> Failure:
    return Failure(
        fingerprint=fingerprint(decides(label, task, seed)),
        attempt="a",
        label=label,
        task=task,
        seed=seed,
        kind="diverged",
        message="training diverged at step 7",
        traceback="Traceback (most recent call last): ...",
        log="logs/x.log",
        started=1.8e9,
        ended=1.8e9 + 5,
    )


def write_page(board, folder: Path) -> None:
    """Write the leaderboard's files, as publishing does."""
    for name, content in render(board).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
