from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from boards import METHODS, TASKS, make, predictions

from reports.board import Leaderboard
from reports.leaderboard import build
from reports.metrics import score
from reports.predictions import Predictions
from reports.tables import to_csv, to_json, to_markdown

DRAWS = 1000


def built(board, **changes) -> Leaderboard:
    arguments = {"failures": board.failures, "latencies": board.latencies, "replicates": DRAWS} | changes
    return build(board.records, board.predictions, board.sweep, **arguments)


def row(leaderboard, label, task):
    rows = leaderboard.overall if task == "overall" else leaderboard.rows
    return next(r for r in rows if (r.label, r.task) == (label, task))


@pytest.fixture(scope="module")
def whole():
    return built(make(faults=False))


@pytest.fixture(scope="module")
def faulty():
    return built(make(faults=True))


def test_every_label_and_task_has_a_row(whole, faulty):
    for leaderboard in (whole, faulty):
        assert {(r.label, r.task) for r in leaderboard.rows} == {(m, t) for m in METHODS for t in TASKS}
        assert {r.label for r in leaderboard.overall} == set(METHODS)
    assert whole.complete
    assert (whole.trials, whole.planned) == (150, 150)


def test_figures_of_a_row(whole):
    board = make(faults=False)
    found = row(whole, "kd:layers=3", "mrpc")
    records = [r for r in board.records if (r.label, r.task) == ("kd:layers=3", "mrpc")]
    base = [r for r in board.records if (r.label, r.task) == ("finetune", "mrpc")]
    scores = np.array([100 * r.scores["f1"] for r in records])
    differences = scores - [100 * r.scores["f1"] for r in base]
    assert found.seeds == [1, 2, 3, 4, 5]
    assert found.scores == pytest.approx(scores)
    assert (found.median, found.mean, found.std) == pytest.approx(
        (np.median(scores), scores.mean(), scores.std(ddof=1))
    )
    assert found.other_metrics["accuracy"] == pytest.approx(
        100 * np.median([r.scores["accuracy"] for r in records])
    )
    assert (found.delta, found.median_delta) == pytest.approx((differences.mean(), np.median(differences)))
    assert found.ci[0] < found.delta < found.ci[1]
    assert -found.ci[0] > found.loses_at_most > -found.delta, (
        "a one-sided bound is nearer than the interval's"
    )
    assert (found.parameters, found.encoder_parameters) == (17_200_000, 5_300_000)
    assert found.compression == pytest.approx(22.5 / 17.2)
    assert found.latency_ms == pytest.approx({"1": 0.6 * 5.3, "16": 5.1 * 5.3})
    assert found.latency.seed == 1
    assert found.training.seconds == 98
    assert found.unit == "points"
    assert whole.majority["mrpc"] == pytest.approx(81.1, abs=0.3)
    assert whole.majority["cola"] == 0
    assert {"combined", "t_test", "bootstrap", "equivalence", "sign_flip"} == set(found.tests)
    assert set(row(whole, "kd:layers=3", "sst2").tests["mcnemar"]["p_by_seed"]) == set("12345")


def test_known_effects_are_found(whole):
    assert row(whole, "random-heads:heads=0.5", "overall").verdict == "worse"
    assert row(whole, "kd:layers=3", "overall").verdict == "worse"
    assert row(whole, "finetune-more", "overall").verdict in ("equivalent", "within noise")
    baseline = row(whole, "finetune", "overall")
    assert (baseline.verdict, baseline.reason, baseline.delta) == ("none", "the baseline", None)
    assert "on these 5 tasks" in row(whole, "kd:layers=3", "overall").reason


def test_overall_is_the_mean_of_the_tasks(whole):
    cells = [row(whole, "kd:layers=3", task) for task in TASKS]
    overall = row(whole, "kd:layers=3", "overall")
    assert overall.delta == pytest.approx(np.mean([c.delta for c in cells]))
    assert overall.scores == pytest.approx(np.mean([c.scores for c in cells], axis=0))
    variances = [c.tests["combined"]["variance_seeds"] for c in cells]
    assert overall.tests["combined"]["variance_seeds"] == pytest.approx(sum(variances) / 25)
    nu = sum(variances) ** 2 / sum(v**2 / 4 for v in variances)
    assert overall.tests["combined"]["df"] == pytest.approx(nu)


def test_families(whole):
    cells = [r for r in whole.rows if r.label != "finetune"]
    p = np.array([r.tests["combined"]["p"] for r in cells])
    order = np.argsort(p)
    steps = p[order] * len(p) / np.arange(1, len(p) + 1)
    expected = np.minimum.accumulate(steps[::-1])[::-1]
    np.testing.assert_allclose(
        [cells[i].tests["combined"]["p_adjusted"] for i in order], np.minimum(expected, 1)
    )
    assert all(r.tests["combined"]["p_holm"] >= r.tests["combined"]["p_adjusted"] for r in cells)
    rows = [r for r in whole.overall if r.label != "finetune"]
    smallest = min(rows, key=lambda r: r.tests["combined"]["p"]).tests["combined"]
    assert smallest["p_adjusted"] == pytest.approx(min(1, 5 * smallest["p"]))
    assert smallest["correction"] == "holm"


def test_ranks_are_by_median_with_intervals(whole):
    for task in TASKS:
        rows = whole.of(task)
        medians = [r.median for r in rows]
        assert medians == sorted(medians, reverse=True)
        assert rows[0].rank == 1
        assert all(1 <= r.rank_interval[0] <= r.rank_interval[1] <= 6 for r in rows)


def test_faults_are_named_and_get_no_verdict(faulty):
    assert not faulty.complete
    assert {(m.label, m.task, m.seed, m.kind) for m in faulty.missing} == {
        ("kd:layers=3", "sst2", 2, "diverged"),
        ("finetune-more", "cola", 5, "not run"),
    }
    failed = row(faulty, "kd:layers=3", "sst2")
    assert (failed.verdict, failed.seeds, failed.missing) == ("none", [1, 3, 4, 5], [2])
    assert "incomplete: seed 2 (diverged)" in failed.reason
    overall = row(faulty, "kd:layers=3", "overall")
    assert overall.reason.startswith("sst2: incomplete: seed 2 (diverged)"), "only on this task"
    assert (failed.rank, failed.rank_interval) == (None, None)
    ranks = sorted(r.rank for r in faulty.of("sst2") if r.rank)
    assert ranks == list(range(1, len(faulty.of("sst2"))))
    assert failed.delta is not None, "what there is stays visible"
    teacher = row(faulty, "sixteen-heads:heads=0.3", "rte")
    assert (teacher.verdict, teacher.teacher_collapsed) == ("none", [4])
    assert teacher.reason == "the start model collapsed (seed 4)"
    collapsed = row(faulty, "shared-layers:groups=2", "cola")
    assert (collapsed.collapsed, collapsed.collapsed_seeds) == (1, [3])
    assert (collapsed.verdict, collapsed.reason[:26]) == ("within noise", "depends on a collapsed run")


def test_a_task_with_a_collapsed_start_model_leaves_the_overall_score_for_all(faulty):
    assert faulty.averaged == ["mrpc", "sst2", "qnli", "cola"]
    assert faulty.left_out == {"rte": "the start model collapsed (seed 4)"}
    assert row(faulty, "sixteen-heads:heads=0.3", "overall").verdict == "worse"
    assert row(faulty, "kd:layers=3", "overall").verdict == "none"
    assert "rte" not in row(faulty, "finetune", "overall").metric


def test_pairs_are_made_by_seed_never_by_position():
    board = make(faults=False, tasks={"sst2": TASKS["sst2"]})
    lost = [r for r in board.records if (r.label, r.seed) in {("kd:layers=3", 1), ("finetune", 4)}]
    board.records = [r for r in reversed(board.records) if r not in lost]
    found = row(built(board), "kd:layers=3", "sst2")
    scores = {(r.label, r.seed): 100 * r.scores["accuracy"] for r in board.records}
    common = [scores["kd:layers=3", s] - scores["finetune", s] for s in (2, 3, 5)]
    assert found.delta == pytest.approx(np.mean(common))
    assert found.tests["t_test"]["df"] == 2
    assert found.verdict == "none"


def test_one_seed_has_an_interval_over_examples_and_no_verdict():
    found = row(built(make(faults=False, seeds=1)), "kd:layers=3", "sst2")
    assert (found.verdict, found.std, found.detectable, found.rank_interval) == ("none", None, None, None)
    assert "one seed" in found.reason
    assert found.ci == pytest.approx(tuple(found.tests["bootstrap"]["ci"]))
    assert found.tests["combined"]["p"] is None
    overall = row(built(make(faults=False, seeds=1)), "kd:layers=3", "overall")
    assert overall.verdict == "none"
    assert overall.ci is not None


def test_identical_predictions_are_equivalent():
    board = make(faults=False, tasks={"sst2": TASKS["sst2"]})
    for record in board.records:
        if record.label == "finetune-more":
            twin = next(r for r in board.records if (r.label, r.seed) == ("finetune", record.seed))
            board.saved[record.fingerprint] = board.saved[twin.fingerprint]
    board.records = [
        r.model_copy(update={"scores": score(p.labels, p.logits, ["accuracy"])})
        for r in board.records
        for p in [board.predictions(r)]
    ]
    found = row(built(board), "finetune-more", "sst2")
    assert (found.verdict, found.delta, found.ci) == ("equivalent", 0, (0, 0))
    assert "identical" in found.reason


def test_a_label_without_any_record_still_has_its_row():
    board = make(faults=False)
    board.records = [r for r in board.records if r.label != "kd:layers=3"]
    leaderboard = built(board)
    found = row(leaderboard, "kd:layers=3", "rte")
    assert (found.scores, found.median, found.rank, found.verdict) == ([], None, None, "none")
    assert found.missing == [1, 2, 3, 4, 5]
    assert row(leaderboard, "kd:layers=3", "overall").median is None
    assert leaderboard.of("rte")[-1].label == "kd:layers=3"
    assert row(leaderboard, "random-heads:heads=0.5", "overall").verdict == "worse", "others are judged"


def test_no_record_at_all():
    board = make(faults=False)
    board.records = []
    leaderboard = built(board)
    assert not leaderboard.complete
    assert leaderboard.finished is None
    assert json.loads(to_json(leaderboard))["overall"][0]["median"] is None
    assert "INCOMPLETE" in to_markdown(leaderboard)


def test_a_baseline_that_collapses_is_no_measure():
    board = make(faults=False, tasks={"sst2": TASKS["sst2"]})
    for record in board.records:
        if record.label == "finetune":
            saved = board.saved[record.fingerprint]
            constant = np.tile(np.float32([0, 1]), (len(saved.labels), 1))
            board.saved[record.fingerprint] = Predictions(saved.index, saved.labels, constant)
    board.records = [
        r.model_copy(update={"collapse": r.collapse.model_copy(update={"collapsed": True})})
        if r.label == "finetune"
        else r
        for r in board.records
    ]
    found = row(built(board), "kd:layers=3", "sst2")
    assert found.verdict == "none"
    assert "the baseline collapsed" in found.reason


def test_contradictions_are_refused():
    board = make(faults=False, tasks={"sst2": TASKS["sst2"]})
    with pytest.raises(ValueError, match="two records"):
        build([*board.records, board.records[0]], board.predictions, board.sweep)
    with pytest.raises(ValueError, match="baseline"):
        build(board.records, board.predictions, board.sweep.model_copy(update={"baseline": "kd"}))
    fingerprint = board.records[3].fingerprint
    rng = np.random.default_rng(0)
    board.saved[fingerprint] = predictions(np.zeros(872, int), 0.5, rng, rng.normal(size=872))
    with pytest.raises(ValueError, match="other examples"):
        built(board)


def test_the_last_failure_counts_and_old_failures_of_finished_trials_do_not():
    board = make(faults=True, tasks={"sst2": TASKS["sst2"]})
    again = board.failures[0].model_copy(update={"kind": "oom", "ended": 9.0})
    cured = board.failures[0].model_copy(update={"seed": 1})
    found = built(board, failures=[again, *board.failures, cured])
    assert [m.kind for m in found.missing if m.label == "kd:layers=3"] == ["oom"]


def test_latencies_of_different_machines_are_never_mixed():
    board = make(faults=False, tasks={"sst2": TASKS["sst2"]})
    other = [m.model_copy(update={"machine": "Other"}) for m in board.latencies[:2]]
    assert {r.latency.machine for r in built(board).rows} == {"Example CPU, 2 cores"}
    with pytest.raises(ValueError, match="never compared across machines and settings: Example CPU"):
        built(board, latencies=[*other, *board.latencies])


def test_the_same_records_give_the_same_board_in_any_order(faulty):
    board = make(faults=True)
    board.records.reverse()
    assert to_json(built(board)) == to_json(faulty)


# --- files --------------------------------------------------------------------------------------------


def test_json_is_strict_and_complete(faulty):
    def refuse(constant):
        raise AssertionError(constant)

    content = json.loads(to_json(faulty), parse_constant=refuse)
    assert Leaderboard.model_validate(content) == faulty
    named = (
        "label method params family task metric seeds scores median mean std min max collapsed parameters "
        "compression flops latency_ms delta median_delta ci tests verdict reason rank unit loses_at_most"
    )
    for found in (*content["rows"], *content["overall"]):
        assert set(named.split()) <= set(found)
        assert found["verdict"] in ("better", "worse", "equivalent", "within noise", "none")
        assert found["reason"]


def test_csv_round_trip(faulty):
    lines = list(csv.DictReader(io.StringIO(to_csv(faulty))))
    rows = [*faulty.overall, *faulty.rows]
    assert [(line["label"], line["task"]) for line in lines] == [(r.label, r.task) for r in rows]
    for line, expected in zip(lines, rows, strict=True):
        assert json.loads(line["scores"]) == expected.scores
        assert json.loads(line["params"]) == expected.params
        assert line["verdict"] == expected.verdict
        assert (float(line["delta"]) if line["delta"] else None) == expected.delta
        assert float(line["latency_ms_16"]) == expected.latency_ms["16"]


def test_markdown_round_trip(faulty):
    text = to_markdown(faulty)
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("| rank")]
    assert len(tables) == 6
    for name, table in zip(["overall", *TASKS], tables, strict=True):
        assert len({len(line) for line in table}) == 1, "columns line up"
        assert max(len(line) for line in table) <= 160
        rows = faulty.overall if name == "overall" else faulty.of(name)
        for line, expected in zip(table[2:], rows, strict=True):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            assert cells[1] == expected.label
            assert float(cells[2].split()[0]) == pytest.approx(expected.median, abs=0.051)
            if expected.delta is not None:
                assert float(cells[3].split()[0]) == pytest.approx(expected.delta, abs=0.051)
    assert "kd:layers=3, sst2, seed 2: diverged: training loss is NaN" in text


def test_needs_no_training_stack(tmp_path):
    script = """
import importlib.abc, sys
class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "ray", "mlflow", "transformers", "datasets", "tasks", "methods"}:
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Block())
from boards import TASKS, make
from reports.leaderboard import build
from reports.render import render
from pathlib import Path
board = make(tasks={"sst2": TASKS["sst2"]})
leaderboard = build(board.records, board.predictions, board.sweep, replicates=200)
for name, content in render(leaderboard).items():
    path = Path(sys.argv[1], name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
"""
    here = Path(__file__).parent
    run = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        env={"PYTHONPATH": f"{here}:{here.parent.parent}", "HOME": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert {p.name for p in tmp_path.glob("leaderboard.*")} == {
        f"leaderboard.{kind}" for kind in ("html", "md", "csv", "json")
    }


def test_records_and_metrics_import_lightly():
    code = (
        "import sys, reports.record, reports.metrics, reports.board;"
        "print([m for m in ('scipy', 'pandas', 'matplotlib') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "[]"
