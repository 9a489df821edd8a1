"""Synthetic records of studies, with known effects, and their predictions."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reports.board import StudyFacts, SweepFacts, TaskFacts
from reports.decisions import Decisions
from reports.metrics import score
from reports.record import Record, VariantScores
from reports.studies.content import Findings, Table, render

TASK = TaskFacts(
    name="cola",
    title="CoLA",
    primary="accuracy",
    margin=3.0,
    domains={"in-domain": (0, 250), "out-of-domain": (250, 500)},
)
EXAMPLES = 500


@dataclass
class Made:
    """Records of a study and a reader of their predictions."""

    records: list[Record] = field(default_factory=list)
    saved: dict[str, dict[str, Decisions]] = field(default_factory=dict)

    def read(self, record: Record) -> Mapping[str, Decisions]:
        return self.saved[record.fingerprint]

    def add(
        self,
        seed: int,
        variants: Mapping[str, tuple[dict[str, Any], np.ndarray]],
        task=TASK,
        ones: float = 0.5,
        **changes,
    ):
        """Add a record: by name of a variant its facts and whether each example is right.

        Of the gold labels a share of `ones` is 1, evenly spread.
        """
        labels = np.diff(np.floor(ones * np.arange(EXAMPLES + 1))).astype(np.int64)
        found = {
            name: Decisions(np.arange(EXAMPLES), labels, np.where(right, labels, 1 - labels), 2)
            for name, (_, right) in variants.items()
        }
        facts = {
            "fingerprint": f"{task.name}{seed}",
            "decides": {},
            "kind": "study",
            "label": "study",
            "method": "study",
            "family": "study",
            "params": {},
            "task": task.name,
            "seed": seed,
            "model_id": "tiny",
            "primary": task.primary,
            "variants": [
                VariantScores(
                    name=name,
                    facts=facts,
                    scores=score(labels, np.eye(2)[found[name].classes], ["accuracy", "matthews"]),
                )
                for name, (facts, _) in variants.items()
            ],
            "started": 1.0,
            "ended": 2.0 + seed,
        }
        self.records.append(Record.model_validate(facts | changes))
        self.saved[f"{task.name}{seed}"] = found


def rows(table: Table) -> list[dict[str, str]]:
    """The rows of a table as its CSV file has them."""
    return list(csv.DictReader(io.StringIO(table.to_csv())))


def check_files(findings: Findings, name: str) -> str:
    """Everything can be rendered; the page holds the conclusion and points to the figure."""
    files = render(findings, study(name), ["A note."], missing=2)
    assert set(files) == {"index.md", "table.md", "table.csv", "figure.svg", "figure.png"}
    page = files["index.md"].decode()
    assert "Incomplete: 2 trials" in page
    assert "> A note." in page
    assert all(sentence in page for sentence in findings.conclusion)
    assert files["figure.png"].startswith(b"\x89PNG")
    assert b"<svg" in files["figure.svg"]
    assert len({line.count("|") for line in files["table.md"].decode().splitlines()}) == 1
    return page


def sweep(*tasks: TaskFacts, seeds: int = 3) -> SweepFacts:
    return SweepFacts(
        name="s",
        model="tiny",
        data="bundled",
        tasks=tasks or (TASK,),
        methods=(),
        seeds=tuple(range(1, seeds + 1)),
        baseline="finetune",
    )


def study(name: str, **params: Any) -> StudyFacts:
    report = f"reports.studies.{name.replace('-', '_')}:report"
    return StudyFacts(label=name, study=name, params=params, paper="a paper", report=report, source=name)


def right(share: float, rng: np.random.Generator) -> np.ndarray:
    """Which examples are right: a number of them, drawn."""
    return rng.permutation(EXAMPLES) < share * EXAMPLES


def broken(base: np.ndarray, count: int, rng: np.random.Generator, within: slice = slice(None)) -> np.ndarray:
    """The same with `count` right ones made wrong, or wrong ones right where it is negative."""
    changed = base.copy()
    rows = np.arange(EXAMPLES)[within]
    candidates = rows[base[rows]] if count >= 0 else rows[~base[rows]]
    changed[rng.choice(candidates, abs(count), replace=False)] = count < 0
    return changed


def ablation(effect: Callable[[int, int, int], int], *, layers=2, heads=3, seeds=3, task=TASK) -> Made:
    """Records of `head-ablation`: without a head so many more examples are wrong, by seed."""
    made = Made()
    for seed in range(1, seeds + 1):
        rng = np.random.default_rng(seed)
        base = right(0.8, rng)
        variants = {"unpruned": ({}, base)}
        for layer in range(layers):
            for head in range(heads):
                facts = {"layer": layer, "head": head}
                variants[f"{layer}.{head}"] = (facts, broken(base, effect(seed, layer, head), rng))
        made.add(seed, variants, task)
    return made
