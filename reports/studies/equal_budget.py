"""Report of `equal-budget`: within each budget, what a method gains over its rivals and its controls."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from reports.board import MethodFacts, StudyFacts, SweepFacts
from reports.decisions import RESULT
from reports.names import short_names
from reports.record import Record
from reports.statistics.replicates import REPLICATES
from reports.studies import forest
from reports.studies.content import Findings, Table, Variants
from reports.studies.row_changes import AVERAGE, TESTED, Compared, Pair, compare_pairs
from reports.trials import Trials, by_trial

_RANDOM, _CONTROL = "random-heads", "finetune-more"


@dataclass(frozen=True)
class _Group:
    """Rows of one budget, and which are compared; the pairs are one family."""

    name: str
    rows: list[MethodFacts]
    pairs: list[Pair]


@dataclass(frozen=True)
class _Found:
    """A group and what the trials say of it."""

    group: _Group
    compared: Compared

    @cached_property
    def names(self) -> dict[str, str]:
        """What the rows are called beside one another."""
        return short_names(row.label for row in self.group.rows)


def report(
    study: StudyFacts,
    sweep: SweepFacts,
    records: Sequence[Record],
    variants: Variants,
    *,
    replicates: int = REPLICATES,
) -> Findings:
    """Compare the rows of each budget by the leaderboard's test, every budget a family of its own."""
    trials = by_trial(records, sweep)
    found = []
    for group in _groups(sweep):
        own = sweep.model_copy(update={"methods": tuple(group.rows)})
        compared = compare_pairs(trials, own, group.pairs, lambda r: variants(r)[RESULT], replicates)
        found.append(_Found(group, compared))
    columns = [*(task.name for task in sweep.tasks), AVERAGE]
    return Findings(
        title="Equal budget: pruning methods that remove as much of the same thing",
        conclusion=[sentence for each in found for sentence in _conclude(each)] or [_ASK],
        summary=Table(
            ["budget", "method", "heads left", "encoder parameters (M)", *columns],
            [
                [
                    *(each.group.name, each.names[row.label], *_size(row.label, trials)),
                    *(each.compared.median(row.label, task) for task in columns),
                ]
                for each in found
                for row in each.group.rows
            ],
        ),
        further={
            f"Changes: {each.group.name}": Table(
                ["row", "against", *columns, "verdict"], list(_changes(each, columns))
            )
            for each in found
            if each.group.pairs
        },
        table=Table(_COLUMNS, [row for each in found for row in _rows(each)]),
        figure=forest.draw({each.group.name: _forest(each) for each in found}, "average change, in points"),
        notes=[
            "Scores are medians over seeds in points; heads and parameters are medians over seeds and tasks. "
            "Changes are mean paired differences, the row minus the one it is compared with, with their "
            "95 % interval, new seeds and new examples; a star marks those significant after "
            "Benjamini-Hochberg over the pairs and tasks of the budget. The verdict is that on the average, "
            "Holm over the pairs of the budget; in the figure a filled point is better or worse, a square "
            "equivalent. Rows of different budgets are not compared.",
            f"`{_CONTROL}` removes nothing: it is what as much training alone gives. `greedy-heads` takes as "
            "many evaluations as the method it follows, and chooses the number of heads itself.",
        ],
    )


_ASK = (
    "Nothing to compare: no two pruning methods of this sweep have one budget. Give several the same "
    "`heads`, or `budget: {like: auber}`."
)


def _groups(sweep: SweepFacts) -> list[_Group]:
    """Budgets that two rows or more have, in the order of the sweep."""
    by_name: dict[str, list[MethodFacts]] = {}
    for method in sweep.methods:
        if budget := _budget(method):
            by_name.setdefault(budget, []).append(method)
    found = []
    for name, rows in by_name.items():
        followed = _followed(rows[0])
        group = _after(name, followed, rows, sweep) if followed else _of_share(name, rows, sweep)
        if len(group.rows) > 1:
            found.append(group)
    return found


def _after(name: str, followed: str, rows: list[MethodFacts], sweep: SweepFacts) -> _Group:
    """A method and those that follow it: it is compared with each."""
    labelled = [method for method in sweep.methods if method.label == followed]
    found = labelled or [method for method in sweep.methods if method.method == followed]
    return _Group(name, [*found, *rows], [(own.label, row.label) for own in found for row in rows])


def _of_share(name: str, rows: list[MethodFacts], sweep: SweepFacts) -> _Group:
    """Methods that remove one share: compared with as long a training after a random choice, and alone."""
    random = {_length(row.params): row for row in reversed(rows) if row.method == _RANDOM}
    chances = [(row, random.get(_length(row.params))) for row in rows if row.method != _RANDOM]
    pairs = [(row.label, chance.label) for row, chance in chances if chance]
    controls = {row.label: control for row in rows if (control := _control(row, sweep))}
    pairs += [(label, control.label) for label, control in controls.items()]
    return _Group(name, [*rows, *{control.label: control for control in controls.values()}.values()], pairs)


def _budget(method: MethodFacts) -> str:
    """What a row removes, in words; empty where nothing, or as much as it likes."""
    if followed := _followed(method):
        return f"as {followed}, layer by layer"
    if method.family != "pruning":
        return ""
    shares = {axis: method.params.get(axis) for axis in ("heads", "neurons")}
    for axis, share in (shares | (method.params.get("budget") or {})).items():
        if share:
            # The rows of a curve are judged where it ends.
            last = share[-1] if isinstance(share, list | tuple) else share
            return f"{100 * last:g} % of {axis.replace('_', ' ')}"
    return ""


def _followed(method: MethodFacts) -> str:
    """The method whose numbers a row takes, layer by layer."""
    return (method.params.get("budget") or {}).get("like") or method.params.get("like") or ""


def _control(row: MethodFacts, sweep: SweepFacts) -> MethodFacts | None:
    """The row that trains as long and removes nothing; None where there is none, or nothing to control."""
    length = _length(row.params)
    controls = (m for m in sweep.methods if m.method == _CONTROL and not _followed(m))
    return next((m for m in controls if any(length) and _length(m.params) == length), None)


def _length(params: Mapping[str, Any]) -> tuple[float, int]:
    """Epochs and steps after the start model: those with gates, and those at each share of a curve."""
    shares = params.get("heads")
    times = len(shares) if isinstance(shares, list | tuple) else 1
    steps = times * (params.get("steps") or 0) + params.get("gate_steps", 0)
    return times * (params.get("epochs") or 0.0), steps


def _size(label: str, trials: Trials) -> tuple[float | None, float | None]:
    """Heads left and parameters of the layers in millions."""
    records = [r for (own, _), seeds in trials.items() if own == label for r in seeds.values()]
    models = [record.model for record in records if record.model]
    if not models:
        return None, None
    encoder = statistics.median(model.parameters.encoder for model in models) / 1e6
    return statistics.median(sum(model.heads) for model in models), encoder


def _changes(found: _Found, columns: Sequence[str]) -> Iterator[list[str | None]]:
    compared, names = found.compared, found.names
    for pair in compared.changes:
        cells = [compared.cell(pair, task) for task in columns]
        yield [*(names[label] for label in pair), *cells, compared.verdict(pair)]


def _forest(found: _Found) -> forest.Forest:
    compared, names = found.compared, found.names
    return {
        f"{names[own]} against {names[base]}": changes[AVERAGE]
        for (own, base), changes in compared.changes.items()
        if AVERAGE in changes
    }


_COLUMNS = ["budget", "label", "against", "task", "seeds", "score", *TESTED]


def _rows(found: _Found) -> Iterator[list[object]]:
    compared, name = found.compared, found.group.name
    for row in found.group.rows:
        for task in [*compared.evidence, AVERAGE]:
            seeds_and_score = [len(compared.scores(row.label, task)), compared.median(row.label, task)]
            yield [name, row.label, None, task, *seeds_and_score, *[None] * len(TESTED)]
    for own, base in found.group.pairs:
        for task, change in compared.changes[own, base].items():
            yield [name, own, base, task, len(change.comparison.seeds), None, *change.tested]


def _conclude(found: _Found) -> Iterator[str]:
    compared, pairs, names = found.compared, found.group.pairs, found.names
    where = ", ".join(compared.averaged) or "no task"
    if pairs:
        listed = "; ".join(
            f"{names[own]} against {names[base]} {compared.in_words((own, base))}" for own, base in pairs
        )
        yield f"{found.group.name[:1].upper()}{found.group.name[1:]}, on average over {where}: {listed}."
    else:
        yield f"{found.group.name}: neither `{_RANDOM}` nor as much training alone is there to compare with."
    yield from (f"{found.group.name}: {sentence}" for sentence in compared.gaps())
