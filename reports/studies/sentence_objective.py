"""Report of `sentence-objective`: what each sentence objective teaches, and what it is worth downstream."""

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
from reports.studies.pretrained import (
    Accuracy,
    Encoder,
    Group,
    Question,
    groups,
    pretrained,
    unfinished,
    unmeasured,
)
from reports.studies.row_changes import Pair

_NAMES = {"mlm": "none", "mlm+nsp": "NSP", "mlm+sop": "SOP", "mlm+sop-official": "SOP (released code)"}
_WANTED = ("mlm", "mlm+nsp", "mlm+sop")
_QUESTIONS: tuple[Question, ...] = ("MLM", "NSP", "SOP")
_ASK = (
    "Nothing to compare: no two encoders of this sweep were pre-trained alike but for `objective`. Give it "
    "methods such as `albert: {pretrained: {objective: {grid: [mlm, mlm+nsp, mlm+sop]}}}` and run it."
)


def report(
    study: StudyFacts,
    sweep: SweepFacts,
    records: Sequence[Record],
    variants: Variants,
    *,
    replicates: int = REPLICATES,
) -> Findings:
    """Ask every encoder of a budget both questions, and compare the encoders on the tasks."""
    encoders = pretrained(records, sweep)
    measured, remarks = unmeasured(encoders, "objectives")
    found = [
        Block.of(group, sweep, _pairs(group), variants, replicates)
        for group in groups(measured, ("objective",), lambda e: list(_NAMES).index(_objective(e)))
    ]
    conclusion = [sentence for block in found for sentence in _conclude(block)] or [_ASK]
    return Findings(
        title="Sentence objective: what none, NSP and SOP teach",
        conclusion=[*conclusion, *remarks, *unfinished(sweep, encoders)],
        summary=Table([*_SUMMARY, *task_columns(sweep)], [row for block in found for row in _summary(block)]),
        table=Table(table_columns(_FACTS, _QUESTIONS), [row for block in found for row in _rows(block)]),
        figure=draw(found, _QUESTIONS, _called) if found else None,
        notes=[
            "Rows of a block differ in the objective alone: the same steps, batches and text. NSP and SOP, "
            f"each on text cut as that objective cuts it, and MLM on text cut as SOP cuts it {ON_TEXT}",
            "The head an encoder was trained with answers both questions, since its labels mean alike: 0 for "
            "what follows, 1 for what does not; half is chance. One trained without has no head, and nothing "
            "is trained to give it one.",
            f"{ON_TASKS} Changes are against the encoder without an objective; the whole table has those "
            "against NSP too.",
        ],
    )


def _objective(encoder: Encoder) -> str:
    return str(encoder.fields["objective"])


def _called(encoder: Encoder) -> str:
    return _NAMES[_objective(encoder)]


def _find(group: Group, objective: str) -> Encoder | None:
    return next((e for e in group.encoders if _objective(e) == objective), None)


def _pairs(group: Group) -> list[Pair]:
    """Every objective against none, and against NSP."""
    bases = [base for objective in ("mlm", "mlm+nsp") if (base := _find(group, objective))]
    return [
        (own.label, base.label)
        for own in group.encoders
        for base in bases
        if _objective(own) not in ("mlm", _objective(base))
    ]


_SUMMARY = ["block", "objective", *(f"{question} (%)" for question in _QUESTIONS)]
_FACTS = ["block", "label", "objective", "tokens"]


def _summary(block: Block) -> Iterator[list[object]]:
    for e in block.group.encoders:
        known = answers_in_short(e, _QUESTIONS)
        yield [block.group.name, _called(e), *known, *block.cells(e, _find(block.group, "mlm"))]


def _rows(block: Block) -> Iterator[list[object]]:
    for e in block.group.encoders:
        facts = [block.group.name, e.label, _called(e), e.facts["tokens"]]
        yield from block.rows(e, [*facts, *answers(e, _QUESTIONS)])


def _conclude(block: Block) -> Iterator[str]:
    group, where = block.group, block.group.name
    for e in group.encoders:
        nsp, sop = e.accuracy("NSP"), e.accuracy("SOP")
        if nsp and sop:
            yield (
                f"{where}: the encoder trained on {_called(e)} answers NSP's question in {nsp} % of pairs "
                f"and SOP's in {sop} %{_guessed(nsp, sop)}."
            )
    yield f"{where}, {answers_in_words(group.encoders, 'MLM', _called)}."
    yield from unlearnt(group, _called)
    for objective in ("mlm", "mlm+nsp"):
        if base := _find(group, objective):
            yield from block.on_tasks(where, group.encoders, base, _called)
    if lacking := [_NAMES[objective] for objective in _WANTED if _find(group, objective) is None]:
        yield f"{where}: no row with the objective {', '.join(lacking)}."


def _guessed(nsp: Accuracy, sop: Accuracy) -> str:
    """Which of the two questions is answered no better than by guessing."""
    guessed = [name for name, one in (("NSP", nsp), ("SOP", sop)) if one.low <= 0.5]
    return f"; {' and '.join(guessed)} not above chance" if guessed else ""
