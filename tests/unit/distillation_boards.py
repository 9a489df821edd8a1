"""Synthetic records of distillation sweeps: real labels and fields, known scores, no training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from boards import Board, make

from methods import registry
from reports.board import MethodFacts
from reports.record import Collapse

LAYERS = 6
Methods = Sequence[tuple[str, dict[str, Any], float]]
"""Name, fields, effect on accuracy."""

ABLATION: Methods = (
    ("finetune", {}, 0.0),
    ("kd", {"layers": 3, "alpha": 0}, -0.08),
    ("kd", {"layers": 3, "alpha": 0.7}, -0.06),
    ("patient-kd", {"layers": 3, "alpha": 0.7}, -0.06),
    ("tinybert", {"layers": 3, "inner_epochs": 3, "live": True}, -0.05),
    ("distilbert", {"layers": 3}, -0.055),
    ("pea-kd", {"layers": 3, "ptp": False, "shuffle": "none"}, -0.06),
    ("pea-kd", {"layers": 3, "ptp": False}, -0.03),
    ("pea-kd", {"layers": 3, "sps": False}, -0.06),
    ("pea-kd", {"layers": 3, "sps": False, "ptp_labels": "random"}, -0.06),
    ("pea-kd", {"layers": 3}, 0.02),
)
TASKS = {
    "mrpc": (408, 0.68, 0.86, "f1", 2.0),
    "rte": (277, 0.47, 0.66, "accuracy", 3.0),
    "sst2": (872, 0.51, 0.85, "accuracy", 1.5),
}


def board(
    methods: Methods = ABLATION, *, tasks=TASKS, seeds: int = 5, collapsed: Mapping[str, int] = {}
) -> Board:
    """Make a board of these methods; start models of `collapsed` are, by task the seed."""
    works = [registry.find(name)(**fields) for name, fields, _ in methods]
    made = make(
        faults=False,
        seeds=seeds,
        tasks=tasks,
        methods={
            work.label: (work.family, work.model_dump(mode="json"), effect, 5.3)
            for work, (_, _, effect) in zip(works, methods, strict=True)
        },
    )
    by_label = {work.label: work for work in works}
    made.records = [_with_facts(record, by_label[record.label], collapsed) for record in made.records]
    return made


def _with_facts(record, work, collapsed):
    stored = getattr(work, "layers", None) or LAYERS
    shared = getattr(work, "sps", False)
    order = {"layer_order": [*range(stored)] * 2} if shared else {}
    model = record.model.model_copy(update={"architecture": {"num_hidden_layers": stored, **order}})
    notes = {}
    if getattr(work, "ptp", False):
        classes = ("right and sure", "right and unsure", "wrong and sure", "wrong and unsure")
        notes = {"ptp_counts": dict(zip(classes, (90, 5, 3, record.seed), strict=True))}
    dead = collapsed.get(record.task) == record.seed
    teacher = None if work.label == "finetune" or not work.prerequisites() else Collapse(collapsed=dead)
    score = record.scores[record.primary]
    return record.model_copy(
        update={
            "model": model,
            "notes": notes,
            "data": {"rows": {"choice": 250}},
            "teacher_collapse": teacher,
            "choice": {record.primary: score},
            "choice_collapse": Collapse(collapsed=False),
        }
    )


def without(made: Board, *labels: str) -> Board:
    """The board of the same sweep without these rows."""
    methods: tuple[MethodFacts, ...] = tuple(m for m in made.sweep.methods if m.label not in labels)
    sweep = made.sweep.model_copy(update={"methods": methods})
    return Board(sweep, [r for r in made.records if r.label not in labels], made.saved)
