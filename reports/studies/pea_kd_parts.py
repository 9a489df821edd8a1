"""Which row of a sweep plays which part in Pea-KD's ablation, told by its fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reports.board import START_MODEL, MethodFacts, SweepFacts
from reports.record import Model
from reports.trials import Trials


@dataclass(frozen=True)
class Part:
    """One row of the table that a sweep may have for every number of layers k."""

    name: str
    """With `{k}` where it stands in the name."""
    fields: str
    """How a sweep asks for it."""
    fits: Callable[[MethodFacts], bool]
    of_one: str = ""
    """How it asks for it with one layer, where that differs: with one application none can be patient."""

    def called(self, k: int) -> str:
        """Its name for students of k layers."""
        return self.name.format(k=k)

    def written(self, k: int) -> str:
        """Its entry among the methods of a sweep."""
        return self.of_one if k == 1 and self.of_one else self.fields.format(k=k)

    def entries(self, sizes: Sequence[int]) -> str:
        """Its entry for the first of these numbers of layers; a second where one layer needs its own."""
        shown = sizes[:2] if self.of_one and sizes[0] == 1 else sizes[:1]
        return " and ".join(f"`{self.written(k)}`" for k in shown)


def _row(method: str, **wanted: Any) -> Callable[[MethodFacts], bool]:
    def fits(row: MethodFacts) -> bool:
        return row.method == method and all(row.params.get(key) == value for key, value in wanted.items())

    return fits


def _pea(ptp: str | None, **wanted: Any) -> Callable[[MethodFacts], bool]:
    labels = {"ptp": False} if ptp is None else {"ptp": True, "ptp_labels": ptp}
    return _row("pea-kd", **labels, **wanted)


STEPS = {
    "plain": Part("BERT_{k}", "kd: {{layers: {k}, alpha: 0}}", _row("kd", alpha=0)),
    "patient": Part(
        "Patient KD",
        "patient-kd: {{layers: {k}, alpha: 0.7}}",
        lambda row: row.method == "patient-kd" and row.params.get("beta", 0) > 0,
    ),
    "paired": Part(
        "+ SPS without shuffle",
        "pea-kd: {{layers: {k}, ptp: false, shuffle: none}}",
        _pea(None, sps=True, shuffle="none"),
    ),
    "sps": Part("+ SPS", "pea-kd: {{layers: {k}, ptp: false}}", _pea(None, sps=True, shuffle="upper")),
    "ptp": Part(
        "+ PTP",
        "pea-kd: {{layers: {k}, sps: false}}",
        _pea("teacher", sps=False),
        of_one="pea-kd: {layers: 1, sps: false, objective: kd}",
    ),
    "random": Part(
        "+ PTP, random labels",
        "pea-kd: {{layers: {k}, sps: false, ptp_labels: random}}",
        _pea("random", sps=False),
        of_one="pea-kd: {layers: 1, sps: false, ptp_labels: random, objective: kd}",
    ),
    "peabert": Part("PeaBERT_{k}", "pea-kd: {{layers: {k}}}", _pea("teacher", sps=True, shuffle="upper")),
}
"""The paper's ablation, in order."""

RIVALS = {
    "kd": Part(
        "KD",
        "kd: {{layers: {k}, alpha: 0.7}}",
        lambda row: row.method == "kd" and row.params.get("alpha", 0) > 0,
    ),
    "tinybert": Part("TinyBERT", "tinybert: {{layers: {k}}}", _row("tinybert")),
    "distilbert": Part("DistilBERT", "distilbert: {{layers: {k}}}", _row("distilbert")),
}
"""What PeaBERT is compared with at the same k, beside `plain` and `patient`."""

PARTS = {**STEPS, **RIVALS}

TEACHER = START_MODEL
"""The unshared ceiling where no other is tuned."""


@dataclass(frozen=True)
class Cast:
    """The rows of a sweep by part.

    Attributes:
        rows: label by number of layers k, and by key of `PARTS` in their order.
        teacher: layers of the start model; None where it has no row or no record.
        ceiling: label of the unshared model that students are compared with: the start model, or one with
            as many layers that is fine-tuned at a rate of its own.
        doubles: labels of rows whose part another one before them has.
        strangers: labels of Pea-KD's rows that play none, such as another `shuffle`.
    """

    rows: dict[int, dict[str, str]] = field(default_factory=dict)
    teacher: int | None = None
    ceiling: str = TEACHER
    doubles: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    @property
    def labels(self) -> set[str]:
        """Of all rows that play a part, the teacher included."""
        return {TEACHER, self.ceiling, *(label for rows in self.rows.values() for label in rows.values())}

    @property
    def missing(self) -> dict[str, list[int]]:
        """The parts that no row of the sweep plays, with the numbers of layers they lack.

        A student of one layer has nothing to be patient about.
        """
        absent = {
            key: [k for k, rows in self.rows.items() if key not in rows and not (key == "patient" and k == 1)]
            for key in PARTS
        }
        return {key: sizes for key, sizes in absent.items() if sizes}


def cast(sweep: SweepFacts, trials: Trials) -> Cast:
    """Find the part of every row; rows of released students, and of other methods, have none."""
    depths = {row.label: _stored(row.label, sweep, trials) for row in sweep.methods}
    teacher = depths.get(TEACHER)
    found: dict[int, dict[str, str]] = {}
    doubles, strangers = [], []
    for row in sweep.methods:
        key = next((key for key, part in PARTS.items() if part.fits(row)), None)
        k = depths[row.label] or _planned(row.params, teacher)
        if key is None or k is None or row.params.get("student"):
            if row.method == "pea-kd":
                strangers.append(row.label)
            continue
        if key in found.setdefault(k, {}):
            doubles.append(row.label)
        else:
            found[k][key] = row.label
    ordered = {k: {key: found[k][key] for key in PARTS if key in found[k]} for k in sorted(found)}
    return Cast(ordered, teacher, _ceiling(sweep), doubles, strangers)


def _ceiling(sweep: SweepFacts) -> str:
    """Label of the row that differs from the teacher's in its rate alone, or the teacher's."""
    teacher = next((row.params for row in sweep.methods if row.label == TEACHER), None)
    tuned = (row.label for row in sweep.methods if {**row.params, "learning_rate": None} == teacher)
    return next((label for label in tuned if label != TEACHER), TEACHER)


def stored_layers(model: Model) -> int | None:
    """Layers whose weights a model has."""
    return model.architecture.get("num_hidden_layers", model.architecture.get("n_layers"))


def applied_layers(model: Model) -> int | None:
    """Layers a forward pass runs: more than are stored where some run twice."""
    order = model.architecture.get("layer_order")
    return len(order) if order else stored_layers(model)


def _stored(label: str, sweep: SweepFacts, trials: Trials) -> int | None:
    records = [record for task in sweep.tasks for record in trials[label, task.name].values()]
    return next((stored_layers(record.model) for record in records if record.model), None)


def _planned(params: Mapping[str, Any], teacher: int | None) -> int | None:
    """Layers a row without records will have."""
    take = params.get("take")
    if isinstance(take, list | tuple):
        return len(take)
    return params.get("layers") or (max(1, teacher // 2) if teacher else None)
