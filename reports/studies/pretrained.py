"""Encoders that were pre-trained in the sweep: its rows, and which of them differ in one thing alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from reports.board import SweepFacts
from reports.flatten import flatten
from reports.record import Parameters, Record

SHARES = ("all", "attention", "ffn", "none")
"""What layers may share."""
Question = Literal["MLM", "NSP", "SOP"]
"""Masked words, next sentence, sentence order."""
_METRICS: dict[Question, tuple[str, str]] = {
    "MLM": ("sop", "mlm_accuracy"),
    "NSP": ("nsp", "pair_accuracy"),
    "SOP": ("sop", "pair_accuracy"),
}
"""As which objective the text is cut, and the figure; masked words on one cut for all encoders."""
_BUDGET = {"preset", "tokens", "steps"}
"""Fields that say how much is learnt; the steps that were taken stand for them."""


@dataclass(frozen=True)
class Encoder:
    """A row of the sweep that fine-tunes an encoder pre-trained in it."""

    label: str
    fields: Mapping[str, Any]
    """Of the pre-training."""
    tuning: Mapping[str, Any]
    """Further fields of the method."""
    facts: Mapping[str, Any]
    """What the pre-training says of itself: steps, tokens, accuracies on documents kept from training."""
    parameters: Parameters | None
    flops: float | None
    """Operations of a forward pass on 128 tokens, with the classifier."""
    records: dict[str, dict[int, Record]] = field(default_factory=dict)
    """By task and seed."""

    def settings(self, varying: Collection[str]) -> dict[str, Any]:
        """All that decides the row, but for the fields that vary.

        Fields of works within a work have names of their own, such as `teacher tokens`.
        """
        kept = {k: v for k, v in self.fields.items() if k not in varying and k not in _BUDGET}
        # What a preset stands for is among the fields beside it: its name says nothing more.
        flat = {k: v for k, v in flatten(kept, " ").items() if not k.endswith(" preset")}
        tuning = {f"fine-tuning {name}": value for name, value in self.tuning.items()}
        return {**flat, **tuning, "steps": self.facts["steps"]}

    @property
    def held_out(self) -> Mapping[str, Any]:
        """Losses and accuracies on documents kept from training."""
        return self.facts["held_out"]

    @property
    def learnt(self) -> bool:
        """Whether the loss on masked words is below the entropy of the words' frequencies."""
        return self.held_out["mlm_loss"] < self.facts["unigram_entropy"]

    def accuracy(self, question: Question) -> Accuracy | None:
        """How often it is right on documents kept from training; None without a head for the question."""
        cut, name = _METRICS[question]
        return Accuracy.of(self.facts["objectives"][cut], name)


Kind = TypeVar("Kind", bound=Encoder)


@dataclass(frozen=True)
class Accuracy:
    """A share of n with its 95 % interval (Wilson)."""

    share: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, metrics: Mapping[str, Any], name: str) -> Accuracy | None:
        """Read an accuracy, its interval and its count; None where it was not measured."""
        if name not in metrics:
            return None
        low, high = metrics[f"{name}_ci"]
        return cls(metrics[name], low, high, metrics[f"{name}_n"])

    @property
    def points(self) -> tuple[float, float, float]:
        """Share and interval in percent."""
        return 100 * self.share, 100 * self.low, 100 * self.high

    def __str__(self) -> str:
        share, low, high = self.points
        return f"{share:.1f} ({low:.1f}-{high:.1f})"


@dataclass(frozen=True)
class Group:
    """Encoders alike but for what a study varies: the same budget, shape, corpus and fine-tuning."""

    name: str
    encoders: list[Encoder]


def pretrained(records: Iterable[Record], sweep: SweepFacts) -> list[Encoder]:
    """Find the rows whose encoder was pre-trained in the sweep, in the order of the records."""
    return rows(records, sweep, "pretrained", Encoder)


def rows(records: Iterable[Record], sweep: SweepFacts, name: str, kind: type[Kind]) -> list[Kind]:
    """Find the rows one of whose fields, of this name, is a pre-training that told of itself."""
    # A record has the values of its own task, the sweep those of all.
    given = {method.label: method.params for method in sweep.methods}
    found: dict[str, Kind] = {}
    for record in records:
        fields, facts = record.params.get(name), record.notes.get("pretraining")
        if isinstance(fields, dict) and facts:
            tuning = {key: value for key, value in given[record.label].items() if key != name}
            size, flops = (record.model.parameters, record.model.flops) if record.model else (None, None)
            row = found.setdefault(record.label, kind(record.label, fields, tuning, facts, size, flops))
            row.records.setdefault(record.task, {})[record.seed] = record
    return list(found.values())


def groups(
    encoders: Iterable[Encoder],
    varying: Collection[str],
    order: Callable[[Encoder], Any],
    *,
    least: int = 2,
) -> list[Group]:
    """Put encoders that differ in `varying` alone together; those without any like them are left out.

    Args:
        encoders: all there are.
        varying: fields of the pre-training.
        order: what the encoders of a group are sorted by.
        least: encoders of a group; with 1 none is left out.
    """
    alike: dict[str, list[Encoder]] = {}
    for encoder in encoders:
        key = json.dumps(encoder.settings(varying), sort_keys=True)
        alike.setdefault(key, []).append(encoder)
    kept = [sorted(members, key=order) for members in alike.values() if len(members) >= least]
    settings = [members[0].settings(varying) for members in kept]
    budgets = [_budget(members) for members in kept]
    differing = [
        name
        for name in (settings[0] if settings else {})
        if any(each[name] != settings[0][name] for each in settings)
        # Budgets say as much as steps, unless they are too close.
        and (name != "steps" or len(set(budgets)) < len(budgets))
    ]
    names = [
        ", ".join([budget, *(f"{name} {_shown(own[name])}" for name in differing)])
        for budget, own in zip(budgets, settings, strict=True)
    ]
    return [Group(name, members) for name, members in zip(names, kept, strict=True)]


def _shown(value: Any) -> str:
    return f"{value:,}" if type(value) is int else "by default" if value is None else str(value)


def _budget(encoders: Sequence[Encoder]) -> str:
    """How much they were trained on, such as `1.9 M tokens (smoke)`."""
    tokens = encoders[0].facts["tokens"]
    size = f"{tokens / 1e6:.1f} M" if tokens >= 1e5 else f"{tokens:,}"
    presets = sorted({encoder.fields["preset"] for encoder in encoders if encoder.fields.get("preset")})
    return f"{size} tokens ({', '.join(presets)})" if presets else f"{size} tokens"


def unmeasured(encoders: Iterable[Encoder], fact: str) -> tuple[list[Encoder], list[str]]:
    """Return the encoders whose pre-training measured a fact, and a sentence about the others."""
    encoders = list(encoders)
    without = [encoder.label for encoder in encoders if fact not in encoder.facts]
    sentence = (
        f"Left out, since their pre-training was recorded before it measured this: {', '.join(without)}. Run "
        "the sweep again."
    )
    return [encoder for encoder in encoders if fact in encoder.facts], [sentence] if without else []


def unfinished(sweep: SweepFacts, encoders: Iterable[Encoder]) -> list[str]:
    """Return a sentence about the rows of the sweep that pre-train and have no result, if there are any."""
    planned = [method.label for method in sweep.methods if isinstance(method.params.get("pretrained"), dict)]
    return without_result(planned, encoders)


def without_result(planned: Iterable[str], encoders: Iterable[Encoder]) -> list[str]:
    """Return a sentence about the planned labels that none of the encoders has, if there are any."""
    there = {encoder.label for encoder in encoders}
    without = [label for label in planned if label not in there]
    return [f"Without a result yet: {', '.join(without)}."] if without else []
