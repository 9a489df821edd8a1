"""Report of `transfer-strategies`: students of one teacher that differ only in how they were taught."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reports.board import StudyFacts, SweepFacts
from reports.record import Record
from reports.statistics.replicates import REPLICATES
from reports.studies.blocks import (
    ON_TASKS,
    ON_TEXT,
    Block,
    answers,
    answers_in_short,
    answers_in_words,
    draw,
    table_columns,
    task_columns,
    unlearnt,
)
from reports.studies.content import Findings, Table, Variants
from reports.studies.pretrained import Encoder, Group, groups, without_result
from reports.studies.row_changes import Pair
from reports.studies.taught import STRATEGY_FIELDS, Taught, masked_words, strategy_in_words, taught

BASE = "pkt"
WANTED = (
    *("akt", "jkt", BASE, "none"),
    *("pkt without feature maps", "pkt without attention", "pkt without MLM-KD", "pkt without bottleneck"),
)
"""What is compared, as far as the sweep has it."""
_ASK = (
    "Nothing to compare: no student taught in this sweep has a result. Give it methods such as `mobilebert: "
    "{start: pair, pair: {strategy: {grid: [akt, jkt, pkt, none]}}}` and run it; sweeps/pretraining.yaml has "
    "them."
)


def report(
    study: StudyFacts,
    sweep: SweepFacts,
    records: Sequence[Record],
    variants: Variants,
    *,
    replicates: int = REPLICATES,
) -> Findings:
    """Compare every student with the one taught by `pkt` for as many steps and with the same settings."""
    students = taught(records, sweep)
    found = [
        Block.of(group, sweep, _pairs(group), variants, replicates)
        for group in groups(_of_one_shape(students), STRATEGY_FIELDS, _order, least=1)
    ]
    conclusion = [sentence for block in found for sentence in _conclude(block)] or [_ASK]
    return Findings(
        title="Transfer strategies: how a MobileBERT is best taught",
        conclusion=[*conclusion, *without_result(_planned(sweep), students)],
        summary=Table([*_SUMMARY, *task_columns(sweep)], [row for block in found for row in _summary(block)]),
        table=Table(table_columns(_FACTS, ("MLM",)), [row for block in found for row in _rows(block)]),
        figure=draw(found, ("MLM",), _called) if found else None,
        notes=[
            "Rows of a block differ only in how they were taught: the same teacher, steps, batches and text. "
            "pkt teaches layer by layer and then words, jkt all layers together and then words, akt all at "
            "once, none words alone. Words are learnt from the text and from the teacher's predictions, "
            "without MLM-KD from the text alone. Without bottleneck blocks are as wide as what lies between "
            "them, and that student is larger.",
            f"MLM {ON_TEXT}",
            f"{ON_TASKS} Changes are against pkt.",
            "Students of a shape that was taught in one way only are left out; `operations` has them.",
        ],
    )


def _called(encoder: Encoder) -> str:
    return strategy_in_words(encoder.fields)


def _of_one_shape(students: Sequence[Taught]) -> list[Taught]:
    """The students as large as some that are compared; all where none are."""
    shapes = [
        e.facts.get("shape") for group in groups(students, STRATEGY_FIELDS, _order) for e in group.encoders
    ]
    return [e for e in students if not shapes or e.facts.get("shape") in shapes]


def _order(encoder: Encoder) -> int:
    return WANTED.index(_called(encoder)) if _called(encoder) in WANTED else len(WANTED)


def _find(group: Group, name: str) -> Encoder | None:
    return next((e for e in group.encoders if _called(e) == name), None)


def _others(group: Group) -> list[Encoder]:
    return [e for e in group.encoders if _called(e) != BASE]


def _pairs(group: Group) -> list[Pair]:
    base = _find(group, BASE)
    return [(own.label, base.label) for own in _others(group)] if base else []


_SUMMARY = ["block", "taught", "steps", "MLM (%)"]
_FACTS = ["block", "label", "taught", "steps", "phases", "tokens"]


def _summary(block: Block) -> Iterator[list[object]]:
    base = _find(block.group, BASE)
    for e in block.group.encoders:
        known = answers_in_short(e, ("MLM",))
        cells = block.cells(e, None if e is base else base)
        yield [block.group.name, _called(e), _phases(e), *known, *cells]


def _rows(block: Block) -> Iterator[list[object]]:
    for e in block.group.encoders:
        facts = [block.group.name, e.label, _called(e), e.facts["steps"], _phases(e), e.facts["tokens"]]
        yield from block.rows(e, [*facts, *answers(e, ("MLM",))])


def _phases(encoder: Encoder) -> str:
    """Steps of each phase, e.g. `4 layers x 19, words 168`."""
    phases: dict[str, int] = encoder.facts["phases"]
    layers = [steps for name, steps in phases.items() if name.startswith("layer-")]
    each = [f"{len(layers)} layers x {layers[0]}"] if layers else []
    return ", ".join(
        [*each, *(f"{name} {steps}" for name, steps in phases.items() if not name.startswith("layer-"))]
    )


def _conclude(block: Block) -> Iterator[str]:
    group, where = block.group, block.group.name
    theirs = masked_words(group.encoders[0], "teacher")
    teacher = f"; their teacher {theirs}" if theirs else ""
    yield f"{where}, {answers_in_words(group.encoders, 'MLM', _called)}{teacher}."
    yield from unlearnt(group, _called)
    if base := _find(group, BASE):
        yield from block.on_tasks(where, _others(group), base, _called)
    else:
        yield f"{where}: no pkt with the same settings, so scores are compared with none."
    if len(group.encoders) == 1:
        yield f"{where}: only {_called(group.encoders[0])} was taught with these settings."
    elif lacking := [name for name in WANTED if _find(group, name) is None]:
        yield f"{where}: no result of {', '.join(lacking)}."


def _planned(sweep: SweepFacts) -> list[str]:
    return [m.label for m in sweep.methods if m.method == "mobilebert" and m.params.get("start") == "pair"]
