"""Report of `layer-distance`: how far each layer moves its input, with shared layers and without."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from reports.board import StudyFacts, SweepFacts
from reports.record import Record
from reports.studies.content import Findings, Table, Variants
from reports.studies.figures import legend, panels
from reports.studies.pretrained import SHARES, Encoder, Group, groups, pretrained, unfinished, unmeasured

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ASK = (
    "Nothing to compare: no two encoders of this sweep were pre-trained alike but for `share`. Give it "
    "methods such as `albert: {pretrained: {share: {grid: [all, none]}}}` and run it."
)
_MEASURES = {"l2": "L2 distance", "degrees": "angle in degrees"}


def report(study: StudyFacts, sweep: SweepFacts, records: Sequence[Record], variants: Variants) -> Findings:
    """Line up the distances that the pre-trainings measured; nothing is tested."""
    encoders = pretrained(records, sweep)
    measured, remarks = unmeasured(encoders, "layers")
    found = groups(measured, ("share",), lambda e: SHARES.index(e.fields["share"]))
    conclusion = [sentence for group in found for sentence in _conclude(group)] or [_ASK]
    return Findings(
        title="Layer distance: how far each layer moves its input",
        conclusion=[*conclusion, *remarks, *unfinished(sweep, encoders)],
        summary=Table(_SUMMARY, [row for group in found for row in _summary(group)]),
        table=Table(_COLUMNS, [row for group in found for row in _rows(group)]),
        figure=_draw(found) if found else None,
        notes=[
            "Between the input and the output of each layer, after pre-training and before any task: L2 "
            "distance and cosine, with its angle in degrees as the paper draws it. Means over all tokens of "
            "documents kept from training, unmasked, special tokens included. Layers are numbered from 1. "
            "A change is the mean of the absolute differences from one layer to the next: the smaller, the "
            "smoother.",
            "Lines of a block differ in sharing alone. Each encoder was pre-trained once, without a test.",
        ],
    )


def _values(encoder: Encoder, measure: str) -> list[float]:
    """By layer, the one beside the embeddings first."""
    return [layer[measure] for layer in encoder.facts["layers"]]


def _change(values: Sequence[float]) -> float | None:
    """Mean absolute difference from one layer to the next; None with a single layer."""
    return statistics.fmean(abs(b - a) for a, b in pairwise(values)) if len(values) > 1 else None


_COLUMNS = ["block", "label", "share", "layer", "l2", "cosine", "degrees"]
_SUMMARY = ["block", "share", "layers", "L2, mean", "change", "last", "cosine, mean", "last ",
            "degrees, mean", "change ", "last  "]  # fmt: skip


def _rows(group: Group) -> Iterator[list[object]]:
    for e in group.encoders:
        for number, layer in enumerate(e.facts["layers"], start=1):
            yield [group.name, e.label, e.fields["share"], number, *(layer[name] for name in _COLUMNS[4:])]


def _summary(group: Group) -> Iterator[list[object]]:
    for e in group.encoders:
        l2, cosine, degrees = (_values(e, name) for name in ("l2", "cosine", "degrees"))
        yield [
            *(group.name, e.fields["share"], len(l2)),
            *(statistics.fmean(l2), _change(l2), l2[-1]),
            *(statistics.fmean(cosine), cosine[-1]),
            *(statistics.fmean(degrees), _change(degrees), degrees[-1]),
        ]


def _conclude(group: Group) -> Iterator[str]:
    by = {e.fields["share"]: e for e in group.encoders}
    base = by.pop("none", None)
    if base is None:
        yield f"{group.name}: no row with share none to compare with."
    else:
        for share, e in by.items():
            yield _against(f"{group.name}, share {share}", e, base)


def _against(where: str, own: Encoder, base: Encoder) -> str:
    changes = {name: (_change(_values(own, name)), _change(_values(base, name))) for name in _MEASURES}
    known = {name: (a, b) for name, (a, b) in changes.items() if a is not None and b is not None}
    if not known:
        return f"{where}: a single layer says nothing about smoothness."
    if all(mine < theirs for mine, theirs in known.values()):
        word = "smoother than not shared"
    elif all(mine > theirs for mine, theirs in known.values()):
        word = "less smooth than not shared"
    else:
        word = "neither smoother nor less smooth than not shared by both measures"
    listed = " and ".join(
        f"{mine:.2f} against {theirs:.2f} ({_MEASURES[name]})" for name, (mine, theirs) in known.items()
    )
    l2, degrees = _values(own, "l2")[-1], _values(own, "degrees")[-1]
    return (
        f"{where}: {word}; from layer to layer it changes by {listed}. The last layer "
        f"still moves its input by {l2:.2f} and {degrees:.1f} degrees."
    )


def _draw(found: Sequence[Group]) -> Figure:
    from matplotlib.ticker import MaxNLocator

    from reports.plots import PALETTE, frame

    shares = list(dict.fromkeys(e.fields["share"] for group in found for e in group.encoders))
    figure, axes = panels(len(_MEASURES) * len(found), most=len(_MEASURES))
    for number, group in enumerate(found):
        for ax, (name, title) in zip(axes[2 * number :], _MEASURES.items(), strict=False):
            for e in group.encoders:
                share, values = e.fields["share"], _values(e, name)
                colour = PALETTE[shares.index(share) % len(PALETTE)]
                style = "--" if share == "none" else "-"
                layers = range(1, len(values) + 1)
                ax.plot(layers, values, f"{style}o", color=colour, markersize=4, linewidth=1.4, label=share)
            frame(ax, group.name, "layer", title)
            ax.set_ylim(bottom=0)
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend(figure, max(axes, key=lambda ax: len(ax.lines)))
    return figure
