"""Synthetic records and predictions: five tasks, six methods, five seeds, with known effects and faults."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from reports.board import MethodFacts, SweepFacts, TaskFacts
from reports.metrics import collapse, score
from reports.predictions import Predictions
from reports.record import Collapse, Cost, Failure, Latency, Model, Parameters, Record

TASKS = {  # examples, share of class 1, typical accuracy, primary metric, margin
    "rte": (277, 0.47, 0.66, "accuracy", 3.0),
    "mrpc": (408, 0.68, 0.86, "f1", 2.0),
    "sst2": (872, 0.51, 0.92, "accuracy", 1.5),
    "qnli": (1200, 0.50, 0.90, "accuracy", 1.0),
    "cola": (1043, 0.69, 0.80, "matthews", 3.0),
}
TITLES = {"rte": "RTE", "mrpc": "MRPC", "sst2": "SST-2", "qnli": "QNLI", "cola": "CoLA"}
METHODS = {  # family, fields, effect on accuracy, encoder parameters in millions
    "finetune": ("baseline", {}, 0.0, 10.6),
    "finetune-more": ("baseline", {"epochs": 3}, 0.002, 10.6),
    "random-heads:heads=0.5": ("pruning", {"heads": 0.5}, -0.06, 8.9),
    "sixteen-heads:heads=0.3": ("pruning", {"heads": 0.3}, -0.012, 9.6),
    "kd:layers=3": ("distillation", {"layers": 3}, -0.035, 5.3),
    "shared-layers:groups=2": ("sharing", {"groups": 2}, -0.05, 3.6),
}
EMBEDDINGS = 11_900_000


@dataclass
class Board:
    """Arguments of `reports.leaderboard.build`."""

    sweep: SweepFacts
    records: list[Record] = field(default_factory=list)
    saved: dict[str, Predictions] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    latencies: list[Latency] = field(default_factory=list)

    def predictions(self, record: Record) -> Predictions:
        return self.saved[record.fingerprint]


def predictions(labels, accuracy, rng, difficulty, confidence=3.0) -> Predictions:
    """Draw predictions that are right where ability plus luck beats an example's difficulty."""
    right = difficulty + 0.15 * rng.normal(size=len(labels)) < np.quantile(difficulty, accuracy)
    sign = np.where(right, 1, -1) * np.where(labels == 1, 1, -1)
    logits = np.stack([-sign, sign], axis=1) * rng.uniform(0.2, confidence, size=(len(labels), 1))
    return Predictions(np.arange(len(labels)), labels, logits.astype(np.float32))


def record(label, task, seed, saved, primary, *, teacher_collapsed=False, **changes) -> Record:
    family, params, _, millions = METHODS.get(label, ("pruning", {}, 0.0, 9.0))
    names = ["accuracy"] if primary == "accuracy" else ["accuracy", primary]
    encoder = int(millions * 1e6)
    facts = {
        "fingerprint": f"{label}/{task}/{seed}",
        "decides": {},
        "kind": "trial",
        "label": label,
        "method": label.split(":")[0],
        "family": family,
        "params": params,
        "task": task,
        "seed": seed,
        "model_id": "minilm",
        "primary": primary,
        "scores": score(saved.labels, saved.logits, names),
        "collapse": collapse(saved.labels, saved.logits, primary),
        "teacher_collapse": Collapse(collapsed=teacher_collapsed) if label != "finetune" else None,
        "model": Model(
            parameters=Parameters(
                total=encoder + EMBEDDINGS, encoder=encoder, embeddings=EMBEDDINGS - 150_000
            ),
            flops=encoder * 2 * 128.0,
            checkpoint_bytes=4 * (encoder + EMBEDDINGS),
            architecture={},
            signature=label,
        ),
        "cost": Cost(steps=300, examples=9600, tokens=480_000, flops=3.2e13),
        "seconds": {"total": 95.0 + seed},
        "peak_memory_bytes": 900_000_000,
        "environment": {"processor": "Example CPU, 2 cores"},
        "started": 1_780_000_000.0,
        "ended": 1_780_000_100.0 + seed,
    }
    return Record.model_validate(facts | changes)


def make(*, faults: bool = True, seeds: int = 5, tasks=TASKS, methods=METHODS, extra=0.0) -> Board:
    """Build a board; with faults: a collapsed teacher, a failed, a missing, a collapsed run."""
    sweep = SweepFacts(
        name="demo",
        model="minilm",
        data="bundled",
        tasks=tuple(TaskFacts(name=t, short=TITLES[t], primary=v[3], margin=v[4]) for t, v in tasks.items()),
        methods=tuple(
            MethodFacts(label=m, method=m.split(":")[0], family=v[0], params=v[1]) for m, v in methods.items()
        ),
        seeds=tuple(range(1, seeds + 1)),
        baseline="finetune",
        command="leanboard report sweeps/demo.yaml",
        config={"name": "demo", "model": "minilm", "train": {"epochs": 3, "learning_rate": 1e-4}},
    )
    board = Board(sweep)
    for number, (task, (n, positive, accuracy, primary, _)) in enumerate(tasks.items()):
        rng = np.random.default_rng(number)
        labels = (np.arange(n) < positive * n).astype(np.int64)
        difficulty = rng.normal(size=n)
        for seed in sweep.seeds:
            start = accuracy + rng.normal(0, 0.006)
            dead = faults and task == "rte" and seed == 4
            for label, (_, _, effect, _) in methods.items():
                own = np.random.default_rng([number, seed, len(label)])
                if faults and (label, task, seed) in (
                    ("kd:layers=3", "sst2", 2),
                    ("finetune-more", "cola", 5),
                ):
                    continue
                scored = predictions(labels, start + effect + own.normal(0, 0.006) + extra, own, difficulty)
                if dead or (faults and (label, task, seed) == ("shared-layers:groups=2", "cola", 3)):
                    scored = Predictions(scored.index, labels, np.tile(np.float32([0, 1]), (n, 1)))
                made = record(label, task, seed, scored, primary, teacher_collapsed=dead)
                board.records.append(made)
                board.saved[made.fingerprint] = scored
    if faults:
        board.failures.append(
            Failure(
                fingerprint="x",
                attempt="1",
                label="kd:layers=3",
                task="sst2",
                seed=2,
                kind="diverged",
                message="training loss is NaN at step 113 of 300",
                traceback="Traceback ...",
                log="logs/kd-sst2-2.log",
                started=1.0,
                ended=2.0,
            )
        )
    board.latencies = [
        Latency(
            signature=label,
            machine="Example CPU, 2 cores",
            precision="fp32",
            length=32,
            batches={
                b: {"median_ms": k * m, "q1_ms": k * m * 0.97, "q3_ms": k * m * 1.05, "repeats": 30}
                for b, k in (("1", 0.6), ("16", 5.1))
            },
        )
        for label, (_, _, _, m) in methods.items()
    ]
    return board
