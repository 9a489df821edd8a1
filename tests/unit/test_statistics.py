from __future__ import annotations

import itertools
import math
import time

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from reports.metrics import METRICS, confusion
from reports.statistics import combined, power
from reports.statistics.families import adjust
from reports.statistics.paired import Estimate, across, bootstrap, estimate, mcnemar, sign_flip, t_test
from reports.statistics.ranks import rank_intervals, ranks
from reports.statistics.replicates import example_weights, generator, replicate
from reports.statistics.unpaired import difference
from reports.statistics.verdicts import Case, judge, p_text, rounded_p


def made(mean=1.0, seed_variance=0.3, residual=0.2, df=4.0) -> Estimate:
    return Estimate(mean, seed_variance, residual, seed_variance + residual, df)


# --- replicates ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "reference"),
    [
        ("accuracy", accuracy_score),
        ("matthews", matthews_corrcoef),
        ("f1", lambda y, p, sample_weight: f1_score(y, p, sample_weight=sample_weight, zero_division=0)),
    ],
)
def test_replicates_are_scikit_learns_weighted_metrics(metric, reference):
    rng = np.random.default_rng(1)
    labels = np.sort(rng.integers(0, 2, 60))  # draws are by gold class, then by example
    predicted = np.stack([np.where(rng.random(60) < q, labels, 1 - labels) for q in (0.6, 0.8, 0.95)])
    predicted = np.vstack([predicted, np.zeros(60, int)])
    found = replicate(labels, predicted, metric, classes=2, rng=generator("t"), replicates=40)
    weights = np.vstack(list(example_weights(60, 40, generator("t"))))
    assert (weights.sum(axis=1) == 60).all()
    expected = [[100 * reference(labels, p, sample_weight=w) for p in predicted] for w in weights]
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_three_classes():
    rng = np.random.default_rng(2)
    labels, predicted = np.sort(rng.integers(0, 3, 50)), rng.integers(0, 3, (2, 50))
    found = replicate(labels, predicted, "matthews", classes=3, rng=generator("t"), replicates=5)
    weights = np.vstack(list(example_weights(50, 5, generator("t"))))
    expected = [[100 * matthews_corrcoef(labels, p, sample_weight=w) for p in predicted] for w in weights]
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_draws_are_shared_and_do_not_depend_on_who_takes_part():
    rng = np.random.default_rng(3)
    labels, predicted = rng.integers(0, 2, 300), rng.integers(0, 2, (4, 300))
    alone = replicate(labels, predicted[2:3], "f1", classes=2, rng=generator("rte"), replicates=50)
    among = replicate(labels, predicted, "f1", classes=2, rng=generator("rte"), replicates=50)
    np.testing.assert_array_equal(alone[:, 0], among[:, 2])
    other = replicate(labels, predicted, "f1", classes=2, rng=generator("cola"), replicates=50)
    assert not np.array_equal(among, other)


def test_bootstrap_variance_of_accuracy_is_the_binomial_one():
    right = np.arange(400) < 300
    scores = replicate(
        np.ones(400, int),
        right[None].astype(int),
        "accuracy",
        classes=2,
        rng=generator("t"),
        replicates=10_000,
    )
    assert scores.std() == pytest.approx(100 * math.sqrt(0.75 * 0.25 / 400), rel=0.03)
    assert scores.mean() == pytest.approx(75, abs=0.1)


def test_the_largest_task_takes_seconds():
    rng = np.random.default_rng(4)
    labels, predicted = rng.integers(0, 2, 5463), rng.integers(0, 2, (40, 5463))
    start = time.process_time()
    replicate(labels, predicted, "accuracy", classes=2, rng=generator("qnli"), replicates=2_000)
    assert time.process_time() - start < 4  # a fifth of the 10,000 replicates


# --- paired -------------------------------------------------------------------------------------------


def test_variance_parts():
    rng = np.random.default_rng(5)
    replicates = rng.normal(size=(2000, 5)) + rng.normal(size=(2000, 1))
    differences = np.array([1.0, 2.0, 0.5, 1.5, 3.0])
    e = estimate(differences, replicates)
    drawn = replicates.mean(axis=1).var(ddof=1)
    single = replicates.var(axis=0, ddof=1).mean()
    assert e.mean == pytest.approx(1.6)
    assert e.seed_variance == pytest.approx(differences.var(ddof=1) / 5)
    assert e.residual_example_variance == pytest.approx(drawn - (single - drawn) / 4)
    assert e.df == 4
    assert e.residual_example_variance == pytest.approx(1.0, abs=0.15), "the part shared by the seeds"


def test_examples_never_get_a_negative_variance():
    replicates = np.random.default_rng(6).normal(size=(500, 4))
    replicates[:, 1] = -replicates[:, 0]
    replicates[:, 3] = -replicates[:, 2]
    e = estimate(np.array([1.0, 2.0, 3.0, 5.0]), replicates)
    assert e.residual_example_variance == 0


def test_across_is_the_mean_of_tasks_with_satterthwaites_df():
    a, b = made(2.0, 0.4, 0.1, 4), made(-1.0, 0.1, 0.3, 2)
    e = across([a, b])
    assert e.mean == 0.5
    assert e.seed_variance == pytest.approx(0.5 / 4)
    assert e.residual_example_variance == pytest.approx(0.4 / 4)
    assert e.df == pytest.approx(0.5**2 / (0.4**2 / 4 + 0.1**2 / 2))
    one = across([a])
    assert (one.mean, one.seed_variance, one.residual_example_variance, one.df) == (
        a.mean,
        a.seed_variance,
        a.residual_example_variance,
        a.df,
    )


def test_sign_flip_and_its_floor():
    d = np.array([1.0, 2.0, -0.5, 3.0, 0.7])
    flips = [abs(np.dot(s, d)) >= abs(d.sum()) - 1e-12 for s in itertools.product((-1, 1), repeat=5)]
    assert sign_flip(d) == pytest.approx(np.mean(flips))
    assert sign_flip(np.abs(d)) == 0.0625
    assert sign_flip(np.zeros(5)) == 1.0
    assert 0 < sign_flip(np.ones(20)) < 0.001


@pytest.mark.parametrize("differences", [[], [1.0]])
def test_signs_of_one_seed_or_none_say_nothing(differences):
    """So many seeds are common to two tasks that lack different ones."""
    assert sign_flip(np.array(differences)) == 1.0


def test_sums_that_are_equal_but_for_rounding_are_ties():
    """In points, changes of 6, -5, -4, -1 and 5 examples of 277 are not quite multiples of one another."""
    before, change = np.array([166, 141, 149, 145, 151]), np.array([6, -5, -4, -1, 5])
    flips = [abs(np.dot(s, change)) >= abs(change.sum()) for s in itertools.product((-1, 1), repeat=5)]
    assert sign_flip(100 * (before + change) / 277 - 100 * before / 277) == np.mean(flips) == 1.0


def test_mcnemar_is_the_exact_binomial_test():
    rng = np.random.default_rng(7)
    own, base = rng.random(200) < 0.8, rng.random(200) < 0.7
    wins, losses = int((own & ~base).sum()), int((base & ~own).sum())
    assert mcnemar(own, base) == pytest.approx(stats.binomtest(wins, wins + losses).pvalue)
    assert mcnemar(own, own) == 1.0


def test_the_two_halves():
    d = np.array([1.0, 2.0, 0.5, 1.5, -0.2])
    e = estimate(d, np.random.default_rng(8).normal(size=(100, 5)))
    assert t_test(e) == pytest.approx(stats.ttest_1samp(d, 0).pvalue)
    p, half = bootstrap(e)
    assert p == pytest.approx(2 * stats.norm.sf(d.mean() / math.sqrt(e.example_variance)))
    assert half == pytest.approx(stats.norm.ppf(0.975) * math.sqrt(e.example_variance))


# --- combined -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("df", [1, 2, 4, 7.3, 50, 5000])
@pytest.mark.parametrize("mean", [0.0, 0.4, 2.0, 9.0, 40.0])
def test_without_example_variance_it_is_the_t_test(df, mean):
    e = made(mean, 0.3, 0.0, df)
    expected = 2 * stats.t.sf(mean / math.sqrt(0.3), df)
    assert combined.p_value(e) == pytest.approx(expected, rel=1e-6, abs=1e-18)


@pytest.mark.parametrize("mean", [0.0, 0.3, 1.0, 3.0])
def test_without_seed_variance_it_is_the_normal_test(mean):
    assert combined.p_value(made(mean, 0.0, 0.2)) == pytest.approx(
        2 * stats.norm.sf(mean / math.sqrt(0.2)), rel=1e-9
    )


def test_quadrature_agrees_with_monte_carlo():
    rng = np.random.default_rng(9)
    x = math.sqrt(0.3) * rng.standard_t(4, 2_000_000) + math.sqrt(0.5) * rng.normal(size=2_000_000)
    for mean in (0.5, 1.5, 3.0):
        expected = (np.abs(x) > mean).mean()
        assert combined.p_value(made(mean, 0.3, 0.5)) == pytest.approx(expected, abs=4e-4 + 0.02 * expected)
    assert combined.half_width(made(0, 0.3, 0.5), 0.025) == pytest.approx(
        np.quantile(np.abs(x), 0.95), rel=0.01
    )


@pytest.mark.parametrize("parts", [(0.3, 0.2), (0.3, 0.0), (0.0, 0.2), (1e-6, 5.0)])
@pytest.mark.parametrize("df", [1, 4, 11.5])
def test_interval_and_p_agree(parts, df):
    seeds, examples = parts
    half = combined.half_width(made(0, seeds, examples, df), 0.025)
    for factor, significant in ((1.001, True), (0.999, False)):
        for sign in (-1, 1):
            p = combined.p_value(made(sign * half * factor, seeds, examples, df))
            assert (p < 0.05) is significant
            assert p == pytest.approx(0.05, rel=0.02)


def test_equivalence_is_the_ninety_percent_interval_inside_the_margin():
    half = combined.half_width(made(0.4), 0.05)
    assert combined.equivalence(made(0.4), 0.4 + half * 1.001) < 0.05
    assert combined.equivalence(made(-0.4), 0.4 + half * 0.999) > 0.05
    assert combined.equivalence(made(3.0), 1.0) > 0.5


def test_p_has_no_floor_and_arrays_work():
    assert 0 < combined.p_value(made(60.0)) < 1e-5
    tails = combined.upper_tail(np.array([0.0, 1.0, -1.0]), 0.3, np.array([0.1, 0.2, 0.2]), 4)
    assert tails[0] == pytest.approx(0.5)
    assert tails[1] + tails[2] == pytest.approx(1)


# --- edge cases ---------------------------------------------------------------------------------------


def test_one_seed_has_no_combined_test():
    e = estimate(np.array([2.0]), np.random.default_rng(0).normal(2, 1, size=(1000, 1)))
    assert e.seed_variance is None
    assert e.example_variance == pytest.approx(1, rel=0.1)
    with pytest.raises(ValueError, match="one seed"):
        combined.p_value(e)
    assert across([e, made()]).seed_variance is None


def test_identical_models():
    e = estimate(np.zeros(5), np.zeros((100, 5)))
    assert e.identical
    assert combined.p_value(e) == 1.0
    assert combined.equivalence(e, 1.0) == 0.0
    assert combined.half_width(e, 0.025) == 0.0
    [judged] = judge([Case(e, 1.0, 0.0)], "holm")
    assert judged.verdict == "equivalent"
    assert judged.reason.startswith("identical")


def test_seeds_that_agree_by_chance_are_not_certainty():
    rng = np.random.default_rng(10)
    replicates = rng.normal(0.4, 1, size=(5000, 2))  # independent: all of V_ex is residual, B would be 0
    replicates[:, 1] = 0.8 - replicates[:, 0] + rng.normal(0, 0.5, size=5000)
    e = estimate(np.array([0.4, 0.4]), replicates)
    assert e.seed_variance == 0
    assert e.residual_example_variance == e.example_variance > 0


def test_seeds_that_agree_but_for_rounding_are_not_certainty():
    """Both seeds lose three of 277 examples; in points that is not quite the same number twice."""
    before, after = np.array([150, 156]), np.array([147, 153])
    differences = 100 * after / 277 - 100 * before / 277
    assert 0 < np.ptp(differences) < 1e-9
    replicates = np.random.default_rng(3).normal(differences.mean(), 1.1, size=(5000, 2))
    e = estimate(differences, replicates)
    assert (e.seed_variance, e.residual_example_variance) == (0.0, e.example_variance)
    assert combined.p_value(e) > 0.1
    groups = differences, differences[::-1] + 1.0
    apart = difference(*groups, replicates, replicates[::-1])
    assert (apart.seed_variance, apart.residual_example_variance) == (0.0, apart.example_variance)
    assert combined.p_value(e) > 0.1


# --- families, power, verdicts ------------------------------------------------------------------------


def test_corrections_by_hand():
    p = [0.01, 0.04, 0.03, 0.005]
    np.testing.assert_allclose(adjust(p, "holm"), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(adjust(p, "bh"), [0.02, 0.04, 0.04, 0.02])
    assert adjust([], "holm") == []


def test_detectable_difference():
    e = made(seed_variance=0.3, residual=0.2, df=4)
    nu = 0.5**2 / (0.3**2 / 4)
    expected = (stats.t.ppf(0.975, nu) + stats.t.ppf(0.8, nu)) * math.sqrt(0.5)
    assert power.detectable(e) == pytest.approx(expected)
    assert power.floor(e) == pytest.approx(2.8016 * math.sqrt(0.2), rel=1e-4)
    assert power.detectable(e, plan=(5, 10**6)) == pytest.approx(power.floor(e), rel=1e-3)
    wanted = power.floor(e) * 1.1
    needed = power.seeds_needed(e, wanted, 5)
    assert power.detectable(e, plan=(5, needed)) <= wanted < power.detectable(e, plan=(5, needed - 1))
    assert power.seeds_needed(e, power.floor(e) * 0.99, 5) is None


def test_one_point_on_rte_needs_more_than_seeds():
    examples = made(seed_variance=0.5, residual=(4.1 / 2.8016) ** 2)
    assert power.seeds_needed(examples, 1.0, 5) is None


def case(mean, spread=0.1, margin=1.0, median=None, steady=None) -> Case:
    e = made(mean, spread**2 / 2, spread**2 / 2)
    return Case(e, margin, mean if median is None else median, steady, "277 examples and 5 seeds")


def test_order_of_verdicts_and_signs():
    found = judge([case(0.0), case(0.6), case(5.0), case(-5.0), case(1.5, spread=2.0)], "holm")
    assert [j.verdict for j in found] == ["equivalent", "equivalent", "better", "worse", "within noise"]
    assert "real but below 1" in found[1].reason
    assert "real" not in found[0].reason
    assert "could be -" in found[4].reason
    assert "detectable by one comparison: " in found[4].reason
    assert "not reachable with 277 examples and 5 seeds" in found[4].reason


def test_columns_and_sentences_round_p_alike():
    assert [rounded_p(p) for p in (0.0124, 0.00099, 1.0)] == ["0.012", "< 0.001", "1.000"]
    assert [p_text(p) for p in (0.0124, 0.00099)] == ["adjusted p = 0.012", "adjusted p < 0.001"]


def test_larger_families_are_stricter():
    borderline = case(1.2, spread=0.4, margin=0.1)
    [alone] = judge([borderline], "holm")
    among = judge([borderline, *[case(0.0, 0.4, 0.1)] * 9], "holm")[0]
    assert (alone.verdict, among.verdict) == ("better", "within noise")
    assert "the interval leaves out zero" in among.reason


def test_a_collapsed_run_decides_nothing():
    lucky = case(3.0, steady=made(0.0, 0.5, 0.5))
    opposite = case(3.0, median=-0.2, steady=made(3.0, 0.01, 0.01))
    steady = case(3.0, steady=made(2.8, 0.01, 0.01))
    found = judge([lucky, opposite, steady], "holm")
    assert [j.verdict for j in found] == ["within noise", "within noise", "better"]
    assert found[0].reason.startswith("depends on a collapsed run")
    assert "the corrected test does not" not in found[0].reason
    assert found[1].reason.startswith("depends on a collapsed run")


# --- ranks --------------------------------------------------------------------------------------------


def test_ranks():
    assert ranks([3.0, 5.0, 5.0, 1.0]) == [3, 1, 1, 4]
    rng = np.random.default_rng(11)
    scores = np.array([[90.0], [89.9], [50.0]]) + rng.normal(0, 0.5, size=(3, 5))
    drawn = scores.mean(axis=1) + rng.normal(0, 0.5, size=(2000, 3))
    low_high = rank_intervals([scores], [drawn], rng)
    assert low_high.tolist() == [[1, 2], [1, 2], [3, 3]]


# --- calibration: simulated, small, with wide bounds --------------------------------------------------


def simulate(effect: float, share: float, datasets: int, rng: np.random.Generator) -> float:
    """Return how often the test rejects at 5 %; `share` of the variance comes from seeds, n = 5."""
    total, n = 1.0, 5
    residual = 0.5  # examples that turn with the seed, as in a binary crossed model
    a = share * total + residual / n
    means = effect + rng.normal(0, math.sqrt(share * total + (1 - share) * total + residual / n), datasets)
    seeds = a * rng.chisquare(n - 1, datasets) / (n - 1)
    examples = (1 - share) * total * rng.uniform(0.95, 1.05, datasets)
    return float((2 * combined.upper_tail(np.abs(means), seeds, examples, n - 1) < 0.05).mean())


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_false_positive_rate_over_mixtures_of_variance(share):
    rate = simulate(0.0, share, 4000, np.random.default_rng(12))
    assert 0.02 < rate < 0.066


def test_power_grows_with_the_effect():
    rng = np.random.default_rng(13)
    rates = [simulate(effect, 0.5, 1000, rng) for effect in (0.0, 2.0, 4.0, 8.0)]
    assert rates == sorted(rates)
    assert rates[-1] > 0.95


@pytest.mark.parametrize("metric", ["accuracy", "matthews"])
def test_false_positive_rate_of_the_whole_path(metric):
    """Two equal methods, five seeds, 150 examples whose difficulty all models share."""
    rng = np.random.default_rng(14)
    rejected = datasets = 0
    for _ in range(250):
        labels = (rng.random(150) < 0.6).astype(int)
        difficulty = rng.normal(size=150)
        method = rng.normal(0, 0.35, size=(2, 1, 150))  # methods differ on examples: B > 0, mean 0
        ability = 0.9 + 0.1 * rng.normal(size=(2, 5, 1))
        right = ability + method - difficulty + 0.4 * rng.normal(size=(2, 5, 150)) > 0
        predicted = np.where(right, labels, 1 - labels)
        drawn = replicate(
            labels, predicted.reshape(10, 150), metric, classes=2, rng=rng, replicates=300
        ).reshape(300, 2, 5)
        scores = np.array([[100 * METRICS[metric](confusion(labels, p, 2)) for p in m] for m in predicted])
        e = estimate(scores[0] - scores[1], drawn[:, 0] - drawn[:, 1])
        rejected += combined.p_value(e) < 0.05
        datasets += 1
    assert rejected / datasets < 0.10
