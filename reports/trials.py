"""The trials of a sweep: which there are, which are missing, and which tasks an average may be taken over."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from reports.board import Missing, SweepFacts
from reports.decisions import Decisions
from reports.evidence import Evidence, gather
from reports.record import Failure, Record
from reports.withheld import in_words

Key = tuple[str, str]
"""Label and task."""
Trials = defaultdict[Key, dict[int, Record]]
"""Records by label and task, and by seed, ascending."""


def by_trial(records: Iterable[Record], sweep: SweepFacts) -> Trials:
    """Sort records into the cells of a sweep; those outside it are left out.

    Raises:
        ValueError: two records claim one trial.
    """
    labels, tasks = {m.label for m in sweep.methods}, {t.name for t in sweep.tasks}
    trials: Trials = defaultdict(dict)
    for record in sorted(records, key=lambda r: r.seed):
        if record.label not in labels or record.task not in tasks or record.seed not in sweep.seeds:
            continue
        seeds = trials[record.label, record.task]
        if record.seed in seeds:
            raise ValueError(f"two records for {record.name}")
        seeds[record.seed] = record
    return trials


def missing_trials(
    trials: Trials, sweep: SweepFacts, failures: Sequence[Failure] | None = None
) -> list[Missing]:
    """List the trials without a record; where several failures name one, the last to end counts.

    Without `failures`, None, what failed cannot be told from what was not run.
    """
    why = {(f.label, f.task, f.seed): f for f in sorted(failures or (), key=lambda f: f.ended)}
    unknown = "no result" if failures is None else "not run"
    gaps = []
    for task in sweep.tasks:
        for method in sweep.methods:
            for seed in sweep.seeds:
                if seed in trials[method.label, task.name]:
                    continue
                trial = {"label": method.label, "task": task.name, "seed": seed}
                f = why.get((method.label, task.name, seed))
                known = {"kind": f.kind, "message": f.message, "log": f.log} if f else {"kind": unknown}
                gaps.append(Missing.model_validate(trial | known))
    return gaps


def evidence_by_task(
    trials: Trials, sweep: SweepFacts, decisions: Callable[[Record], Decisions], replicates: int
) -> dict[str, Evidence]:
    """Score all trials of each task under the same draws of its examples, see `gather`."""
    return {
        task.name: gather(
            task, {m.label: trials[m.label, task.name] for m in sweep.methods}, decisions, replicates
        )
        for task in sweep.tasks
    }


def averaged_tasks(evidence: dict[str, Evidence], sweep: SweepFacts) -> tuple[list[str], dict[str, str]]:
    """Return the tasks the overall score averages over, and those left out with the reason.

    A task with a collapsed start model is left out for every method alike: that check is made before any
    method runs, so leaving it out favours none. Where no task is sound all stay, without a verdict.
    """
    tasks = [t.name for t in sweep.tasks if t.overall]
    collapsed = {
        name: sorted({seed for cell in evidence[name].cells.values() for seed in cell.teacher_collapsed})
        for name in tasks
    }
    sound = [name for name in tasks if not collapsed[name]]
    if not sound:
        return tasks, {}
    return sound, {n: f"the start model collapsed ({in_words(s)})" for n, s in collapsed.items() if s}
