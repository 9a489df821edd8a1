from __future__ import annotations

import os

import numpy as np
import pytest

from reports.metrics import score
from tasks.glue import BESIDE, COLA, GLUE, MNLI, MRPC, QNLI
from tasks.loading import load

REAL = os.environ.get("LEANBOARD_GLUE")
real = pytest.mark.skipif(not REAL, reason="LEANBOARD_GLUE names no folder with the real GLUE data")


def test_the_five_tasks_and_their_margins_in_points():
    assert {task.name: task.margin for task in GLUE} == {
        "rte": 3,
        "mrpc": 2,
        "sst2": 1.5,
        "qnli": 1,
        "cola": 3,
    }


def test_all_come_from_one_pinned_commit():
    assert {(task.path, task.revision) for task in GLUE} == {
        ("nyu-mll/glue", "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c")
    }


def test_mrpc_keeps_both_metrics_and_ranks_by_f1():
    assert set(MRPC.metrics) == {"f1", "accuracy"}
    assert MRPC.primary == "f1"


@real
@pytest.mark.parametrize("task", GLUE, ids=lambda task: task.name)
def test_sizes_are_those_of_the_real_data(task):
    data = load(task, REAL)
    assert len(data["validation"]) == task.rows["validation"]
    if task is not QNLI:  # its train split may be a sample
        assert len(data["train"]) == task.rows["train"]
    assert set(data) == {"train", "validation"}


@real
@pytest.mark.parametrize("task", GLUE, ids=lambda task: task.name)
def test_majority_is_the_score_of_the_constant_predictor(task):
    labels = np.asarray(load(task, REAL)["validation"][task.label])
    constant = np.eye(len(task.labels), dtype=np.float32)[np.bincount(labels).argmax()]
    scores = score(labels, np.tile(constant, (len(labels), 1)), task.metrics)
    assert scores[task.primary] == pytest.approx(task.majority, abs=1e-12)


def test_tasks_beside_the_five_are_outside_the_overall_score_and_their_rows_add_up():
    assert [task.name for task in BESIDE] == ["mnli", "wnli"]
    assert not any(task.overall for task in BESIDE)
    assert len(MNLI.labels) == 3
    for task in (COLA, MNLI):
        (first, half), (middle, end) = task.domains.values()
        assert (first, half, end) == (0, middle, task.rows["validation"])
