"""Report of `pruning-speed`: measured gain beside the ideal one, parameters and bytes by share of heads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from reports.board import StudyFacts, SweepFacts
from reports.record import Record
from reports.studies.content import Findings, Table, Variants, machine
from reports.studies.figures import legend, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def report(study: StudyFacts, sweep: SweepFacts, records: Sequence[Record], variants: Variants) -> Findings:
    """Compare times and FLOPs with those of the unpruned model; the last record counts."""
    record = max(records, key=lambda record: record.ended)
    sizes, speed = record.notes["sizes"], record.notes["speed"]
    rows = [
        _row(length, batch, share, times, sizes)
        for length, batches in speed.items()
        for batch, shares in batches.items()
        for share, times in _against(shares)
    ]
    return Findings(
        title="Pruning speed: what really removing heads saves",
        conclusion=[*_conclude(rows), _on_size(record.notes["per_head"], sizes)],
        summary=Table(_SIZES, [_size(share, size, sizes) for share, size in sizes.items()]),
        table=Table(_COLUMNS, rows),
        figure=_draw(rows),
        further={"Gains": Table(_GAINS, _gains(rows))},
        notes=[
            f"Measured on {machine(record)}{_kernel(record)}: eval mode, fp32, weights really removed and "
            "evenly over the layers, full sequences without padding, tokens made beforehand, rounds "
            "interleaved over the shares. Ideal is the ratio of FLOPs: feed-forward parts, embeddings and "
            "pooler keep theirs. A measured gain well above it points to a mistake in timing, not to speed.",
        ],
    )


def _kernel(record: Record) -> str:
    """How attention was computed; records of before it was noted do not say."""
    kernel = record.notes.get("attention")
    return f", {kernel} attention" if kernel else ""


_COLUMNS = ["length", "batch", "share", "heads", "median_ms", "q1_ms", "q3_ms", "examples_per_second", "gain",
            "ideal_gain"]  # fmt: skip
_SIZES = ["heads removed", "heads left", "parameters", "encoder parameters", "checkpoint (MB)", "of unpruned"]
_GAINS = ["tokens", "batch", "heads removed", "ms", "quartiles", "gain", "ideal"]


def _against(shares: dict[str, dict[str, float]]) -> list[tuple[str, dict[str, float]]]:
    """Times of every share with the ratio of the unpruned model's."""
    base = shares["0"]["median_ms"]
    return [(share, times | {"gain": base / times["median_ms"] - 1}) for share, times in shares.items()]


def _row(length: str, batch: str, share: str, times: dict[str, float], sizes: dict[str, Any]) -> list[Any]:
    flops = {key: size["flops"][length] for key, size in sizes.items()}
    milliseconds = [times[key] for key in ("median_ms", "q1_ms", "q3_ms")]
    rate = 1000 * int(batch) / times["median_ms"]
    ideal = flops["0"] / flops[share] - 1
    facts = [int(length), int(batch), float(share), sizes[share]["heads"]]
    return [*facts, *milliseconds, rate, times["gain"], ideal]


def _size(share: str, size: dict[str, Any], sizes: dict[str, Any]) -> list[Any]:
    megabytes = size["checkpoint_bytes"] / 1e6
    relative = size["checkpoint_bytes"] / sizes["0"]["checkpoint_bytes"]
    parameters = size["parameters"]
    numbers = [size["heads"], parameters["total"], parameters["encoder"], megabytes]
    return [f"{float(share):.0%}", *numbers, f"{relative:.1%}"]


def _gains(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [
        [length, batch, f"{share:.0%}", ms, f"{q1:.2f}-{q3:.2f}", f"{gain:+.1%}", f"{ideal:+.1%}"]
        for length, batch, share, _, ms, q1, q3, _, gain, ideal in rows
        if share > 0
    ]


def _conclude(rows: Sequence[Sequence[Any]]) -> list[str]:
    longest, largest = max(row[0] for row in rows), max(row[1] for row in rows)
    smallest = min(row[1] for row in rows)
    shares = sorted({row[2] for row in rows if row[2] > 0})
    share = min(shares, key=lambda share: abs(share - 0.5))
    at = {row[1]: row for row in rows if row[0] == longest and row[2] == share}
    sentences = [
        f"With {share:.0%} of the heads really removed, {longest} tokens: {at[largest][8]:+.1%} examples per "
        f"second at batch {largest} and {at[smallest][8]:+.1%} at batch {smallest}; the FLOPs allow "
        f"{at[largest][9]:+.1%}."
    ]
    above = [row for row in rows if row[2] > 0 and row[8] > row[9] + 0.05]
    if above:
        where = ", ".join(f"{row[0]} tokens x {row[1]} at {row[2]:.0%}" for row in above)
        sentences.append(f"More than five points above the ideal, so to be looked into: {where}.")
    return sentences


def _on_size(per_head: dict[str, float], sizes: dict[str, Any]) -> str:
    head, total = per_head["head"], per_head["total"]
    encoder = sizes["0"]["parameters"]["encoder"]
    return (
        f"A head has {head:,} parameters, {head / per_head['attention']:.1%} of its attention layer and "
        f"{head / per_head['layer']:.1%} of its layer. All heads are {per_head['all_heads'] / encoder:.1%} "
        f"of the layers and {per_head['all_heads'] / total:.1%} of the model's {total:,} parameters."
    )


def _draw(rows: Sequence[Sequence[Any]]) -> Figure:
    from reports.plots import FAINT, INK, PALETTE, frame

    lengths = sorted({row[0] for row in rows})
    figure, axes = panels(len(lengths))
    for ax, length in zip(axes, lengths, strict=True):
        own = [row for row in rows if row[0] == length]
        for colour, batch in zip(PALETTE, sorted({row[1] for row in own}), strict=False):
            line = [row for row in own if row[1] == batch]
            x, y = [100 * row[2] for row in line], [100 * row[8] for row in line]
            base = next(row[4] for row in line if row[2] == 0)
            low, high = ([100 * (base / row[quartile] - 1) for row in line] for quartile in (6, 5))
            ax.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0)
            ax.plot(x, y, "-o", color=colour, markersize=4, linewidth=1.4, label=f"batch {batch}")
        ideal = {100 * row[2]: 100 * row[9] for row in own}
        ax.plot(list(ideal), list(ideal.values()), "--", color=INK, linewidth=1.2, label="ideal (FLOPs)")
        ax.axhline(0, color=FAINT, linewidth=0.8)
        frame(ax, f"{length} tokens", "heads removed (%)", "more examples per second (%)")
    legend(figure, axes[0])
    return figure
