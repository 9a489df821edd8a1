"""Works without training, plans of them, and records as a trial would leave them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from benchmark.plan.context import Context
from benchmark.plan.fingerprint import fingerprint
from benchmark.plan.plan import Node, Plan, build
from benchmark.store.store import Store
from methods.baselines.finetune import Finetune
from methods.distillation.kd import KnowledgeDistillation
from methods.method import Method
from methods.pruning.sixteen_heads import SixteenHeads
from methods.settings import Training
from reports.record import Record
from tasks.glue import RTE, SST2

METHODS = (Finetune(), SixteenHeads(heads=0.5), KnowledgeDistillation(layers=3))
TASKS = (RTE, SST2)
SEEDS = (1, 2)


class Step(Method, name="step", family="baseline"):
    """A work that takes `hours` and does nothing."""

    hours: float = Field(1.0, gt=0)

    def cost(self) -> float:
        return self.hours

    def compress(self, run: Any) -> Any:
        raise NotImplementedError


def context(**changes: Any) -> Context:
    """What all nodes share; two tasks, MiniLM, the processor in fp32."""
    facts = {
        "model": {"id": "minilm", "sha256": "0" * 64},
        "data": {"rte": {"sha256": "1" * 64}, "sst2": {"sha256": "2" * 64}},
        "training": Training(precision="fp32", device="cpu"),
        "training_by_method": {},
        "limit": None,
        "selection": 0.2,
    }
    return Context(**{**facts, **changes})


def plan(methods: Sequence[Method] = METHODS, tasks: Any = TASKS, seeds: Any = SEEDS, **changes: Any) -> Plan:
    """A plan of three methods on two tasks with two seeds."""
    return build(methods, tasks, seeds, context(**changes))


def graph(needs: Mapping[int, Sequence[int]], hours: Mapping[int, float] | None = None) -> dict[str, Node]:
    """Nodes called `0`, `1`, ... with the given needs; numbers rise along the needs."""
    return {
        str(number): Node(
            str(number),
            Step(hours=(hours or {}).get(number, 1.0)),
            "rte",
            number,
            tuple((str(need), str(need)) for need in needs[number]),
        )
        for number in sorted(needs)
    }


def record(decides: Mapping[str, Any] | None = None, **changes: Any) -> Record:
    """A record that belongs to its fingerprint."""
    content = dict(decides or {"method": "step"})
    facts = {
        "fingerprint": fingerprint(content),
        "decides": content,
        "kind": "trial",
        "label": "step",
        "method": "step",
        "family": "baseline",
        "params": {},
        "task": "rte",
        "seed": 1,
        "model_id": "minilm",
        "primary": "accuracy",
        "scores": {"accuracy": 0.7},
        "seconds": {"total": 2.0},
        "started": time.time() - 2,
        "ended": time.time(),
    }
    return Record.model_validate(facts | changes)


def node_record(plan: Plan, node: Node, **changes: Any) -> Record:
    """The record of a planned node."""
    facts = {"label": node.label, "method": node.work.name, "task": node.task, "seed": node.seed}
    return record(plan.decides(node), **facts | changes)


def leave(store: Store, made: Record, folder: Path, *, attempt: str = "a", **files: bytes) -> Record:
    """Put a record with the given files (`result__x` is the role `result/x`) into a store."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for role, content in (files or {"predictions.parquet": b"numbers"}).items():
        paths[role.replace("__", "/")] = folder / f"{role}.{attempt}"
        (folder / f"{role}.{attempt}").write_bytes(content)
    return store.put(made, attempt, paths)
