"""Report of `sharing-ablation`: what sharing layers and narrowing the embeddings cost, and what they save."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from reports.board import StudyFacts, SweepFacts
from reports.record import Record
from reports.statistics.replicates import REPLICATES
from reports.studies.blocks import (
    ON_TASKS,
    ON_TEXT,
    Block,
    Name,
    answers,
    answers_in_short,
    answers_in_words,
    draw,
    table_columns,
    task_columns,
    unlearnt,
)
from reports.studies.content import Findings, Table, Variants
from reports.studies.pretrained import (
    SHARES,
    Encoder,
    Group,
    Question,
    groups,
    pretrained,
    unfinished,
    unmeasured,
)
from reports.studies.row_changes import Pair

_QUESTIONS: tuple[Question, ...] = ("MLM", "SOP")
_ASK = (
    "Nothing to compare: no two encoders of this sweep were pre-trained alike but for `share` or "
    "`embedding`. Give it methods such as `albert: {pretrained: {share: {grid: [all, attention, ffn, "
    "none]}}}` and run it."
)


def report(
    study: StudyFacts,
    sweep: SweepFacts,
    records: Sequence[Record],
    variants: Variants,
    *,
    replicates: int = REPLICATES,
) -> Findings:
    """Compare encoders of one budget with the unshared one and with the widest of their kind."""
    encoders = pretrained(records, sweep)
    measured, remarks = unmeasured(encoders, "objectives")
    found = [
        Block.of(group, sweep, _pairs(group), variants, replicates)
        for group in groups(measured, ("share", "embedding"), lambda e: (_width(e), SHARES.index(_share(e))))
    ]
    conclusion = [sentence for block in found for sentence in _conclude(block)] or [_ASK]
    return Findings(
        title="Sharing ablation: what layers share and how wide the embeddings are",
        conclusion=[*conclusion, *remarks, *unfinished(sweep, encoders)],
        summary=Table(
            [*_SUMMARY, *task_columns(sweep), "against"],
            [row for block in found for row in _summary(block)],
        ),
        table=Table(table_columns(_FACTS, _QUESTIONS), [row for block in found for row in _rows(block)]),
        figure=draw(found, _QUESTIONS, _called) if found else None,
        notes=[
            "Rows of a block differ in sharing and embedding width alone: the same steps, batches and text. "
            f"MLM and SOP {ON_TEXT}",
            f"{ON_TASKS} Changes are against the encoder named last: the one without sharing of the "
            "same width, or where there is none the widest of the same sharing.",
            "Parameters are unique ones, with the classifier; those of the layers leave out embeddings, "
            "pooler and classifier. Operations are those of a forward pass, a third of training's. Processor "
            "time is that of all threads in pre-training, by token, blank where it was not counted, as in "
            "older records and on accelerators; it compares rows that ran on one kind of processor. Both are "
            "multiples of those without sharing at the same width: sharing saves parameters, not operations. "
            "Tokens per second are by the clock, whatever ran beside: wall times of rows are not comparable.",
        ],
    )


def _share(encoder: Encoder) -> str:
    return str(encoder.fields["share"])


def _width(encoder: Encoder) -> int:
    return int(encoder.fields["embedding"])


def _called(encoder: Encoder) -> str:
    return f"{_share(encoder)}, E {_width(encoder)}"


def _find(group: Group, share: str, width: int) -> Encoder | None:
    return next((e for e in group.encoders if (_share(e), _width(e)) == (share, width)), None)


def _widths(group: Group) -> list[int]:
    return sorted({_width(e) for e in group.encoders})


def _bases(group: Group, own: Encoder) -> list[Encoder]:
    """What an encoder is compared with: the unshared one as wide, then the widest of the same sharing."""
    widest = max((e for e in group.encoders if _share(e) == _share(own)), key=_width)
    found = [_find(group, "none", _width(own)), widest]
    return [base for base in found if base is not None and _called(base) != _called(own)]


def _pairs(group: Group) -> list[Pair]:
    return [(own.label, base.label) for own in group.encoders for base in _bases(group, own)]


def _operations(own: Encoder) -> float | None:
    """Of a forward pass."""
    return own.flops


def _processor_time(own: Encoder) -> float | None:
    """Processor seconds of a token of training; None in records from before they were counted."""
    seconds = own.facts.get("processor_seconds")
    return seconds / own.facts["tokens"] if seconds else None


def _relative(group: Group, own: Encoder, cost: Callable[[Encoder], float | None]) -> float | None:
    """A cost as a multiple of that without sharing at the same width; None where either is not known."""
    base = _find(group, "none", _width(own))
    mine, theirs = cost(own), cost(base) if base else None
    return mine / theirs if mine and theirs else None


def _sizes(encoder: Encoder) -> tuple[int, int] | tuple[None, None]:
    """Parameters of the whole model and of its layers."""
    size = encoder.parameters
    return (size.total, size.encoder) if size else (None, None)


_SUMMARY = [
    *("block", "share", "E", "parameters", "of the layers", "MLM (%)", "SOP (%)"),
    *("operations, x none", "processor time, x none", "tokens/s, wall"),
]
_FACTS = [
    *("block", "label", "share", "embedding", "parameters", "encoder_parameters"),
    *("tokens", "tokens_per_second", "relative_flops", "relative_processor_time"),
]


def _summary(block: Block) -> Iterator[list[object]]:
    for e in block.group.encoders:
        base = next(iter(_bases(block.group, e)), None)
        sizes = [None if size is None else f"{size:,}" for size in _sizes(e)]
        known = answers_in_short(e, _QUESTIONS)
        costs = [_relative(block.group, e, cost) for cost in (_operations, _processor_time)]
        facts = [block.group.name, _share(e), _width(e), *sizes, *known, *costs]
        speed = f"{e.facts['tokens_per_second']:,.0f}"
        yield [*facts, speed, *block.cells(e, base), _called(base) if base else None]


def _rows(block: Block) -> Iterator[list[object]]:
    for e in block.group.encoders:
        costs = [_relative(block.group, e, cost) for cost in (_operations, _processor_time)]
        facts = [block.group.name, e.label, _share(e), _width(e), *_sizes(e)]
        facts += [e.facts["tokens"], e.facts["tokens_per_second"], *costs]
        yield from block.rows(e, [*facts, *answers(e, _QUESTIONS)])


def _compare(block: Block, where: str, encoders: Sequence[Encoder], name: Name) -> Iterator[str]:
    """Sentences on accuracies, and on the tasks against the last of the encoders."""
    for question in _QUESTIONS:
        if encoders[-1].accuracy(question):
            yield f"{where}, {answers_in_words(encoders, question, name)}."
    yield from block.on_tasks(where, encoders, encoders[-1], name)


def _multiples(group: Group, shared: Sequence[Encoder], cost: Callable[[Encoder], float | None]) -> str:
    """Each encoder's cost relative to that without sharing, those that are known."""
    found = [(_share(e), _relative(group, e, cost)) for e in shared]
    return ", ".join(f"{share} {times:.2f}" for share, times in found if times) or "not counted"


def _conclude(block: Block) -> Iterator[str]:
    group, widths = block.group, _widths(block.group)
    for width in widths:
        base = _find(group, "none", width)
        shared = [e for share in SHARES[:-1] if (e := _find(group, share, width))]
        if base and shared:
            sizes = [f"{_share(e)} {size:,}" for e in (*shared, base) if (size := _sizes(e)[1])]
            yield (
                f"{group.name}, E {width}, parameters of the layers: {'; '.join(sizes)}. Operations as a "
                f"multiple of those of none: {_multiples(group, shared, _operations)}; processor time: "
                f"{_multiples(group, shared, _processor_time)}."
            )
            yield from _compare(block, f"{group.name}, E {width}", [*shared, base], _share)
    for share in SHARES:
        if len(own := [e for width in widths if (e := _find(group, share, width))]) > 1:
            yield from _compare(block, f"{group.name}, share {share}", own, lambda e: f"E {_width(e)}")
    yield from unlearnt(group, _called)
    lacking: dict[tuple[str, ...], list[str]] = {}
    for width in widths:
        if without := tuple(share for share in SHARES if _find(group, share, width) is None):
            lacking.setdefault(without, []).append(str(width))
    for shares, found in lacking.items():
        yield f"{group.name}: no row with share {', '.join(shares)} at E {', '.join(found)}."
