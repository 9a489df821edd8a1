"""Report of `operations`: time, parameters and FLOPs of MobileBERTs that differ in one choice each."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

from reports.board import StudyFacts, SweepFacts, TaskFacts
from reports.record import Record
from reports.studies.blocks import ON_TEXT
from reports.studies.content import Findings, Table, Variants, machine
from reports.studies.figures import legend, panels
from reports.studies.taught import Taught, strategy_in_words, taught

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ENGINES = ("torch", "onnxruntime")
_PLAIN, _FAST = "layer_norm-gelu", "no_norm-relu"
_FFNS = ("ffns-1", "ffns-2", "ffns-3", "ffns-4")
_PAIRS = {
    "NoNorm instead of LayerNorm": (_PLAIN, "no_norm-gelu"),
    "ReLU instead of GELU": (_PLAIN, "layer_norm-relu"),
    "both": (_PLAIN, _FAST),
    "one feed-forward network instead of four": ("ffns-4", "ffns-1"),
    "4 heads instead of 16": ("heads-16", "heads-4"),
}
"""What is compared in words: the variant before and the one after."""
_HALVED = {
    "half the width between blocks": "inter-halved",
    "half the width inside blocks": "intra-halved",
}
"""These are compared with the pair as it is."""


def report(study: StudyFacts, sweep: SweepFacts, records: Sequence[Record], variants: Variants) -> Findings:
    """Line up the variants as last measured; what they are worth is in the sweep's rows, or nowhere."""
    record = max((record for record in records if record.kind == "study"), key=lambda record: record.ended)
    made: dict[str, dict[str, Any]] = record.notes["operations"]
    missing: list[str] = record.notes["onnxruntime"].get("missing", [])
    wanted = strategy_in_words(study.params["pair"])
    rows = [row for row in taught(records, sweep) if strategy_in_words(row.fields) == wanted]
    worth = {
        name: [row for row in rows if row.facts.get("shape") == each["shape"]] for name, each in made.items()
    }
    at = f"batch {study.params['batch_size']}, {study.params['length']} tokens"
    return Findings(
        title="Operations: what MobileBERT's choices cost",
        conclusion=[
            *(_on_speed(made, engine, at) for engine in ENGINES if engine in made[_FAST]),
            _on_ratio(made),
            _on_quality(worth),
            "No phone was measured: the paper's times are a phone's, these are those of this processor.",
            *([_on_missing(missing)] if missing else []),
        ],
        summary=Table(_SUMMARY, [_summary(name, each, len(worth[name])) for name, each in made.items()]),
        table=Table(_COLUMNS, [row for name, each in made.items() for row in _rows(name, each)]),
        figure=_draw(made, worth),
        notes=[*_quality(worth, sweep), _how_measured(record, made, at)],
    )


_SUMMARY = ["operation", "parameters", "in blocks", "MFLOPs", "MHA : FFN", "with bottlenecks", "torch (ms)",
            "quartiles", "onnxruntime (ms)", "quartiles ", "quality"]  # fmt: skip
_COLUMNS = ["operation", "layers", "hidden", "embedding", "heads", "inner", "ffn", "ffns", "norm",
            "activation", "parameters", "block_parameters", "flops", "mha_to_ffn",
            "mha_and_bottlenecks_to_ffn", "engine", "median_ms", "q1_ms", "q3_ms"]  # fmt: skip


def _summary(name: str, each: dict[str, Any], worth: int) -> list[Any]:
    parameters, ratio = each["parameters"], each["ratio"]
    numbers = [parameters["total"], parameters["encoder"], each["flops"] / 1e6]
    numbers += [ratio["attention"], ratio["with_bottlenecks"]]
    times: list[Any] = []
    for engine in ENGINES:
        if engine in each:
            times += [each[engine]["median_ms"], f"{each[engine]['q1_ms']:.2f}-{each[engine]['q3_ms']:.2f}"]
        else:
            times += ["not installed", None]
    return [name, *numbers, *times, "see below" if worth else "not measured"]


def _rows(name: str, each: dict[str, Any]) -> list[list[Any]]:
    shape, parameters, ratio = each["shape"], each["parameters"], each["ratio"]
    facts = [name, *(shape[column] for column in _COLUMNS[1:10])]
    facts += [parameters["total"], parameters["encoder"], each["flops"]]
    facts += [ratio["attention"], ratio["with_bottlenecks"]]
    return [
        [*facts, engine, *(each[engine][column] for column in _COLUMNS[-3:])]
        for engine in ENGINES
        if engine in each
    ]


def _on_speed(made: dict[str, dict[str, Any]], engine: str, at: str) -> str:
    parts = []
    whole = "{norm}-{activation}".format(**made["inter-halved"]["shape"])
    for what, (before, after) in (_PAIRS | {what: (whole, name) for what, name in _HALVED.items()}).items():
        old, new = made[before][engine], made[after][engine]
        apart = old["q1_ms"] > new["q3_ms"] or new["q1_ms"] > old["q3_ms"]
        parts.append(
            f"{what} {old['median_ms'] / new['median_ms']:.2f} times as fast ({old['median_ms']:.2f} to "
            f"{new['median_ms']:.2f} ms{'' if apart else ', quartiles overlap'})"
        )
    return f"{engine}, {at}: {'; '.join(parts)}."


def _on_ratio(made: dict[str, dict[str, Any]]) -> str:
    ratios = {name.removeprefix("ffns-"): made[name]["ratio"] for name in _FFNS}
    alone = ", ".join(f"{each['attention']:.2f}" for each in ratios.values())
    whole = ", ".join(f"{each['with_bottlenecks']:.2f}" for each in ratios.values())
    inside = [count for count, each in ratios.items() if 0.4 <= each["with_bottlenecks"] <= 0.6]
    return (
        f"Parameters of attention over those of 1 to 4 feed-forward networks: {alone}, with the bottlenecks "
        f"before attention {whole}; in the paper's 0.4 to 0.6, so counted: "
        f"{', '.join(inside) if inside else 'none'}."
    )


def _on_quality(worth: dict[str, list[Taught]]) -> str:
    unknown = [name for name, rows in worth.items() if not rows]
    if len(unknown) == len(worth):
        return (
            "Quality was not measured for any of them: the sweep has no finished row of a student of these "
            "shapes, taught as the study's pair is."
        )
    if unknown:
        return f"Quality was not measured for {', '.join(unknown)}: no finished row has their shape."
    return "The quality of all of them is in the sweep's rows, below."


def _on_missing(missing: Sequence[str]) -> str:
    return (
        f"onnxruntime was not measured: {' and '.join(missing)} not installed; install the extra `onnx` and "
        "run the study again with --rerun."
    )


def _quality(worth: dict[str, list[Taught]], sweep: SweepFacts) -> list[str]:
    """The table of what is known of the variants' quality; nothing where nothing is."""
    columns = ["operation", "row", "steps", "teacher", "MLM (%)"]
    columns += [f"{task.name}, median" for task in sweep.tasks]
    lines = []
    for name, rows in worth.items():
        for row in rows:
            known = str(one) if (one := row.accuracy("MLM")) else None
            medians = [_median(task, row.records.get(task.name, {}).values()) for task in sweep.tasks]
            lines.append([name, row.label, row.facts["steps"], row.teacher, known, *medians])
    if not lines:
        return []
    return [
        Table(columns, lines).to_markdown(),
        "Quality is that of the sweep's own rows; only rows of equal steps whose teachers learnt as much can "
        f"be compared. MLM {ON_TEXT}",
    ]


def _median(task: TaskFacts, records: Collection[Record]) -> float | None:
    return statistics.median(100 * record.scores[task.primary] for record in records) if records else None


def _how_measured(record: Record, made: dict[str, dict[str, Any]], at: str) -> str:
    onnx = record.notes["onnxruntime"].get("version")
    apart = max(each.get("difference", 0.0) for each in made.values())
    return (
        f"Measured on {machine(record)}"
        + (f", onnxruntime {onnx} (whose logits differ by at most {apart:.1g})" if onnx else "")
        + f": {at}, both engines on the processor with equal threads, eval mode, fp32, random weights, a "
        f"full sequence without padding, {made[_FAST]['torch']['repeats']} rounds through all variants and "
        "engines, each in another order; median and quartiles. Variants of equal shape are one model, timed "
        "once. Parameters include the word table; in blocks are those of the layers."
    )


def _draw(made: dict[str, dict[str, Any]], worth: dict[str, list[Taught]]) -> Figure:
    """Times by engine, and what is known of the variants' masked words beside them."""
    from reports.plots import PALETTE, frame

    engines = [engine for engine in ENGINES if engine in made[_FAST]]
    known = any(row.accuracy("MLM") for rows in worth.values() for row in rows)
    figure, axes = panels(len(engines) + known, height=1.2 + 0.26 * len(made))
    for ax, engine in zip(axes, engines, strict=False):
        for y, each in enumerate(made.values()):
            times = each[engine]
            _mark(ax, y, times["median_ms"], times["q1_ms"], times["q3_ms"], PALETTE[0])
        frame(ax, engine, "milliseconds", "")
        ax.set_xlim(left=0)
    if known:
        _draw_masked_words(axes[-1], worth)
        legend(figure, axes[-1])
    for ax in axes:
        ax.set_yticks(range(len(made)), list(made))
        ax.invert_yaxis()
    return figure


def _draw_masked_words(ax: Axes, worth: dict[str, list[Taught]]) -> None:
    """Accuracy of each row on the line of its variant; those of one colour can be compared."""
    from reports.plots import PALETTE, frame

    alike = sorted({_comparable(row) for rows in worth.values() for row in rows})
    for colour, label in zip(cycle(PALETTE), alike, strict=False):
        own: str | None = label
        for y, rows in enumerate(worth.values()):
            for row in rows:
                if _comparable(row) == label and (found := row.accuracy("MLM")):
                    _mark(ax, y, *found.points, colour, own)
                    own = None
    frame(ax, "quality", "masked words (%)", "")


def _comparable(row: Taught) -> str:
    """What rows must have in common to be compared: their own steps and what their teacher learnt."""
    return f"{row.facts['steps']:,} steps, teacher: {row.teacher}"


def _mark(
    ax: Axes, y: float, value: float, low: float, high: float, colour: str, label: str | None = None
) -> None:
    ax.hlines(y, low, high, color=colour, linewidth=3, alpha=0.4)
    ax.plot([value], [y], "o", color=colour, markersize=5, label=label)
