"""Reports of studies from synthetic records, and the statistics in them against the libraries'."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests
from study_records import EXAMPLES, TASK, Made, ablation, broken, check_files, right, rows, study, sweep

from reports.board import TaskFacts
from reports.decisions import Decisions
from reports.metrics import cross_entropy
from reports.record import Collapse, Record
from reports.statistics.correlation import correlate
from reports.statistics.paired import example_t_test
from reports.studies import (
    head_ablation,
    layerwise,
    one_head,
    pruning_curve,
    pruning_speed,
    training_dynamics,
    transfer,
)
from reports.studies.content import Findings, Table, render
from reports.studies.effects import effects

DRAWS = 500


# -- statistics ------------------------------------------------------------------------------------------


def test_the_t_test_over_examples_is_scipys():
    rng = np.random.default_rng(0)
    for _ in range(20):
        own, base = rng.random((2, 60)) < 0.7
        expected = stats.ttest_rel(own.astype(float), base.astype(float)).pvalue
        assert example_t_test(own, base) == pytest.approx(expected, rel=1e-9)
    assert example_t_test(base, base) == 1.0
    assert example_t_test(np.ones(5, bool), np.zeros(5, bool)) == 0.0


@pytest.mark.parametrize("r", [-0.5, 0.0, 0.68, 0.95])
def test_correlation_reproduces_r_and_agrees_with_scipy(r):
    rng = np.random.default_rng(1)
    x = rng.normal(size=4000)
    y = r * x + np.sqrt(1 - r**2) * rng.normal(size=4000)
    found = correlate(x, y, np.random.default_rng(2), 200)
    assert found.pearson == pytest.approx(r, abs=0.05)
    assert found.pearson == pytest.approx(stats.pearsonr(x, y).statistic)
    assert found.spearman == pytest.approx(stats.spearmanr(x, y).statistic)
    assert found.pearson_interval[0] < r + 0.03
    assert found.pearson_interval[1] > r - 0.03


def test_the_interval_of_a_correlation_covers_the_truth_about_as_often_as_it_says():
    covered = 0
    for number in range(100):
        rng = np.random.default_rng(number)
        x = rng.normal(size=72)
        y = 0.6 * x + 0.8 * rng.normal(size=72)
        low, high = correlate(x, y, rng, 400).pearson_interval
        covered += low <= 0.6 <= high
    assert 86 <= covered <= 100


def test_ties_share_ranks_and_what_does_not_vary_has_no_correlation():
    x, y = np.array([0.0, 0, 1, 2, 2, 5]), np.array([1.0, 0, 0, 3, 3, 3])
    rng = np.random.default_rng(0)
    assert correlate(x, y, rng, 50).spearman == pytest.approx(stats.spearmanr(x, y).statistic)
    assert correlate(x, np.ones(6), rng) is None
    assert correlate(x[:2], y[:2], rng) is None


def test_cross_entropy_is_the_mean_of_minus_log_probability():
    logits, labels = np.array([[1.0, 3.0], [700.0, -700.0], [0.0, 0.0]]), np.array([1, 0, 1])
    expected = -np.log(np.array([np.exp(3) / (np.e + np.exp(3)), 1.0, 0.5])).mean()
    assert cross_entropy(labels, logits) == pytest.approx(expected)


def test_effects_pair_by_seed_and_average_draws_inside_it():
    labels = np.arange(EXAMPLES) % 2

    def made(correct):
        classes = np.where(correct, labels, 1 - labels)
        return Decisions(np.arange(EXAMPLES), labels, classes, 2)

    rng = np.random.default_rng(0)
    bases = [right(0.8, rng), right(0.7, rng)]
    drawn = [[broken(base, 50, rng), broken(base, 100, rng)] for base in bases]
    variants = {"x": [[made(one) for one in draws] for draws in drawn]}
    found = effects("t", "accuracy", [made(base) for base in bases], variants, replicates=DRAWS)["x"]
    assert found.changes == pytest.approx([-15.0, -15.0])
    assert found.low < -15 < found.high
    assert found.p < 0.001
    same = effects("t", "accuracy", [made(bases[0])], {"y": [[made(bases[0])]]}, replicates=DRAWS)["y"]
    assert (same.mean, same.p, same.low, same.high) == (0, 1, 0, 0)


# -- head-ablation ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ablated() -> tuple[Made, Findings]:
    effect = {(0, 1): 120, (1, 2): -60}
    # Seeds that agree to the last example would leave no doubt about the smallest effect.
    made = ablation(lambda seed, layer, head: effect.get((layer, head), 0) + 2 * (seed - 2))
    facts = study("head-ablation")
    return made, head_ablation.report(facts, sweep(), made.records, made.read, replicates=DRAWS)


def test_heads_that_matter_and_heads_that_hurt_are_counted(ablated):
    _, findings = ablated
    page = check_files(findings, "head-ablation")
    assert "4 of 6 heads can each go alone" in page
    assert "1 matter (1 by Benjamini-Hochberg) and 1 hurt" in page
    assert "Largest loss -24.00 (0.1) points" in page
    assert "in the median seed 1 heads matter and 1 hurt" in page


def test_every_head_has_the_change_and_p_values_of_every_test(ablated):
    made, findings = ablated
    table = rows(findings.table)
    assert len(table) == 6 * (1 + 3 * 2)
    for record in made.records:
        read = made.read(record)
        correct = {name: one.classes == one.labels for name, one in read.items()}
        base = correct.pop("unpruned")
        raw = {"McNemar": [], "t-test": []}
        for own in correct.values():
            counts = [[(own & base).sum(), (own & ~base).sum()], [(~own & base).sum(), (~own & ~base).sum()]]
            raw["McNemar"].append(reference_mcnemar(counts, exact=True).pvalue)
            same = np.array_equal(own, base)  # Where scipy has no p.
            paired = stats.ttest_rel(own.astype(float), base.astype(float)).pvalue
            raw["t-test"].append(1.0 if same else paired)
        for test, expected in raw.items():
            own_rows = [row for row in table if row["seed"] == str(record.seed) and row["test"] == test]
            found = {key: [float(row[key]) for row in own_rows] for key in ("p", "p_holm", "p_bh")}
            assert found["p"] == pytest.approx(expected, rel=1e-4)
            assert found["p_holm"] == pytest.approx(multipletests(expected, method="holm")[1], rel=1e-4)
            assert found["p_bh"] == pytest.approx(multipletests(expected, method="fdr_bh")[1], rel=1e-4)
            changes = [100 * (own.mean() - base.mean()) for own in correct.values()]
            assert [float(row["change"]) for row in own_rows] == pytest.approx(changes, rel=1e-4)


def test_one_seed_is_tested_over_examples():
    made = ablation(lambda seed, layer, head: 100 * (head == 0), seeds=1)
    findings = head_ablation.report(
        study("head-ablation"), sweep(seeds=1), made.records, made.read, replicates=DRAWS
    )
    assert "1 seed: 4 of 6 heads" in findings.conclusion[0]


def test_a_metric_that_is_no_mean_is_reported_and_correctness_tested():
    task = TASK.model_copy(update={"primary": "matthews"})
    made = ablation(lambda seed, layer, head: 60 * (layer == 1) + seed - 2, task=task)
    findings = head_ablation.report(
        study("head-ablation"), sweep(task), made.records, made.read, replicates=DRAWS
    )
    # Tests of single models compare right with wrong, whatever the metric, and say what moved.
    metrics = {(row["test"], row["metric"]) for row in rows(findings.table)}
    assert metrics == {("combined", "matthews"), ("McNemar", "accuracy"), ("t-test", "accuracy")}
    assert "3 matter" in findings.conclusion[0]


def test_a_head_whose_removal_makes_more_right_never_counts_as_one_that_matters():
    """Without it the answer is always 1: with 70 % of ones accuracy rises, and Matthews falls to 0."""
    made = Made()
    task = TASK.model_copy(update={"primary": "matthews"})
    gold = np.diff(np.floor(0.7 * np.arange(EXAMPLES + 1))).astype(bool)
    for seed in (1, 2):
        rng = np.random.default_rng(seed)
        base = np.where(gold, rng.random(EXAMPLES) < 0.5, rng.random(EXAMPLES) < 0.8)
        variants = {"unpruned": ({}, base), "0.0": ({"layer": 0, "head": 0}, gold)}
        made.add(seed, variants, task, ones=0.7)
    findings = head_ablation.report(
        study("head-ablation"), sweep(task, seeds=2), made.records, made.read, replicates=DRAWS
    )
    single = [row for row in rows(findings.table) if row["test"] == "McNemar"]
    assert all(float(row["change"]) > 0 and float(row["p_holm"]) < 0.05 for row in single)
    assert all(float(row["change"]) < -10 for row in rows(findings.table) if row["test"] == "combined")
    assert "in the median seed 0 heads matter and 1 hurt" in findings.conclusion[1]


# -- the others ------------------------------------------------------------------------------------------


def test_one_head_says_in_which_layers_it_is_enough():
    made = Made()
    for seed in (1, 2, 3):
        rng = np.random.default_rng(seed)
        base = right(0.8, rng)
        variants = {"unpruned": ({}, base)}
        for layer, loss in enumerate((0, 90, 20 * (seed - 2))):
            variants[str(layer)] = ({"layer": layer, "head": seed % 2}, broken(base, loss, rng))
        made.add(seed, variants)
    findings = one_head.report(study("one-head"), sweep(), made.records, made.read, replicates=DRAWS)
    page = check_files(findings, "one-head")
    # Layer 2 loses nothing on average, and its seeds differ too much to show it.
    assert "of 3 layers, one head is shown to be enough in 1 (loses less than 3 points" in page
    assert "loses significantly after Holm in 1 (layer 1)" in page
    assert "| 3 of 3" in page
    assert [row["head"] for row in rows(findings.table) if row["layer"] == "0"] == ["1", "0", "1"]


def test_transfer_finds_heads_that_matter_on_both_domains():
    made = Made()
    for seed in (1, 2):
        rng = np.random.default_rng(seed)
        base = right(0.8, rng)
        variants = {"unpruned": ({}, base)}
        for head in range(12):
            own = broken(base, 8 * head, rng, slice(0, 250))
            facts = {"layer": 0, "head": head}
            variants[f"0.{head}"] = (facts, broken(own, 6 * head + 3 * (head % 3), rng, slice(250, 500)))
        made.add(seed, variants)
    findings = transfer.report(study("transfer"), sweep(), made.records, made.read, replicates=DRAWS)
    page = check_files(findings, "transfer")
    assert "in-domain (250 examples) against out-of-domain (250)" in page
    assert "heads that matter on one tend to matter on the other" in page
    found = rows(findings.table)
    x, y = (
        [float(row["change"]) for row in found if (row["seed"], row["domain"]) == ("1", domain)]
        for domain in TASK.domains
    )
    assert x == pytest.approx([-8 * head / 2.5 for head in range(12)])
    (line,) = [line for line in findings.summary.rows if line[1] == "1"]
    assert line[3] == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-4)
    assert line[6] == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-4)


def test_transfer_divides_where_it_is_told_and_leaves_out_what_has_no_rows():
    made = ablation(lambda seed, layer, head: 10 * head)
    told = transfer.report(study("transfer", first=100), sweep(), made.records, made.read, replicates=50)
    assert "first (100 examples) against second (400)" in told.conclusion[0]
    far = TASK.model_copy(update={"domains": {"one": (0, 500), "two": (500, 900)}})
    left = transfer.report(study("transfer"), sweep(far), made.records, made.read, replicates=50)
    assert left.conclusion == ["CoLA is left out: a domain of it has no rows here."]
    assert "figure.svg" not in render(left, study("transfer"))


def _curve_record(made: Made, seed: int) -> None:
    rng = np.random.default_rng(seed)
    base = right(0.8, rng)
    losses = {
        "importance": 5 * (seed - 2),
        "ablation": seed - 2,
        "magnitude": 20,
        "reverse": 60,
        "random": 12,
    }
    variants = {}
    for order, loss in losses.items():
        for draw in range(2 if order == "random" else 1):
            for k in range(6):
                facts = {"order": order, "draw": draw, "share": k / 5, "heads": 2 * k}
                count = (loss + 4 * draw) * k + (200 if k == 5 else 0)
                variants[f"{order}.{draw}.{k}"] = (facts, broken(base, min(count, base.sum()), rng))
    made.add(seed, variants)


def test_the_pruning_curve_says_where_the_loss_begins():
    made = Made()
    for seed in (1, 2, 3):
        _curve_record(made, seed)
    findings = pruning_curve.report(
        study("pruning-curve"), sweep(), made.records, made.read, replicates=DRAWS
    )
    page = check_files(findings, "pruning-curve")
    # Importance changes by -1, 0 and +1 % a step: the noise of its seeds takes it below the margin of 3
    # points before any loss is significant.
    within = {row[1]: row[8] for row in findings.summary.rows}
    assert within == {
        "importance": "20%",
        "ablation": "80%",
        "magnitude": "0%",
        "reverse": "0%",
        "random": "0%",
    }
    assert "less than 3 points are shown to be lost: importance 20%, ablation 80%" in page
    first = {row[1]: row[7] for row in findings.summary.rows}
    assert first["reverse"] == "20%"
    assert first["ablation"] == "100%"
    table = rows(findings.table)
    assert len(table) == 5 * 6
    at = {(row["order"], row["share"]): row for row in table}
    assert float(at["importance", "0"]["change"]) == 0
    assert float(at["importance", "0"]["p_holm"]) == 1
    # Two draws that lose 12 and 16 examples a step, averaged in each seed.
    assert float(at["random", "0.4"]["change"]) == pytest.approx(-100 * 28 / EXAMPLES)
    adjusted = [float(at["magnitude", f"{k / 5:g}"]["p_holm"]) for k in range(1, 6)]
    raw = [float(at["magnitude", f"{k / 5:g}"]["p"]) for k in range(1, 6)]
    assert adjusted == pytest.approx(multipletests(raw, method="holm")[1], rel=1e-4, abs=1e-12)


def test_a_loss_that_is_significant_once_does_not_stand_for_larger_shares():
    made = Made()
    for seed in (1, 2, 3):
        rng = np.random.default_rng(seed)
        base = right(0.8, rng)
        variants = {}
        for order in pruning_curve.ORDERS:
            for share, loss in ((0.0, 0), (0.5, 80 + seed), (1.0, 2 * (seed - 2))):
                facts = {"order": order, "draw": 0, "share": share, "heads": 2 * share}
                variants[f"{order}.{share}"] = (facts, broken(base, loss, rng))
        made.add(seed, variants)
    facts = study("pruning-curve")
    (said,) = pruning_curve.report(facts, sweep(), made.records, made.read, replicates=DRAWS).conclusion
    assert "by importance the loss is first significant at 50% (-1" in said
    assert "less than 3 points are shown to be lost: importance 0%" in said


def _speed_record(gain: float) -> Record:
    made = Made()
    sizes, speed = {}, {"128": {"1": {}, "64": {}}}
    for number, share in enumerate(("0", "0.5")):
        sizes[share] = {
            "heads": 72 - 36 * number,
            "parameters": {"total": 1000 - 100 * number, "encoder": 800 - 100 * number, "embeddings": 100},
            "checkpoint_bytes": 4_000_000 - 400_000 * number,
            "flops": {"128": 121.0 - 21 * number},
        }
        for batch in ("1", "64"):
            median = 10.0 / (1 + gain * number)
            speed["128"][batch][share] = {
                "median_ms": median, "q1_ms": 0.9 * median, "q3_ms": 1.1 * median, "repeats": 11,
            }  # fmt: skip
    per_head = {"head": 5, "attention": 60, "layer": 200, "all_heads": 360, "total": 1000}
    notes = {"sizes": sizes, "speed": speed, "per_head": per_head, "attention": "sdpa"}
    made.add(
        1, {}, notes=notes, environment={"processor": "a CPU", "threads": 1, "libraries": {"torch": "2"}}
    )
    return made.records[0]


def test_pruning_speed_compares_the_gain_with_the_ideal_one():
    findings = pruning_speed.report(study("pruning-speed"), sweep(), [_speed_record(0.175)], dict)
    page = check_files(findings, "pruning-speed")
    assert "With 50% of the heads really removed, 128 tokens: +17.5%" in page
    assert "the FLOPs allow +21.0%" in page
    assert "8.3% of its attention layer" in page
    assert "a CPU, 1 thread(s), torch 2, sdpa attention" in page
    assert "## Gains" in page
    assert "looked into" not in page
    assert "90.0%" in page
    by = {(row["batch"], row["share"]): row for row in rows(findings.table)}
    assert float(by["64", "0"]["examples_per_second"]) == pytest.approx(6400)
    assert float(by["64", "0.5"]["ideal_gain"]) == pytest.approx(0.21)


def test_a_gain_above_the_ideal_is_pointed_out():
    findings = pruning_speed.report(study("pruning-speed"), sweep(), [_speed_record(0.3)], dict)
    assert any(
        "to be looked into: 128 tokens x 1 at 50%, 128 tokens x 64 at 50%" in s for s in findings.conclusion
    )


def test_training_dynamics_compares_checkpoints_with_themselves():
    made = Made()
    for seed in (1, 2):
        rng = np.random.default_rng(seed)
        variants = {}
        for percent, share_right, loss in ((10, 0.6, 40), (100, 0.9, 5)):
            base = right(share_right, rng)
            for k in range(6):
                facts = {"percent": percent, "step": percent, "share": k / 5, "heads": k}
                variants[f"{percent}.{k}"] = (facts, broken(base, loss * k, rng))
        made.add(seed, variants)
    findings = training_dynamics.report(study("training-dynamics"), sweep(), made.records, made.read)
    page = check_files(findings, "training-dynamics")
    kept = (300 - 80) / 300, (450 - 10) / 450
    assert f"10 % of training {kept[0]:.0%}, 100 % of training {kept[1]:.0%}" in page
    assert len(rows(findings.table)) == 2 * 2 * 6
    assert [row[1] for row in findings.summary.rows] == ["10", "100"]


def _trial(label: str, seed: int, score: float, stages: dict[str, float]) -> Record:
    made = Made()
    made.add(
        seed,
        {},
        kind="trial",
        label=label,
        scores={"accuracy": score},
        stages={name: {"accuracy": value} for name, value in stages.items()},
    )
    return made.records[0]


def test_layerwise_lines_up_every_method_with_the_start_model():
    records = []
    for seed in (1, 2):
        records.append(_trial("finetune", seed, 0.8, {}))
        records.append(
            _trial("auber", seed, 0.83, {"layer-0": 0.81, "layer-1": 0.82, "layer-10": 0.83, "final": 0.1})
        )
        records.append(_trial("random:x=1", seed, 0.7, {"layer-0": 0.75, "layer-1": 0.7}))
    findings = layerwise.report(study("layerwise"), sweep(), records, dict)
    page = check_files(findings, "layerwise")
    assert "auber: after all 11 layers +3.0 points" in page
    assert "random: after all 2 layers -10.0 points" in page
    heads = ["task", "method", "seeds", *map(str, range(12)), "change at the end"]
    assert findings.summary.columns == heads
    assert findings.summary.rows[0][:6] == ["cola", "auber", 2, *map(pytest.approx, (80, 81, 82))]
    assert findings.summary.rows[1][5:] == [pytest.approx(70), *[None] * 9, pytest.approx(-10)]
    table = rows(findings.table)
    assert {row["label"] for row in table} == {"auber", "random:x=1"}
    own = [row for row in table if (row["label"], row["seed"]) == ("auber", "1")]
    assert [row["layers"] for row in own] == ["0", "1", "2", "11"]
    assert [float(row["change"]) for row in own] == pytest.approx([0, 1, 2, 3])


def test_layerwise_begins_with_the_start_model_whatever_the_baseline():
    records = [_trial("finetune", 1, 0.8, {}), _trial("finetune-more", 1, 0.9, {})]
    records.append(_trial("auber", 1, 0.83, {"layer-0": 0.83}))
    other = sweep().model_copy(update={"baseline": "finetune-more"})
    page = check_files(layerwise.report(study("layerwise"), other, records, dict), "layerwise")
    assert "auber: after all 1 layers +3.0 points" in page
    assert "the record of finetune." in page


def test_layerwise_weighs_pruning_against_the_training_after_it():
    def layer(unpruned, removed, greedy, best=9.0):
        masks = {"greedy": {"removed": removed, "gain": greedy}, "best": {"removed": [7], "gain": best}}
        return {"unpruned": unpruned, "removed": removed, **masks}

    # Of the second layer nothing is removed, the third has one head, the last no measured training after it.
    layers = [layer(0.80, [1], -3.0), layer(0.82, [], 0.0), {"removed": []}, layer(0.82, [2], -1.0)]
    layers += [
        layer(0.80, [7], -5.0, best=4.0) | {"greedy": {"removed": [3], "gain": -5.0}},
        layer(0.8, [1], 2.0),
    ]
    records = [_trial("finetune", 1, 0.8, {}), _trial("auber", 1, 0.8, {"layer-0": 0.8})]
    records[1] = records[1].model_copy(update={"notes": {"layers": layers}})
    findings = layerwise.report(study("layerwise"), sweep(), records, dict)
    (table,) = findings.further.values()
    # By pruning -3, -1, +4 (the best mask was removed); by training 5, -1, -4.
    assert table.rows == [["cola", "auber", 3, pytest.approx(0), pytest.approx(0), 2, 1]]
    assert "of 3 layers pruning lost on 2, and training made it up on 1." in findings.conclusion[-1]
    assert findings.notes[-1].startswith("On the reward examples")
    plain = layerwise.report(study("layerwise"), sweep(), records[:1], dict)
    assert not plain.further and len(plain.notes) == 1


def test_layerwise_says_which_start_models_had_collapsed():
    records = [_trial("finetune", 1, 0.8, {}), _trial("auber", 1, 0.8, {"layer-0": 0.8})]
    collapsed = Collapse(collapsed=True, reason="one class")
    records[1] = records[1].model_copy(update={"teacher_collapse": collapsed})
    findings = layerwise.report(study("layerwise"), sweep(), records, dict)
    assert findings.conclusion[0].startswith("CoLA: the start model collapsed (seed 1)")


def test_layerwise_without_stages_says_so():
    findings = layerwise.report(study("layerwise"), sweep(), [_trial("finetune", 1, 0.8, {})], dict)
    assert findings.conclusion[0].startswith("No method of this sweep")
    assert findings.figure is None


def test_several_tasks_have_a_panel_each():
    other = TaskFacts(name="rte", title="RTE", primary="accuracy", margin=3.0)
    made = ablation(lambda seed, layer, head: head)
    more = ablation(lambda seed, layer, head: 0, task=other)
    made.records += more.records
    made.saved |= more.saved
    findings = head_ablation.report(
        study("head-ablation"), sweep(TASK, other), made.records, made.read, replicates=DRAWS
    )
    assert {row["task"] for row in rows(findings.table)} == {"cola", "rte"}
    assert len([axes for axes in findings.figure.axes if axes.get_title(loc="left")]) == 2


def test_tables_escape_pipes_and_leave_out_what_is_not_there():
    table = Table(["a", "b"], [["x|y", None], ["z", 0.00012]])
    assert table.to_csv() == "a,b\nx|y,\nz,0.00012\n"
    assert "x\\|y" in table.to_markdown()
    assert table.to_markdown().splitlines()[2].endswith(" - |")
