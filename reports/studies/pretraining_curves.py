"""Report of `pretraining-curves`: how the losses of the sweep's pre-trainings fell, and what each cost."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from reports.board import StudyFacts, SweepFacts
from reports.names import short_names
from reports.record import Record
from reports.studies.content import Findings, Table, Variants
from reports.studies.figures import legend
from reports.studies.pretrained import Accuracy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FIGURES = {
    "mlm_loss": "masked words (loss)",
    "pair_accuracy": "sentence pairs (share right)",
    "feature_maps": "feature-map transfer (loss)",
    "attention": "attention transfer (loss)",
}
"""Panels of a group, as far as one of its curves has the figure."""
_LOGARITHMIC = ("feature_maps", "attention")
_TAUGHT = ("ib-bert-teacher", "mobilebert-transfer")
"""Works shown in one group: a teacher and its students."""
_STYLES = ("-", "--", ":")


@dataclass(frozen=True)
class Course:
    """One pre-training of the sweep."""

    record: Record
    points: list[dict[str, Any]]
    """Means of each window of steps, with `phase`, `step` and `tokens`, counted from the very first step."""
    held_out: Mapping[str, Any]
    """Figures on documents kept from training."""
    tokens_per_second: float
    """Of all attempts together: a killed one's work and time are kept."""
    entropy: float | None
    """Of the vocabulary's frequencies; None in records from before students kept it."""

    @property
    def learnt(self) -> bool | None:
        """Whether masked words are guessed better than frequencies alone allow; None where nobody knows."""
        if self.entropy is None or "mlm_loss" not in self.held_out:
            return None
        return bool(self.held_out["mlm_loss"] < self.entropy)

    def line(self, figure: str) -> tuple[list[float], list[float]]:
        """Millions of tokens and the figure, where it was counted."""
        known = [point for point in self.points if figure in point]
        return [point["tokens"] / 1e6 for point in known], [point[figure] for point in known]


@dataclass(frozen=True)
class CourseGroup:
    """Pre-trainings of one kind that took as many steps."""

    name: str
    courses: dict[str, Course]
    """By what each is called among the others."""


def report(study: StudyFacts, sweep: SweepFacts, records: Sequence[Record], variants: Variants) -> Findings:
    """Draw every pre-training's curve; each was run once, so nothing is tested."""
    found = _groups(filter(None, map(_course, records)))
    conclusion = [sentence for group in found for sentence in _conclude(group)]
    return Findings(
        title="Pre-training curves: what the sweep's own encoders learnt",
        conclusion=conclusion or ["No encoder was pre-trained in this sweep."],
        summary=Table(_SUMMARY, [row for group in found for row in _summary(group)]),
        table=Table(_COLUMNS, [row for group in found for row in _rows(group)]),
        figure=_draw(found) if found else None,
        notes=[
            "Curves are means over windows of training steps, with dropout where there is any; the table is "
            "of documents kept from training, without it. The dashed level is the unigram entropy: the loss "
            "on masked words of a model that knows frequencies and sees no context.",
            "While layers are taught (`layer-1`, ..., `layers`) masked words are not learnt, so their loss "
            "begins with the last phase. Training speed is wall time, whatever ran beside it.",
        ],
    )


def _course(record: Record) -> Course | None:
    """What a record says of a pre-training; None if it is of another work."""
    notes, taught = record.notes.get("pretraining"), record.notes.get("transfer")
    if taught:
        phases, held_out = taught["phases"], taught["held_out"]["student"]
        entropy, seconds = taught.get("unigram_entropy"), sum(phase["seconds"] for phase in phases)
        speed = record.cost.tokens / max(seconds, 1e-9)
    elif notes:
        phases = [{"phase": "pretraining", "steps": notes["steps"], "curve": notes["curve"]}]
        held_out, entropy = notes["held_out"], notes["unigram_entropy"]
        speed = notes["tokens_per_second"]
    else:
        return None
    # Of its steps alone: what else a warm start sees is no training.
    per_step = notes["tokens"] / notes["steps"] if notes else record.cost.tokens / record.cost.steps
    points, before = [], 0
    for phase in phases:
        for point in phase["curve"]:
            step = before + point["step"]
            points.append(point | {"phase": phase["phase"], "step": step, "tokens": step * per_step})
        before += phase["steps"]
    return Course(record, points, held_out, speed, entropy)


def _groups(courses: Iterable[Course]) -> list[CourseGroup]:
    """Sort by kind and steps, the longest first; a teacher stands with its students."""
    by: dict[tuple[bool, int], list[Course]] = {}
    for course in courses:
        by.setdefault((course.record.method in _TAUGHT, course.record.cost.steps), []).append(course)
    found = []
    for (taught, _), members in sorted(by.items(), key=lambda item: (item[0][0], -item[0][1])):
        names = short_names(course.record.label for course in members)
        # Of one kind, which the group is named by; a teacher and a student may have the same telling fields.
        alone = len({course.record.method for course in members}) == 1
        called = {_called(names[course.record.label], alone): course for course in members}
        tokens = members[0].record.cost.tokens
        kind = "IB-BERT and MobileBERT" if taught else members[0].record.method
        found.append(CourseGroup(f"{kind}, {tokens / 1e6:.1f} M tokens", dict(sorted(called.items()))))
    return found


def _called(name: str, alone: bool) -> str:
    """`share=none` for `pretrained-encoder:share=none` where the kind stands `alone` in its group."""
    kind, _, telling = name.partition(":")
    return unquote(telling or kind) if alone else unquote(name)


_SUMMARY = ["group", "pre-training", "steps", "masked words: loss", "below entropy by", "right (%)",
            "pairs right (%)", "tokens per second"]  # fmt: skip
_COLUMNS = ["group", "label", "phase", "step", "tokens", "learning_rate", "loss", "mlm_accuracy", *_FIGURES]


def _summary(group: CourseGroup) -> Iterator[list[object]]:
    for name, course in group.courses.items():
        loss = course.held_out.get("mlm_loss")
        below = None if course.entropy is None or loss is None else course.entropy - loss
        found = [Accuracy.of(course.held_out, name) for name in ("mlm_accuracy", "pair_accuracy")]
        known = [str(accuracy) if accuracy else None for accuracy in found]
        speed = f"{course.tokens_per_second:,.0f}"
        yield [group.name, name, course.record.cost.steps, loss, below, *known, speed]


def _rows(group: CourseGroup) -> Iterator[list[object]]:
    for course in group.courses.values():
        for point in course.points:
            yield [group.name, course.record.label, *(point.get(column) for column in _COLUMNS[2:])]


def _conclude(group: CourseGroup) -> Iterator[str]:
    losses = {name: c.held_out["mlm_loss"] for name, c in group.courses.items() if "mlm_loss" in c.held_out}
    if losses:
        best, worst = min(losses, key=lambda n: losses[n]), max(losses, key=lambda n: losses[n])
        ends = f"{losses[best]:.2f} ({best})"
        if len(losses) > 1:
            ends += f" to {losses[worst]:.2f} ({worst})"
        entropies = sorted({round(c.entropy, 2) for c in group.courses.values() if c.entropy is not None})
        yield (
            f"{group.name}: loss on masked words kept from training {ends}; unigram entropy "
            f"{', '.join(f'{each:.2f}' for each in entropies) or 'not recorded'}."
        )
    if idle := [name for name, course in group.courses.items() if course.learnt is False]:
        yield f"{group.name}: no better than word frequencies: {', '.join(idle)}."


def _draw(found: Sequence[CourseGroup]) -> Figure:
    from matplotlib.figure import Figure

    from reports.plots import FAINT, PALETTE, frame

    shown = [[name for name in _FIGURES if _has(group, name)] for group in found]
    rows = [0.22 * (2 + len(group.courses) // 3) + 2.7 for group in found]
    figure = Figure(figsize=(4.0 * max(map(len, shown)), sum(rows)), layout="constrained")
    parts = figure.subfigures(len(found), 1, height_ratios=rows, squeeze=False)[:, 0]
    for part, group, names in zip(parts, found, shown, strict=True):
        axes = part.subplots(1, len(names), squeeze=False)[0]
        for ax, name in zip(axes, names, strict=True):
            looks = itertools.cycle(itertools.product(_STYLES, PALETTE))
            for (style, colour), (called, course) in zip(looks, group.courses.items(), strict=False):
                ax.plot(*course.line(name), style, color=colour, linewidth=1.2, label=called)
            frame(ax, group.name, "million tokens", _FIGURES[name])
            if name in _LOGARITHMIC:
                ax.set_yscale("log")
                ax.tick_params(axis="y", which="minor", labelsize=6)
        for entropy in {course.entropy for course in group.courses.values()} - {None}:
            axes[0].axhline(entropy, color=FAINT, linewidth=0.8, linestyle="--")
        legend(part, axes[0])
    return figure


def _has(group: CourseGroup, figure: str) -> bool:
    return any(course.line(figure)[0] for course in group.courses.values())
