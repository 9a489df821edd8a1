"""The report of `equal-budget`: budgets are told apart, and each is a family of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from boards import make
from study_records import rows, study

from benchmark.config.grid import expand
from benchmark.config.load import load_sweep
from methods import registry
from methods.studies.equal_budget import EqualBudget
from reports.decisions import RESULT, Decisions
from reports.record import Collapse
from reports.studies import equal_budget
from reports.studies.content import render

TASKS = {"mrpc": (408, 0.68, 0.86, "f1", 2.0), "cola": (1043, 0.69, 0.80, "matthews", 3.0)}
LIKE = {"budget": {"like": "auber"}, "steps": 60}
METHODS = (
    ("finetune", {}, 0.0),
    ("auber", {"episodes": 100, "steps": 60}, 0.0),
    ("random-heads", LIKE, -0.08),
    ("finetune-more", {"like": "auber", "steps": 60}, 0.0),
    ("finetune-more", {"steps": 120}, 0.0),
    ("random-heads", {"heads": 0.25, "steps": 120}, -0.08),
    ("sixteen-heads", {"heads": 0.25, "steps": 120}, 0.0),
    ("l0-heads", {"heads": 0.25, "gate_steps": 60, "steps": 60}, -0.08),
    ("sixteen-heads", {"heads": [0.1, 0.5], "steps": 60}, -0.1),  # A curve trains at each of its shares.
    ("magnitude-heads", {"budget": {"heads": 0.5}, "steps": 30}, -0.1),
    ("ffn-neurons", {"budget": {"encoder_parameters": 0.0832}, "steps": 120}, 0.0),
    ("random-heads", {"budget": {"flops": 0.1}}, 0.0),
)
AUBER, RANDOM = "auber:episodes=100,steps=60", "random-heads:budget=like:auber,steps=60"


def board(methods=METHODS, seeds=3):
    works = [registry.find(name)(**fields) for name, fields, _ in methods]
    return make(
        faults=False,
        seeds=seeds,
        tasks=TASKS,
        methods={
            work.label: (work.family, work.model_dump(mode="json"), effect, 9.0)
            for work, (_, _, effect) in zip(works, methods, strict=True)
        },
    )


def report(made):
    def read(record):
        return {RESULT: Decisions.of(made.predictions(record))}

    return equal_budget.report(study("equal-budget"), made.sweep, made.records, read, replicates=300)


@pytest.fixture(scope="module")
def findings():
    return report(board())


def test_rows_are_grouped_by_what_they_remove_and_one_alone_has_no_table(findings):
    groups = {}
    for budget, label, *_ in findings.summary.rows:
        groups.setdefault(budget, []).append(label.split(":")[0])
    assert groups == {
        "as auber, layer by layer": ["auber", "random-heads", "finetune-more"],
        "25 % of heads": ["random-heads", "sixteen-heads", "l0-heads", "finetune-more"],
        "50 % of heads": ["sixteen-heads", "magnitude-heads", "finetune-more"],
        "8.32 % of encoder parameters": ["ffn-neurons", "finetune-more"],
    }


def test_the_figure_has_every_change_on_average_with_its_interval(findings):
    (axes,) = findings.figure.axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    drawn = []
    for collection in axes.collections:
        (low, line), (high, _) = collection.get_segments()[0].tolist()
        headings = [name for name in names[: int(line)] if " against " not in name]
        drawn.append((headings[-1], names[int(line)], low, high))
    columns = findings.table.columns
    rows = [dict(zip(columns, row, strict=True)) for row in findings.table.rows]
    averages = [row for row in rows if row["against"] and row["task"] == "average"]
    assert len(averages) == len(drawn) > 0
    for row, (budget, name, low, high) in zip(averages, drawn, strict=True):
        own, base = (row[label].split(":")[0] for label in ("label", "against"))
        assert (budget, name) == (row["budget"], f"{own} against {base}")
        assert (low, high) == pytest.approx((row["low"], row["high"]))


def test_the_followed_is_compared_with_its_followers_and_a_share_with_chance_and_training(findings):
    pairs = {
        heading: [(own.split(":")[0], base.split(":")[0]) for own, base, *_ in table.rows]
        for heading, table in findings.further.items()
    }
    assert pairs == {
        "Changes: as auber, layer by layer": [("auber", "random-heads"), ("auber", "finetune-more")],
        "Changes: 25 % of heads": [
            ("sixteen-heads", "random-heads"),
            ("l0-heads", "random-heads"),
            ("random-heads", "finetune-more"),
            ("sixteen-heads", "finetune-more"),
            ("l0-heads", "finetune-more"),
        ],
        # No random choice of half of the heads, and the other row trains for other steps.
        "Changes: 50 % of heads": [("sixteen-heads", "finetune-more")],
        "Changes: 8.32 % of encoder parameters": [("ffn-neurons", "finetune-more")],
    }


def test_changes_are_those_of_the_paired_seeds_and_judged_within_the_budget(findings):
    made = board()
    score = {(r.label, r.task, r.seed): 100 * r.scores[r.primary] for r in made.records}
    change = [score[AUBER, "mrpc", seed] - score[RANDOM, "mrpc", seed] for seed in (1, 2, 3)]
    (row,) = [
        row
        for row in rows(findings.table)
        if (row["label"], row["against"], row["task"]) == (AUBER, RANDOM, "mrpc")
    ]
    assert float(row["change"]) == pytest.approx(sum(change) / 3, rel=1e-4)
    assert float(row["p"]) <= float(row["p_adjusted"])
    assert row["verdict"] == "better"
    (said,) = [one for one in findings.conclusion if one.startswith("As auber")]
    assert "auber against random-heads +" in said and "better" in said
    page = render(findings, study("equal-budget"))["index.md"].decode()
    assert "## Changes: 25 % of heads" in page and said in page
    # Another budget's rows change nothing here.
    alone = report(board(METHODS[:4]))
    assert alone.conclusion == [said]


def test_what_is_missing_or_collapsed_is_said():
    made = board()
    made.records = [r for r in made.records if (r.label, r.task, r.seed) != (RANDOM, "cola", 2)]
    collapsed = {"teacher_collapse": Collapse(collapsed=True, reason="one class")}
    made.records = [r.model_copy(update=collapsed) if r.task == "mrpc" else r for r in made.records]
    found = report(made)
    like = "as auber, layer by layer"
    assert f"{like}: Without a result: {RANDOM} on cola seed 2." in found.conclusion
    assert any(s.startswith(f"{like}: mrpc is shown and left out") for s in found.conclusion)
    assert "auber against random-heads" in found.conclusion[0]
    assert "no verdict (" in found.conclusion[0]


def test_without_two_rows_of_a_budget_there_is_nothing_to_compare():
    found = report(board(METHODS[:2]))
    assert found.conclusion[0].startswith("Nothing to compare: no two pruning methods")
    page = render(found, study("equal-budget"))["index.md"].decode()
    assert "Give several the same `heads`" in page


def test_every_row_of_the_sweep_but_the_baseline_is_in_a_budget():
    sweep = load_sweep(Path(__file__).parents[2] / "sweeps" / "head-pruning.yaml")
    works = [(type(method).name, method.changed(), 0.0) for method in expand(sweep)]
    made = board([(name, fields, effect) for name, fields, effect in works], seeds=2)
    found = report(made)
    shown = {row["label"] for row in rows(found.table)}
    assert shown == {m.label for m in made.sweep.methods} - {"finetune"}
    assert EqualBudget().experiment() is None


def test_chance_trains_as_long_as_what_it_is_the_control_of():
    made = board(
        (
            ("finetune", {}, 0.0),
            ("random-heads", {"heads": 0.5}, -0.2),
            ("random-heads", {"heads": 0.5, "steps": 120}, 0.0),
            ("sixteen-heads", {"heads": 0.5, "steps": 120}, 0.0),
            ("magnitude-heads", {"heads": 0.5}, -0.2),
            ("l0-heads", {"heads": 0.5, "gate_steps": 60, "steps": 30}, 0.0),
        )
    )
    (table,) = report(made).further.values()
    assert [(own, base) for own, base, *_ in table.rows] == [
        ("sixteen-heads", "random-heads:steps=120"),
        ("magnitude-heads", "random-heads"),
    ]
