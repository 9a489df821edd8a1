from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from reports.board import TaskFacts
from reports.regression import FRESH_SEEDS, Scored, changes, confirm
from reports.statistics.combined import p_value
from reports.statistics.unpaired import difference

TASK = TaskFacts(name="rte", primary="accuracy", margin=3.0)
EXAMPLES = 250


def night(accuracies: dict[tuple[str, int], float], seed: int = 0, noise: float = 0.4) -> Scored:
    """Binary predictions; which examples are hard is common to all trials, luck is each one's own."""
    hardness = np.random.default_rng(99).normal(size=EXAMPLES)
    rng = np.random.default_rng(seed)
    labels = np.arange(EXAMPLES) % 2
    predicted = {}
    for key, accuracy in accuracies.items():
        difficulty = hardness + noise * rng.normal(size=EXAMPLES)
        right = difficulty < np.quantile(difficulty, accuracy)
        predicted[key] = np.where(right, labels, 1 - labels).astype(np.uint16)
    return Scored(np.arange(EXAMPLES), labels, 2, predicted)


def cell(accuracy: float, seeds=range(1, 6), spread: float = 0.01, seed: int = 0) -> dict:
    rng = np.random.default_rng(seed)
    return {("kd", s): accuracy + spread * rng.normal() for s in seeds}


def compare(before: Scored, now: Scored, replicates: int = 1000):
    seeds = [seed for _, seed in now.predicted]
    return changes({"rte": before}, {"rte": now}, [TASK], {("kd", "rte"): seeds}, replicates=replicates)[0]


def test_equal_predictions_are_no_change():
    same = night(cell(0.8))
    change = compare(same, same)
    assert change.estimate.identical
    assert (change.p, change.suspicious, change.real) == (1.0, False, False)


def test_a_clear_loss_is_suspicious_and_a_clear_gain_is_not():
    high, low = night(cell(0.85), seed=1), night(cell(0.70), seed=2)
    assert compare(high, low).suspicious
    gain = compare(low, high)
    assert gain.real
    assert not gain.suspicious


def test_a_certain_loss_below_half_the_margin_is_not_suspicious():
    before = night(cell(0.80, spread=0.0), noise=0.0)
    now = night(cell(0.792, spread=0.0), noise=0.0)
    change = compare(before, now)
    assert -1.5 < change.estimate.mean < 0
    assert not change.suspicious


def test_holm_counts_all_cells_of_the_night():
    labels = [f"m{i}" for i in range(8)]
    both = [
        night({(label, s): 0.8 for label in labels for s in range(1, 6)}, seed=seed, noise=1.0)
        for seed in (1, 2)
    ]
    cells = {(label, "rte"): range(1, 6) for label in labels}
    found = changes({"rte": both[0]}, {"rte": both[1]}, [TASK], cells, replicates=500)
    smallest = min(found, key=lambda change: change.p)
    assert smallest.p_adjusted == pytest.approx(min(1.0, 8 * smallest.p))


def test_one_seed_has_no_p():
    change = compare(night(cell(0.8, seeds=[1])), night(cell(0.5, seeds=[1])))
    assert (change.p, change.p_adjusted, change.suspicious) == (None, None, False)


def test_other_examples_are_refused():
    before, now = night(cell(0.8)), night(cell(0.8))
    other = Scored(now.index + 1, now.labels, 2, now.predicted)
    with pytest.raises(ValueError, match="different examples"):
        compare(before, other)


@pytest.mark.parametrize(("fresh", "confirmed"), [(0.70, True), (0.85, False)])
def test_fresh_seeds_decide(fresh, confirmed):
    before, now = night(cell(0.85), seed=1), night(cell(0.70), seed=2)
    again = night(cell(fresh, seeds=range(6, 6 + FRESH_SEEDS)), seed=3)
    confirmation = confirm(compare(before, now), before, again, TASK, replicates=1000)
    assert confirmation.seeds == (6, 7, 8, 9, 10)
    assert confirmation.confirmed is confirmed


def test_without_example_noise_the_unpaired_test_is_welchs():
    rng = np.random.default_rng(0)
    own, base = rng.normal(70, 1, 5), rng.normal(72, 3, 7)
    steady = [np.tile(group, (10, 1)) for group in (own, base)]
    e = difference(own, base, *steady)
    welch = stats.ttest_ind(own, base, equal_var=False)
    assert e.residual_example_variance == pytest.approx(0, abs=1e-9)
    assert e.df == pytest.approx(welch.df)
    assert p_value(e) == pytest.approx(welch.pvalue, rel=1e-4)


@pytest.mark.parametrize("share_of_seeds", [0.0, 0.5, 1.0])
def test_the_unpaired_test_keeps_its_level(share_of_seeds):
    """Two groups of five seeds without a true difference; seed, example and interaction effects."""
    rng = np.random.default_rng(7)
    n, draws, rejected, rounds = 100, 200, 0, 400
    weights = rng.multinomial(n, np.full(n, 1 / n), size=draws) / n
    for _ in range(rounds):
        groups = []
        for _ in range(2):
            # An example's effect on the difference of two methods, and each seed's own.
            method = math.sqrt(1 - share_of_seeds) * rng.normal(size=n)
            own = rng.normal(size=(5, n)) + method
            groups.append(own + math.sqrt(share_of_seeds / n) * 3 * rng.normal(size=(5, 1)))
        scores = [group.mean(axis=1) for group in groups]
        rejected += p_value(difference(*scores, *(weights @ group.T for group in groups))) <= 0.05
    assert rejected / rounds <= 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / rounds)
