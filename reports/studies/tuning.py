"""Report of `tuning`: the score on `choice` of every setting of each method, and which one to freeze."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from reports.board import MethodFacts, StudyFacts, SweepFacts
from reports.record import Record
from reports.studies.content import Findings, Table, Variants
from reports.trials import Trials, by_trial


@dataclass(frozen=True)
class _Setting:
    """One configuration of a method: a row of the sweep.

    Attributes:
        label: the row's.
        values: of the tuned fields, in words.
        scores: on `choice` in points, by task and seed.
        collapsed: seeds by task at which `choice` shows a degenerate model.
    """

    label: str
    values: str
    scores: dict[str, dict[int, float]]
    collapsed: dict[str, list[int]]

    def rank(self, task: str) -> tuple[bool, float]:
        """Sorts the better setting later: a degenerate model is never better than another."""
        return not self.collapsed[task], statistics.fmean(self.scores[task].values())

    def in_words(self, task: str) -> str:
        """Its values and its score."""
        if not self.scores[task]:
            return f"{self.values}: none"
        mark = " (collapsed)" if self.collapsed[task] else ""
        return f"{self.values}: {statistics.fmean(self.scores[task].values()):.1f}{mark}"


@dataclass(frozen=True)
class _Tuned:
    """A method and its settings, in the sweep's order."""

    name: str
    settings: list[_Setting]

    def best(self, task: str, seeds: Sequence[int]) -> _Setting | None:
        """The setting to freeze; the first of equals; None until each has a score at every seed."""
        if any(set(setting.scores[task]) != set(seeds) for setting in self.settings):
            return None
        return max(self.settings, key=lambda setting: setting.rank(task))


def report(study: StudyFacts, sweep: SweepFacts, records: Sequence[Record], variants: Variants) -> Findings:
    """Compare the settings of each method on `choice`; validation scores are not read."""
    fields = tuple(study.params["fields"])
    trials = by_trial(records, sweep)
    tuned = _tuned(sweep, trials, fields)
    tasks = [task.name for task in sweep.tasks]
    return Findings(
        title=f"Tuning of {', '.join(fields)}: scores on the part of train held out for choices",
        conclusion=[
            _equal(tuned),
            *(_freeze(each, tasks, sweep.seeds, fields) for each in tuned),
            *_without_a_teacher(trials, tasks),
        ],
        summary=Table(
            ["method", *tasks],
            [
                [each.name, *("; ".join(one.in_words(task) for one in each.settings) for task in tasks)]
                for each in tuned
            ],
        ),
        table=Table(_COLUMNS, [row for each in tuned for row in _rows(each, tasks, sweep.seeds)]),
        notes=[
            f"Seeds {', '.join(map(str, sweep.seeds))}; evaluate with others. The score is the task's "
            "primary metric in points on `choice`, which no method learns from; the mean where there are "
            "several seeds. A setting whose predictions collapse there comes last. Of equal scores the first "
            "setting in the sweep is taken.",
            f"Examples of `choice`: {_sizes(trials, tasks)}. So few hardly tell settings apart that lie a "
            "few points from each other; that is as true of one method as of another.",
        ],
    )


def _tuned(sweep: SweepFacts, trials: Trials, fields: Sequence[str]) -> list[_Tuned]:
    groups: dict[str, _Tuned] = {}
    for row in sweep.methods:
        rest = {key: value for key, value in row.params.items() if key not in fields}
        key = json.dumps([row.method, rest], sort_keys=True)
        group = groups.setdefault(key, _Tuned(_without(row.label, fields), []))
        own = {task.name: trials[row.label, task.name] for task in sweep.tasks}
        group.settings.append(
            _Setting(
                row.label,
                _values(row, sweep, fields),
                {
                    task.name: {seed: 100 * r.choice[task.primary] for seed, r in own[task.name].items()}
                    for task in sweep.tasks
                },
                {
                    name: [seed for seed, r in seeds.items() if r.choice_collapsed]
                    for name, seeds in own.items()
                },
            )
        )
    return list(groups.values())


def _without(label: str, fields: Sequence[str]) -> str:
    """The label of a row without what was tuned."""
    name, _, listed = label.partition(":")
    kept = [field for field in listed.split(",") if field and field.partition("=")[0] not in fields]
    return f"{name}:{','.join(kept)}" if kept else name


def _values(row: MethodFacts, sweep: SweepFacts, fields: Sequence[str]) -> str:
    """The tuned fields' values; what a row leaves to the sweep is the sweep's."""
    common = sweep.config.get("train", {})
    values = [row.params.get(field) for field in fields]
    shown = [
        common.get(field) if value is None else value for field, value in zip(fields, values, strict=True)
    ]
    return ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in shown)


def _equal(tuned: Sequence[_Tuned]) -> str:
    counts = Counter(len(each.settings) for each in tuned)
    if len(counts) == 1:
        (number,) = counts
        return f"Equal tuning: every method has {number} setting{'' if number == 1 else 's'} on each task."
    listed = ", ".join(f"{each.name} {len(each.settings)}" for each in tuned)
    return f"Not equal tuning: methods have different numbers of settings ({listed})."


def _freeze(each: _Tuned, tasks: Sequence[str], seeds: Sequence[int], fields: Sequence[str]) -> str:
    if len(each.settings) == 1:
        return f"{each.name}: not tuned, it has one setting."
    best = {task: each.best(task, seeds) for task in tasks}
    several = len(fields) > 1
    frozen = ", ".join(
        f"{task}: {f'[{setting.values}]' if several else setting.values}"
        for task, setting in best.items()
        if setting
    )
    open_ = [task for task, setting in best.items() if setting is None]
    names = f"[{', '.join(fields)}]" if several else fields[0]
    parts = [f"freeze `{names}: {{{frozen}}}`"] if frozen else []
    parts += [f"nothing to freeze on {', '.join(open_)} before every setting has a result"] if open_ else []
    return f"{each.name}: {'; '.join(parts)}."


def _without_a_teacher(trials: Trials, tasks: Sequence[str]) -> list[str]:
    """Name the tasks whose start model collapsed at a seed."""
    dead = {task for (_, task), seeds in trials.items() for r in seeds.values() if r.teacher_collapsed}
    return [
        f"{task}: the start model collapsed; what is frozen there is chance."
        for task in tasks
        if task in dead
    ]


def _sizes(trials: Trials, tasks: Sequence[str]) -> str:
    """How many examples the scores of each task rest on; every seed has as many."""
    counts = {task: r.data["rows"]["choice"] for (_, task), seeds in trials.items() for r in seeds.values()}
    return ", ".join(f"{task} {counts[task]}" for task in tasks if task in counts)


_COLUMNS = ["method", "task", "setting", "label", "seeds", "choice", "min", "max", "collapsed", "freeze"]


def _rows(each: _Tuned, tasks: Sequence[str], seeds: Sequence[int]) -> list[list[object]]:
    rows: list[list[object]] = []
    for task in tasks:
        best = each.best(task, seeds)
        for setting in each.settings:
            scores = list(setting.scores[task].values())
            spread = [statistics.fmean(scores), min(scores), max(scores)] if scores else [None] * 3
            chosen = "yes" if setting is best else "no" if best else None
            own = [each.name, task, setting.values, setting.label, len(scores), *spread]
            rows.append([*own, len(setting.collapsed[task]), chosen])
    return rows
