"""Rows of a sweep whose encoder was taught by the sweep's own IB-BERT: how, and what it has learnt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from reports.board import SweepFacts
from reports.record import Record
from reports.studies.pretrained import Accuracy, Encoder, Question, rows

STRATEGY_FIELDS = ("strategy", "lower", "feature_maps", "attention", "alpha", "bottleneck")
"""Fields of a pair that say how its student is taught; bottlenecks are there to make it possible."""
_ALPHA = 0.5
"""Weight of the true word in the published recipe."""


@dataclass(frozen=True)
class Taught(Encoder):
    """A row `mobilebert` with `start: pair`; `fields` are the pair's."""

    @property
    def held_out(self) -> Mapping[str, Any]:
        """The student's figures, not its teacher's."""
        return self.facts["held_out"]["student"]

    @property
    def teacher(self) -> str:
        """What its teacher differs in from another of the sweep: how much it has learnt."""
        fields = self.fields["teacher"]
        tokens, steps = fields["tokens"], fields["steps"]
        return f"{steps:,} steps" if steps else f"{tokens:,} tokens" if tokens else "tokens by default"

    def accuracy(self, question: Question) -> Accuracy | None:
        """How often the student finds masked words of documents kept from training."""
        return masked_words(self, "student") if question == "MLM" else None


def taught(records: Iterable[Record], sweep: SweepFacts) -> list[Taught]:
    """Find the rows whose encoder is the student of a pair."""
    return [row for row in rows(records, sweep, "pair", Taught) if row.tuning["start"] == "pair"]


def masked_words(row: Encoder, who: str) -> Accuracy | None:
    """Accuracy on masked words of a row's `student` or `teacher`."""
    return Accuracy.of(row.facts["held_out"][who], "mlm_accuracy")


def strategy_in_words(pair: Mapping[str, Any]) -> str:
    """Say how the student of a pair is taught, given the pair's fields, e.g. `pkt without attention`."""
    gone = {
        "feature maps": pair["feature_maps"] == "none",
        "attention": not pair["attention"],
        "MLM-KD": pair["alpha"] == 1,
        "bottleneck": not pair["bottleneck"],
    }
    without = [part for part, is_gone in gone.items() if is_gone]
    more = {
        "lower layers frozen": pair["lower"] == "frozen",
        "decomposed feature maps": pair["feature_maps"] == "decomposed",
        f"alpha {pair['alpha']:g}": pair["alpha"] not in (1, _ALPHA),
    }
    words = [pair["strategy"] + (f" without {' and '.join(without)}" if without else "")]
    return ", ".join([*words, *(what for what, is_so in more.items() if is_so)])
