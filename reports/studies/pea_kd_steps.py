"""Report of `pea-kd-steps`: what each step from BERT_k to PeaBERT changes, and the rivals at the same k."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reports.board import StudyFacts, SweepFacts
from reports.decisions import RESULT
from reports.record import Record
from reports.statistics.replicates import REPLICATES
from reports.studies.content import Findings, Table, Variants
from reports.studies.pea_kd_figures import Line, draw
from reports.studies.pea_kd_pairs import compared_rows, unlike
from reports.studies.pea_kd_parts import PARTS, RIVALS, TEACHER, Cast, applied_layers, cast
from reports.studies.row_changes import AVERAGE, TESTED, Compared, Pair, RowChange, compare_pairs
from reports.trials import Trials, by_trial

_PAPER = {"sps": "+3.0 over students without it", "peabert": "+4.5 over students with neither SPS nor PTP"}
"""Points on average over four tasks in the paper's ablation."""


@dataclass(frozen=True)
class _Step:
    """One comparison of the table: parts, labels, and the changes by task."""

    k: int
    own: str
    base: str
    pair: Pair
    changes: dict[str, RowChange]

    @property
    def named(self) -> tuple[str, str]:
        """Both rows as the table calls them."""
        whole = "the teacher" if self.pair[1] == TEACHER else "the tuned ceiling"
        base = whole if self.base == TEACHER else PARTS[self.base].called(self.k)
        return PARTS[self.own].called(self.k).removeprefix("+ "), base.removeprefix("+ ")


def report(
    study: StudyFacts,
    sweep: SweepFacts,
    records: Sequence[Record],
    variants: Variants,
    *,
    replicates: int = REPLICATES,
) -> Findings:
    """Line up the ablation and its rivals, each change tested as the leaderboard tests."""
    trials = by_trial(records, sweep)
    roles = cast(sweep, trials)
    chosen = sweep.model_copy(update={"methods": tuple(m for m in sweep.methods if m.label in roles.labels)})
    pairs = compared_rows(roles, sweep)
    compared = compare_pairs(
        trials, chosen, list(pairs.values()), lambda record: variants(record)[RESULT], replicates
    )
    steps = [_Step(*key, pair, dict(compared.changes[pair])) for key, pair in pairs.items()]
    tasks = [task.name for task in sweep.tasks]
    columns = [*tasks, AVERAGE]
    lines = _lines(roles, compared, tasks)
    figure = draw(sweep, roles.teacher, lines, compared.left_out) if roles.rows else None
    return Findings(
        title="Pea-KD step by step: shared layers, exchanged projections, pretraining on predictions",
        conclusion=[
            *_conclude(roles, steps, compared),
            *unlike(pairs, sweep),
            *_gaps(roles, compared),
        ],
        summary=Table(
            ["k", "row", *map(compared.headed, columns)],
            [
                [k, name, *(compared.median(label, task) for task in columns)]
                for k, name, label in _rows(roles)
            ],
        ),
        further={
            "What each step changes": Table(
                ["k", "row", "against", *columns, "verdict"],
                [
                    [
                        *(step.k, *step.named),
                        *(compared.cell(step.pair, task) for task in columns),
                        compared.verdict(step.pair),
                    ]
                    for step in steps
                ],
            ),
            "What it costs": Table(
                ["k", "row", *_SIZES],
                [[k, name, *_size(label, sweep, trials)] for k, name, label in _rows(roles)],
            ),
            "Labels of PTP": Table(_COUNTED, _label_counts(roles, sweep, trials)),
        },
        table=Table(_COLUMNS, _every_number(roles, steps, compared, sweep, trials)),
        figure=figure,
        notes=_NOTES,
    )


_NOTES = [
    "Scores are medians over seeds in points; the average is over tasks whose start model is sound, each "
    "seed's mean first; tasks in brackets are not among them. Changes are mean paired differences with their "
    "95 % interval, new seeds and new examples; a star marks those significant, on a task after "
    "Benjamini-Hochberg over all pairs and tasks, on the average after Holm over the pairs. The verdict is "
    "that on the average.",
    "Pea-KD's rows are compared with Patient KD, which they build on; with one layer there is nothing to be "
    "patient about, so there they are compared with KD, and SPS brings patience along.",
    "Layers run are those a forward pass applies; MFLOPs are of one forward pass over 128 tokens. Every "
    "parameter counts once, the classifier is among them. TFLOPs are of the row's own training, medians over "
    "seeds, summed over the tasks, none where a task has no result: PTP trains longer than a row without it; "
    "its control, random labels, as long. The passes that fill the teacher's cache are shared and not among "
    "them; those of a teacher that runs beside its student are.",
    "A rate of the sweep was not tuned for the row. Temperature, alpha, beta, PTP's thresholds and epochs "
    "are presets, tuned for no row.",
    "Labels are counted on train, one number for each seed in order; where the teacher is hardly ever wrong, "
    "or sure, two of four are all but empty. The control's labels are drawn and not counted.",
]


def _rows(roles: Cast) -> list[tuple[int, str, str]]:
    """(layers, name, label) of all rows, those of whole models first."""
    named = {roles.ceiling: "tuned", TEACHER: "the teacher"}
    whole = [
        (roles.teacher, f"BERT_{roles.teacher}, {named[label]}", label)
        for label in dict.fromkeys((TEACHER, roles.ceiling))
        if roles.teacher
    ]
    return whole + [
        (k, PARTS[part].called(k), label) for k, rows in roles.rows.items() for part, label in rows.items()
    ]


_SIZES = ["parameters (M)", "without embeddings (M)", "layers run", "MFLOPs", "training (TFLOPs)", "rate"]


def _size(label: str, sweep: SweepFacts, trials: Trials) -> list[Any]:
    """What `_SIZES` names; the model's sizes are the same at every seed."""
    tasks = [list(trials[label, task.name].values()) for task in sweep.tasks]
    model = next((record.model for records in tasks for record in records if record.model), None)
    rate = _rate(label, sweep)
    if model is None:
        return [*[None] * (len(_SIZES) - 1), rate]
    count = model.parameters
    sizes = [count.total / 1e6, (count.total - count.embeddings) / 1e6]
    # A sum over fewer tasks than another row's would look cheaper than it is.
    trained = [statistics.median(record.cost.flops for record in records) for records in tasks if records]
    cost = sum(trained) / 1e12 if len(trained) == len(tasks) else None
    return [*sizes, applied_layers(model), model.flops / 1e6, cost, rate]


def _rate(label: str, sweep: SweepFacts) -> str:
    rate = next(row.params.get("learning_rate") for row in sweep.methods if row.label == label)
    if isinstance(rate, dict):
        # A row of a joined output may have been run on some of its tasks.
        return ", ".join(f"{task.name} {rate[task.name]:g}" for task in sweep.tasks if task.name in rate)
    return "the sweep's" if rate is None else f"{rate:g}"


_CLASSES = ("right, sure", "right, unsure", "wrong, sure", "wrong, unsure")
_COUNTED = ["k", "row", "task", *_CLASSES, "wrong, %", "sure, %"]


def _label_counts(roles: Cast, sweep: SweepFacts, trials: Trials) -> list[list[Any]]:
    """Of labels that the teacher made; drawn ones, the control's, say nothing of it.

    The shares, over all seeds, tell whether four labels say more than two.
    """
    drawn = {row.label for row in sweep.methods if row.params.get("ptp_labels") == "random"}
    rows = []
    for k, name, label in _rows(roles):
        for task in sweep.tasks if label not in drawn else ():
            found = {
                seed: record.notes.get("ptp_counts") for seed, record in trials[label, task.name].items()
            }
            noted = {seed: list(counts.values()) for seed, counts in found.items() if counts}
            if noted:
                by_seed = [noted.get(seed, ["-"] * len(_CLASSES)) for seed in sweep.seeds]
                told = [" ".join(map(str, each)) for each in zip(*by_seed, strict=True)]
                right_sure, _, wrong_sure, wrong_unsure = sums = [
                    sum(n) for n in zip(*noted.values(), strict=True)
                ]
                shares = [wrong_sure + wrong_unsure, right_sure + wrong_sure]
                rows.append([k, name, task.name, *told, *(100 * share / sum(sums) for share in shares)])
    return rows


_COLUMNS = ["k", "row", "label", "against", "task", "seeds", "score", "min", "max", "collapsed",
            "start_model_collapsed", *TESTED, "parameters_m", "without_embeddings_m", "layers_run",
            "mflops", "training_tflops", "rate"]  # fmt: skip


def _every_number(
    roles: Cast, steps: Sequence[_Step], compared: Compared, sweep: SweepFacts, trials: Trials
) -> list[list[Any]]:
    rows: list[list[Any]] = []
    for k, name, label in _rows(roles):
        sizes = _size(label, sweep, trials)
        for task in [*compared.evidence, AVERAGE]:
            scores = list(compared.scores(label, task).values())
            spread = [statistics.median(scores), min(scores), max(scores)] if scores else [None] * 3
            cell = compared.evidence[task].cells[label] if task != AVERAGE else None
            collapsed = [len(cell.collapsed), len(cell.teacher_collapsed)] if cell else [None, None]
            rows.append(
                [k, name, label, None, task, len(scores), *spread, *collapsed, *[None] * len(TESTED), *sizes],
            )
    for step in steps:
        for task, change in step.changes.items():
            seeds = len(change.comparison.seeds)
            row = [step.k, step.named[0], step.pair[0], step.pair[1], task, seeds]
            rows.append([*row, *[None] * 5, *change.tested, *[None] * len(_SIZES)])
    return rows


def _conclude(roles: Cast, steps: Sequence[_Step], compared: Compared) -> list[str]:
    where = ", ".join(compared.averaged) or "no task"
    sentences = []
    for k in roles.rows:
        own = {(step.own, step.base): step for step in steps if step.k == k}
        for part in ("paired", "sps", "ptp", "peabert"):
            found = [step for key, step in own.items() if key[0] == part and not _is_rival(*key)]
            if found:
                paper = f"; the paper, with BERT-base, has {_PAPER[part]}" if part in _PAPER else ""
                sentences.append(
                    f"{found[0].named[0]}, k = {k}, on {where}: {_told(found, compared)}{paper}."
                )
        rivals = [step for key, step in own.items() if _is_rival(*key)]
        if rivals:
            sentences.append(f"PeaBERT_{k} beside its rivals, on {where}: {_told(rivals, compared)}.")
    return sentences


def _is_rival(own: str, base: str) -> bool:
    return own == "peabert" and base in RIVALS


def _told(steps: Sequence[_Step], compared: Compared) -> str:
    return "; ".join(f"against {step.named[1]} {compared.in_words(step.pair)}" for step in steps)


def _gaps(roles: Cast, compared: Compared) -> list[str]:
    """Name the rows the sweep does not have, the trials that have no result, and rows that are not shown."""
    if not roles.rows:
        return [
            "No row of this sweep has a part in the ablation: see sweeps/distillation.yaml, and run it first."
        ]
    sentences = compared.gaps()
    if absent := roles.missing:
        listed = ", ".join(
            f"{PARTS[key].name.format(k='k')} with k = {', '.join(map(str, sizes))} "
            f"({PARTS[key].entries(sizes)})"
            for key, sizes in absent.items()
        )
        sentences.append(f"Rows that this sweep does not have: {listed}.")
    if roles.teacher is None:
        sentences.append(f"No record of the teacher, `{TEACHER}`.")
    if roles.doubles:
        sentences.append(f"Not shown, since a row before them has the same part: {', '.join(roles.doubles)}.")
    if roles.strangers:
        sentences.append(
            f"Not shown, since they are none of the table's steps: {', '.join(roles.strangers)}."
        )
    return sentences


def _lines(roles: Cast, compared: Compared, tasks: Sequence[str]) -> list[Line]:
    return [
        Line(k, part, PARTS[part].called(k), {task: compared.scores(label, task) for task in tasks})
        for k, rows in roles.rows.items()
        for part, label in rows.items()
    ] + (
        [Line(roles.teacher, TEACHER, "teacher", {task: compared.scores(TEACHER, task) for task in tasks})]
        if roles.teacher
        else []
    )
