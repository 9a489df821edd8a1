"""A finished sweep in an output folder or object store, its records drawn instead of trained."""

from __future__ import annotations

import contextlib

import numpy as np
from small_plans import leave

from benchmark.config.load import make_sweep
from benchmark.plan.job import resolve
from benchmark.publish import publish
from benchmark.store.manifest import describe
from benchmark.store.store import Store
from reports import predictions
from reports.metrics import collapse, score
from reports.predictions import Predictions
from reports.record import Failure, Model, Parameters, Record

SWEEP = {
    "name": "first",
    "model": "minilm",
    "data": "bundled",
    "tasks": ["rte"],
    "methods": ["finetune", {"kd": {"layers": 3}}],
    "seeds": 3,
    "latency": {"batch_sizes": [1], "length": 8, "repeats": 3},
}


def model(signature: str) -> Model:
    return Model(
        parameters=Parameters(total=10, encoder=5, embeddings=5),
        flops=1.0,
        checkpoint_bytes=40,
        architecture={},
        signature=signature,
    )


class Output:
    """An output folder with the records of a finished sweep."""

    def __init__(self, root: str, folder, **changes) -> None:
        self.job = resolve(make_sweep({**SWEEP, **changes}), output=root)
        self.store = Store(root, folder / "cache")
        self.folder = folder
        self.manifest = describe(self.job, "leanboard run first.yaml", ("here",))
        for node in self.job.plan.trials():
            self.leave(node.fingerprint)

    def leave(self, key: str, **changes) -> Record:
        node = self.job.plan.nodes[key]
        rng = np.random.default_rng([len(node.label), node.seed])
        labels = np.arange(200) % 2
        logits = (np.eye(2)[labels] + rng.normal(0, 0.8, (200, 2))).astype(np.float32)
        file = self.folder / f"{key}.parquet"
        predictions.write(Predictions(np.arange(200), labels, logits), file)
        facts = {
            "fingerprint": key,
            "decides": self.job.plan.decides(node),
            "kind": "trial",
            "label": node.label,
            "method": node.work.name,
            "family": node.work.family,
            "params": {},
            "task": node.task,
            "seed": node.seed,
            "model_id": "minilm",
            "primary": "accuracy",
            "scores": score(labels, logits, ["accuracy"]),
            "collapse": collapse(labels, logits, "accuracy"),
            "model": model(node.label),
            "seconds": {"total": 1.0},
            "started": 1.0,
            "ended": 2.0,
        }
        made = Record.model_validate(facts | changes)
        return leave(self.store, made, self.folder, **{"predictions.parquet": file.read_bytes()})

    def publish(self, **options):
        records = self.store.scan(self.job.plan.nodes).records.values()
        return publish(self.store, self.manifest, records, **options)

    def files(self) -> dict[str, bytes]:
        base = self.store.path("leaderboard")
        return {path: self.store.fs.cat_file(path) for path in self.store.fs.find(base)}


def row_keys(output: Output) -> list[str]:
    return sorted(output.job.plan.rows)


def forget(output: Output, key: str) -> None:
    output.store.fs.rm_file(output.store.path("records", key, "record.json"))


def fail(output: Output, attempt: str = "f", ended: float = 3.0) -> None:
    key = row_keys(output)[0]
    node = output.job.plan.nodes[key]
    with contextlib.suppress(FileNotFoundError):
        forget(output, key)
    output.store.fail(
        Failure(
            fingerprint=key,
            attempt=attempt,
            label=node.label,
            task=node.task,
            seed=node.seed,
            kind="timeout",
            message="ended after 5 s",
            started=1.0,
            ended=ended,
        )
    )
