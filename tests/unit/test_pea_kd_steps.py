"""The study `pea-kd-steps`: which row plays which part, what each step changes, and what is missing."""

from __future__ import annotations

import dataclasses
import statistics

import pytest
from boards import Board
from distillation_boards import ABLATION, TASKS, board, without

from methods import registry
from reports import leaderboard
from reports.board import MethodFacts, StudyFacts
from reports.decisions import RESULT, Decisions
from reports.studies.content import Findings, Variants, render
from reports.studies.pea_kd_parts import PARTS, cast
from reports.studies.pea_kd_steps import report
from reports.studies.row_changes import compare_pairs
from reports.trials import by_trial
from tasks.glue import MRPC

STUDY = StudyFacts(label="pea-kd-steps", study="pea-kd-steps", paper="a paper", report="x:y")
REPLICATES = 200


def reader(made: Board) -> Variants:
    return lambda record: {RESULT: Decisions.of(made.predictions(record))}


def findings(made: Board) -> Findings:
    return report(STUDY, made.sweep, made.records, reader(made), replicates=REPLICATES)


def records_of(table, **wanted) -> list[dict]:
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


@pytest.fixture(scope="module")
def whole() -> Board:
    return board(collapsed={"rte": 2})


@pytest.fixture(scope="module")
def found(whole) -> Findings:
    return findings(whole)


@pytest.mark.parametrize("key", PARTS)
def test_a_part_is_recognised_as_a_sweep_writes_it(key):
    import yaml

    ((name, fields),) = yaml.safe_load(PARTS[key].written(2)).items()
    work = registry.find(name)(**fields)
    row = MethodFacts(label=work.label, method=name, family=work.family, params=work.model_dump(mode="json"))
    assert [other for other, part in PARTS.items() if part.fits(row)] == [key]


@pytest.mark.parametrize(
    ("key", "k"),
    # One layer has nothing to be patient about, and nobody is told so.
    [(key, k) for key in PARTS for k in (1, 2, 3) if (key, k) != ("patient", 1)],
)
def test_what_a_sweep_is_told_to_add_can_be_run(key, k):
    import yaml

    ((name, fields),) = yaml.safe_load(PARTS[key].written(k)).items()
    work = registry.find(name)(**fields)
    work.check(MRPC, 6)
    row = MethodFacts(label=work.label, method=name, family=work.family, params=work.model_dump(mode="json"))
    assert PARTS[key].fits(row)


def test_the_rows_stand_in_the_order_of_the_steps(found):
    names = [row[1] for row in found.summary.rows]
    assert names == [
        "BERT_6, the teacher",
        "BERT_3",
        "Patient KD",
        "+ SPS without shuffle",
        "+ SPS",
        "+ PTP",
        "+ PTP, random labels",
        "PeaBERT_3",
        "KD",
        "TinyBERT",
        "DistilBERT",
    ]


def test_scores_are_medians_and_a_collapsed_teachers_task_is_marked_and_not_averaged(found, whole):
    assert list(found.summary.columns) == ["k", "row", "mrpc", "(rte)", "sst2", "average"]
    (sps,) = (row for row in found.summary.rows if row[1] == "+ SPS")
    own = {
        task: {
            r.seed: 100 * r.scores[r.primary]
            for r in whole.records
            if (r.label, r.task) == ("pea-kd:layers=3,ptp=False", task)
        }
        for task in TASKS
    }
    assert sps[2:5] == [pytest.approx(statistics.median(own[task].values())) for task in TASKS]
    sound = [(own["mrpc"][seed] + own["sst2"][seed]) / 2 for seed in range(1, 6)]
    assert sps[5] == pytest.approx(statistics.median(sound))
    assert any(
        s.startswith("rte is shown and left out of the average: the start model") for s in found.conclusion
    )
    assert {row["verdict"] for row in records_of(found.table, task="rte") if row["against"]} == {"none"}


def test_a_step_from_the_baseline_is_the_leaderboards_comparison(whole, found):
    base = "patient-kd:layers=3,alpha=0.7"
    two = tuple(m for m in whole.sweep.methods if m.label in (base, "pea-kd:layers=3,ptp=False"))
    sweep = whole.sweep.model_copy(update={"baseline": base, "methods": two})
    shown = leaderboard.build(whole.records, whole.predictions, sweep, replicates=REPLICATES)
    for task in (*TASKS, "average"):
        rows = shown.overall if task == "average" else shown.of(task)
        (row,) = (row for row in rows if row.label == "pea-kd:layers=3,ptp=False")
        (step,) = records_of(found.table, label="pea-kd:layers=3,ptp=False", against=base, task=task)
        assert step["change"] == pytest.approx(row.delta)
        assert (step["low"], step["high"]) == pytest.approx(row.ci)
        assert step["p"] == pytest.approx(row.tests["combined"]["p"])


def test_a_collapsed_teacher_of_either_row_bars_the_verdict(whole):
    pair = ("kd:layers=3,alpha=0", "kd:layers=3,alpha=0.7")  # The first has no teacher.
    trials = by_trial(whole.records, whole.sweep)
    read = reader(whole)
    found = compare_pairs(trials, whole.sweep, [pair], lambda record: read(record)[RESULT], REPLICATES)
    change = found.changes[pair]["rte"]
    assert (change.verdict, change.reason) == ("none", "the start model collapsed (seed 2)")


def test_a_step_that_helps_is_told_from_one_that_does_not(found):
    def verdict(row: str, against: str) -> str:
        ((*_, word),) = (r for r in found.further["What each step changes"].rows if r[1:3] == [row, against])
        return word

    assert verdict("SPS", "Patient KD") == "better"
    assert verdict("SPS", "SPS without shuffle") == "better"
    assert verdict("PeaBERT_3", "SPS") == "better"
    assert verdict("PeaBERT_3", "TinyBERT") == "better"
    assert verdict("SPS without shuffle", "the teacher") == "worse"
    assert verdict("PTP", "PTP, random labels") in ("within noise", "equivalent")
    (sps,) = (s for s in found.conclusion if s.startswith("SPS, k = 3, on mrpc, sst2: against BERT_3 +"))
    assert "; against Patient KD +" in sps
    assert ", better; against SPS without shuffle" in sps
    assert sps.endswith("; the paper, with BERT-base, has +3.0 over students without it.")
    assert any(
        s.startswith("PeaBERT_3 beside its rivals, on mrpc, sst2: against KD +") for s in found.conclusion
    )


def test_sizes_are_shown_with_and_without_embeddings(found):
    (plain, pea) = (row for row in found.further["What it costs"].rows if row[1] in ("BERT_3", "PeaBERT_3"))
    total, without_, applied, _, trained, rate = plain[2:]
    assert (pea[2], pea[3]) == (total, without_), "SPS adds no parameter"
    assert total > without_ > 5.3
    assert (applied, pea[4], rate) == (3, 6, "the sweep's")
    assert trained == pytest.approx(3 * 32.0), "of all tasks"


def test_training_is_summed_over_all_tasks_or_not_at_all(whole):
    label = "pea-kd:layers=3"
    made = dataclasses.replace(
        whole, records=[r for r in whole.records if (r.label, r.task) != (label, "rte")]
    )
    costs = findings(made).further["What it costs"]
    found = {row[1]: row[6] for row in costs.rows}
    assert found["PeaBERT_3"] is None
    assert found["BERT_3"] is not None


def test_rows_that_are_no_step_of_the_table_are_named():
    made = board(
        [("finetune", {}, 0.0), ("pea-kd", {"layers": 3}, 0.0), ("pea-kd", {"layers": 3, "shuffle": "both"}, 0.0)],
        seeds=2,
    )  # fmt: skip
    said = "Not shown, since they are none of the table's steps: pea-kd:layers=3,shuffle=both."
    assert said in findings(made).conclusion


def test_label_counts_are_shown_by_task_and_seed(found):
    counts = found.further["Labels of PTP"]
    rows = [row for row in counts.rows if row[1] == "PeaBERT_3"]
    assert [row[2] for row in rows] == list(TASKS)
    assert rows[0][3:7] == ["90 90 90 90 90", "5 5 5 5 5", "3 3 3 3 3", "1 2 3 4 5"]
    assert rows[0][7:] == pytest.approx([100 * 30 / 505, 100 * 465 / 505]), "shares over all seeds"
    assert {row[1] for row in counts.rows} == {"PeaBERT_3", "+ PTP"}, "drawn labels say nothing of a teacher"


def test_a_seed_without_a_result_leaves_its_place_among_the_label_counts(whole):
    gone = ("pea-kd:layers=3", "mrpc", 2)
    fewer = without(whole)
    fewer.records = [r for r in fewer.records if (r.label, r.task, r.seed) != gone]
    rows = findings(fewer).further["Labels of PTP"].rows
    assert next(row for row in rows if row[1:3] == ["PeaBERT_3", "mrpc"])[6] == "1 - 3 4 5"


def test_rates_given_by_task_are_shown_as_they_are():
    rates = {"mrpc": 1e-4, "rte": 5e-5, "sst2": 2e-4}
    made = board(
        [("finetune", {}, 0.0), ("kd", {"layers": 3, "alpha": 0.7, "learning_rate": rates}, 0.0)], seeds=2
    )
    costs = findings(made).further["What it costs"]
    assert [row[-1] for row in costs.rows] == ["the sweep's", "mrpc 0.0001, rte 5e-05, sst2 0.0002"]


def test_a_row_of_a_joined_output_has_rates_of_the_tasks_it_was_run_on():
    """`leanboard join` knows no others where one part alone has the row."""
    made = board(
        [("finetune", {}, 0.0), ("kd", {"layers": 3, "alpha": 0.7, "learning_rate": {"mrpc": 1e-4}}, 0.0)]
    )
    (row,) = records_of(findings(made).table, row="KD", task="average")
    assert row["rate"] == "mrpc 0.0001"


def test_a_whole_model_tuned_at_a_rate_of_its_own_is_the_ceiling():
    rates = {"mrpc": 2e-4, "rte": 1e-4, "sst2": 1e-4}
    rows = [*ABLATION[:1], ("finetune", {"learning_rate": rates}, 0.01), ABLATION[-1]]
    found = findings(board(rows, seeds=2))
    assert [row[1] for row in found.summary.rows] == ["BERT_6, the teacher", "BERT_6, tuned", "PeaBERT_3"]
    (step,) = found.further["What each step changes"].rows
    assert step[1:3] == ["PeaBERT_3", "the tuned ceiling"]
    (row,) = records_of(found.table, task="average", against="finetune:learning_rate=by-task")
    assert row["label"] == "pea-kd:layers=3"


def test_rows_and_trials_that_are_not_there_are_named(whole):
    kept = ("finetune", "pea-kd:layers=3,ptp=False", "pea-kd:layers=3")
    fewer = without(whole, *(m.label for m in whole.sweep.methods if m.label not in kept))
    gone = ("pea-kd:layers=3", "mrpc", 4)
    fewer.records = [r for r in fewer.records if (r.label, r.task, r.seed) != gone]
    found = findings(fewer)
    (absent,) = (s for s in found.conclusion if s.startswith("Rows that this sweep does not have: "))
    assert "BERT_k with k = 3 (`kd: {layers: 3, alpha: 0}`), " in absent
    assert "+ PTP with k = 3 (`pea-kd: {layers: 3, sps: false}`), " in absent
    assert ", KD with k = 3 (`kd: {layers: 3, alpha: 0.7}`), " in absent
    assert absent.endswith(", DistilBERT with k = 3 (`distilbert: {layers: 3}`).")
    assert "Without a result: pea-kd:layers=3 on mrpc seed 4." in found.conclusion
    (step,) = records_of(
        found.table, label="pea-kd:layers=3", against="pea-kd:layers=3,ptp=False", task="average"
    )
    assert (step["verdict"], step["reason"]) == ("none", "mrpc: incomplete: seed 4 (no result) missing")


def test_no_row_of_the_ablation_says_so():
    found = findings(board(ABLATION[:1], seeds=2))
    assert found.figure is None
    assert found.conclusion[0].startswith("No row of this sweep has a part in the ablation")
    assert b"# Pea-KD step by step" in render(found, STUDY)["index.md"]


def test_a_second_row_of_the_same_part_is_left_aside():
    made = board([*ABLATION[:3], ("kd", {"layers": 3, "alpha": 0.2}, 0.0)], seeds=2)
    roles = cast(made.sweep, by_trial(made.records, made.sweep))
    assert roles.rows == {3: {"plain": "kd:layers=3,alpha=0", "kd": "kd:layers=3,alpha=0.7"}}
    assert roles.doubles == ["kd:layers=3,alpha=0.2"]
    assert findings(made).conclusion[-1].endswith("has the same part: kd:layers=3,alpha=0.2.")


def test_pea_kd_without_patience_builds_on_kd():
    rows = [*ABLATION[:4], ("pea-kd", {"layers": 3, "ptp": False, "objective": "kd"}, 0.0)]
    changed = findings(board(rows, seeds=2)).further["What each step changes"].rows
    assert [row[2] for row in changed if row[1] == "SPS"] == ["BERT_3", "KD"]


def test_rows_that_differ_in_more_than_their_step_are_pointed_out(found):
    assert not any("Not comparable" in sentence for sentence in found.conclusion)
    rows = [
        ("finetune", {}, 0.0),
        ("patient-kd", {"layers": 3, "beta": 10.0}, 0.0),
        ("pea-kd", {"layers": 3, "ptp": False, "learning_rate": 1e-5}, 0.0),
        ("pea-kd", {"layers": 3, "sps": False, "ptp_labels": "random", "ptp_epochs": 2.0}, 0.0),
        ("pea-kd", {"layers": 3, "sps": False}, 0.0),
    ]
    said = [s for s in findings(board(rows, seeds=2)).conclusion if s.startswith("Not comparable")]
    more = "differ in more than the step"
    assert said == [
        f"Not comparable, k = 3: SPS and Patient KD {more}: alpha (0.7 and 0.5), beta (100.0 and 10.0).",
        f"Not comparable, k = 3: PTP and Patient KD {more}: alpha (0.7 and 0.5), beta (100.0 and 10.0).",
        f"Not comparable, k = 3: PTP and PTP, random labels {more}: ptp_epochs (4.0 and 2.0).",
        f"Not comparable, k = 3: PTP, random labels and Patient KD {more}: alpha (0.7 and 0.5), "
        "beta (100.0 and 10.0).",
    ]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"init": "finetuned", "take": "skip"}, "init (pretrained and finetuned), take (first and skip)"),
        ({"epochs": 9, "batch_size": 16}, "batch_size (None and 16), epochs (None and 9.0)"),
        ({"learning_rate": 1e-5}, None),
    ],
)
def test_a_bert_that_is_no_student_of_the_same_kind_is_pointed_out(fields, said):
    """The paper's gain is over a BERT_k that is cut and trained as its students are."""
    rows = [
        ("finetune", {}, 0.0),
        ("kd", {"layers": 3, "alpha": 0, **fields}, 0.0),
        ("pea-kd", {"layers": 3, "ptp": False}, 0.0),
    ]
    found = [s for s in findings(board(rows, seeds=2)).conclusion if s.startswith("Not comparable")]
    more = "Not comparable, k = 3: SPS and BERT_3 differ in more than the step"
    assert found == ([f"{more}: {said}."] if said else [])


def test_thresholds_belong_to_the_step_only_where_a_teacher_makes_the_labels():
    rows = [
        ("finetune", {}, 0.0),
        ("pea-kd", {"layers": 3, "sps": False}, 0.0),
        ("pea-kd", {"layers": 3, "sps": False, "ptp_labels": "random"}, 0.0),
        ("pea-kd", {"layers": 3, "preset": "code", "t": 0.9}, 0.0),
    ]
    said = [s for s in findings(board(rows, seeds=2)).conclusion if s.startswith("Not comparable")]
    assert said == [
        "Not comparable, k = 3: PeaBERT_3 and PTP differ in more than the step: preset (code and paper), "
        "t (0.9 and None)."
    ]


def test_layers_are_known_before_a_row_has_run(whole):
    rows = [
        ("finetune", {}, 0.0),
        ("pea-kd", {}, 0.0),
        ("kd", {"take": (1, 6)}, 0.0),
        ("kd", {"student": "x"}, 0.0),
    ]
    made = board(rows, seeds=2)
    made.records = [record for record in made.records if record.label == "finetune"]
    assert cast(made.sweep, by_trial(made.records, made.sweep)).rows == {
        2: {"kd": "kd:take=1+6"},
        3: {"peabert": "pea-kd"},
    }


def test_students_of_several_depths_are_drawn_against_k():
    sizes = [("finetune", {}, 0.0)]
    for k in (1, 2, 3):
        sizes += [("kd", {"layers": k, "alpha": alpha}, 0.02 * k - 0.1) for alpha in (0, 0.7)]
        sizes += [("pea-kd", {"layers": k, **fields}, 0.02 * k - 0.05) for fields in ({"ptp": False}, {})]
    found = findings(board(sizes, tasks={"mrpc": TASKS["mrpc"]}, seeds=2))
    (axes,) = found.figure.axes
    assert axes.get_xlabel() == "layers of the student"
    drawn = {line.get_label(): list(line.get_xdata()) for line in axes.lines}
    assert {name: x for name, x in drawn.items() if x == [1, 2, 3]}.keys() == {
        "BERT_k",
        "+ SPS",
        "PeaBERT_k",
        "KD",
    }
    # With one layer nothing can be patient: PeaBERT's base is then KD, which is no base of deeper ones.
    steps = found.further["What each step changes"].rows
    against = {
        row: [each[2] for each in steps if each[1] == row] for row in ("PeaBERT_1", "PeaBERT_2", "SPS")
    }
    assert against["PeaBERT_1"] == ["SPS", "KD", "BERT_1", "the teacher"]
    assert against["PeaBERT_2"] == ["SPS", "BERT_2", "KD", "the teacher"]
    assert against["SPS"] == ["BERT_1", "KD", "BERT_2", "BERT_3"]
    (sps,) = (sentence for sentence in found.conclusion if sentence.startswith("SPS, k = 1, on mrpc: "))
    assert "against BERT_1 " in sps
    assert "against KD " in sps
    (absent,) = (s for s in found.conclusion if s.startswith("Rows that this sweep does not have: "))
    assert "Patient KD with k = 2, 3 (`patient-kd: {layers: 2, alpha: 0.7}`), " in absent
    alone = "`pea-kd: {layers: 1, sps: false, objective: kd}`"
    assert f"+ PTP with k = 1, 2, 3 ({alone} and `pea-kd: {{layers: 2, sps: false}}`), " in absent


def test_steps_have_a_panel_for_each_task(found):
    figure = found.figure
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "MRPC",
        "RTE (start model collapsed)",
        "SST-2",
    ]
    ticks = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert ticks[0] == "BERT_3"
    assert len(ticks) == 10
    page = render(found, STUDY)["index.md"].decode()
    assert (
        page.index("## What each step changes")
        < page.index("## What it costs")
        < page.index("## Labels of PTP")
    )
