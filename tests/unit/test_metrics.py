from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from reports.metrics import collapse, score

REFERENCE = {"accuracy": accuracy_score, "f1": f1_score, "matthews": matthews_corrcoef}


def logits_of(predictions, classes: int = 2) -> np.ndarray:
    return np.eye(classes, dtype=np.float32)[np.asarray(predictions)]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("metric", ["accuracy", "f1", "matthews"])
def test_scores_are_those_of_scikit_learn(metric, seed):
    rng = np.random.default_rng(seed)
    labels, predictions = rng.integers(0, 2, (2, 57))
    found = score(labels, logits_of(predictions), [metric])
    assert found == {metric: pytest.approx(REFERENCE[metric](labels, predictions))}


@pytest.mark.parametrize("metric", ["accuracy", "matthews"])
def test_more_than_two_classes(metric):
    rng = np.random.default_rng(0)
    labels, predictions = rng.integers(0, 4, (2, 90))
    found = score(labels, logits_of(predictions, 4), [metric])[metric]
    assert found == pytest.approx(REFERENCE[metric](labels, predictions))


@pytest.mark.parametrize(
    ("labels", "predictions", "expected"),
    [
        ([0, 0, 0], [0, 0, 0], {"accuracy": 1.0, "f1": 0.0, "matthews": 0.0}),
        ([1, 0, 1], [0, 0, 0], {"accuracy": 1 / 3, "f1": 0.0, "matthews": 0.0}),
        ([1, 1], [1, 1], {"accuracy": 1.0, "f1": 1.0, "matthews": 0.0}),
        ([0, 1], [1, 0], {"accuracy": 0.0, "f1": 0.0, "matthews": -1.0}),
    ],
)
def test_undefined_is_zero_without_a_warning(labels, predictions, expected):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = score(np.array(labels), logits_of(predictions), expected)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("label", [-1, 2])
def test_labels_outside_the_classes_are_refused(label):
    with pytest.raises(ValueError, match=r"labels must lie in 0\.\.1"):
        score(np.array([0, label]), logits_of([0, 1]), ["accuracy"])


def test_one_class_is_collapsed():
    labels = np.arange(200) % 2
    nearly = np.zeros(200, int)
    nearly[:2] = 1
    assert collapse(labels, logits_of(nearly), "accuracy").collapsed
    assert "99% of 200" in collapse(labels, logits_of(nearly), "accuracy").reason


def test_no_better_than_the_majority_is_collapsed():
    labels = np.array([1] * 70 + [0] * 30)
    predictions = np.array([1] * 60 + [0] * 10 + [0] * 12 + [1] * 18)
    assert collapse(labels, logits_of(predictions), "accuracy").collapsed
    # MRPC is judged by accuracy although F1 ranks it.
    assert collapse(labels, logits_of(predictions), "f1").collapsed
    assert not collapse(labels, logits_of(labels ^ (np.arange(100) % 10 == 0)), "f1").collapsed


def test_matthews_is_judged_by_its_own_noise():
    labels = np.arange(100) % 2
    right = np.where(np.arange(100) < 54, labels, 1 - labels)
    assert collapse(labels, logits_of(right), "matthews").collapsed
    right = np.where(np.arange(100) < 58, labels, 1 - labels)
    assert not collapse(labels, logits_of(right), "matthews").collapsed


def test_few_examples_know_only_the_one_class_rule():
    labels = np.arange(63) % 2
    assert not collapse(labels, logits_of(1 - labels), "accuracy").collapsed
    assert collapse(labels, logits_of(np.zeros(63, int)), "accuracy").collapsed
    more = np.arange(64) % 2
    assert collapse(more, logits_of(1 - more), "accuracy").collapsed
