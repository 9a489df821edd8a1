"""The study `tuning`: settings compared on `choice`, and what is said where something is missing."""

from __future__ import annotations

import re

import pytest
from distillation_boards import board

from reports.board import StudyFacts
from reports.record import Collapse
from reports.studies.tuning import report

STUDY = StudyFacts(label="tuning", study="tuning", params={"fields": ["learning_rate"]}, report="x:y")
TASKS = {"mrpc": (408, 0.68, 0.86, "f1", 2.0), "rte": (277, 0.47, 0.66, "accuracy", 3.0)}
SETTINGS = [
    ("finetune", {}, 0.0),
    ("finetune", {"learning_rate": 2e-4}, 0.0),
    ("kd", {"layers": 3, "learning_rate": 1e-4}, 0.0),
    ("kd", {"layers": 3, "learning_rate": 2e-4}, 0.0),
    ("kd", {"layers": 3, "alpha": 0, "learning_rate": 1e-4}, 0.0),
    ("kd", {"layers": 3, "alpha": 0, "learning_rate": 2e-4}, 0.0),
]
LOW, HIGH = "kd:layers=3,learning_rate=0.0001", "kd:layers=3,learning_rate=0.0002"


def findings(
    choice=None, *, settings=SETTINGS, gone=(), collapsed=(), seeds=1, teacherless=False, fields=None
):
    """Report on records whose scores on `choice` are 0.5 but where `choice` says otherwise, by label and task."""
    made = board(settings, tasks=TASKS, seeds=seeds, collapsed={"rte": 1} if teacherless else {})
    records = [
        record.model_copy(
            update={
                "choice": {record.primary: (choice or {}).get((record.label, record.task), 0.5)},
                "choice_collapse": Collapse(collapsed=(record.label, record.task) in collapsed),
            }
        )
        for record in made.records
        if (record.label, record.task) not in gone
    ]

    def read(record):
        raise AssertionError("what is decided on validation must not be read")

    study = STUDY.model_copy(update={"params": {"fields": fields}}) if fields else STUDY
    return report(study, made.sweep, records, read)


def test_the_better_setting_on_choice_is_frozen_task_by_task_whatever_validation_says():
    found = findings({(HIGH, "mrpc"): 0.6, (LOW, "rte"): 0.7, (LOW, "mrpc"): 0.59})
    assert found.conclusion[0] == "Equal tuning: every method has 2 settings on each task."
    assert "kd:layers=3: freeze `learning_rate: {mrpc: 0.0002, rte: 0.0001}`." in found.conclusion
    (row,) = (row for row in found.summary.rows if row[0] == "kd:layers=3")
    assert row[1:] == ["0.0001: 59.0; 0.0002: 60.0", "0.0001: 70.0; 0.0002: 50.0"]


def test_settings_of_several_fields_are_frozen_together():
    found = findings(fields=["learning_rate", "alpha"])
    frozen = [s for s in found.conclusion if "freeze" in s]
    assert frozen
    assert all(
        re.search(r"freeze `\[learning_rate, alpha\]: \{mrpc: \[[^]]+\], rte: \[[^]]+\]\}`", s)
        for s in frozen
    )


def test_of_equal_scores_the_first_setting_is_taken_and_the_sweeps_rate_is_a_setting():
    found = findings()
    assert "finetune: freeze `learning_rate: {mrpc: 0.0001, rte: 0.0001}`." in found.conclusion
    assert "kd:layers=3,alpha=0: freeze `learning_rate: {mrpc: 0.0001, rte: 0.0001}`." in found.conclusion


def test_a_degenerate_model_is_not_frozen_while_there_is_another():
    found = findings({(HIGH, "mrpc"): 0.9}, collapsed={(HIGH, "mrpc"), (LOW, "rte"), (HIGH, "rte")})
    assert "kd:layers=3: freeze `learning_rate: {mrpc: 0.0001, rte: 0.0001}`." in found.conclusion
    assert "0.0002: 90.0 (collapsed)" in found.summary.to_markdown()


def test_nothing_is_frozen_before_every_setting_has_a_result():
    found = findings(gone={(HIGH, "rte")})
    assert (
        "kd:layers=3: freeze `learning_rate: {mrpc: 0.0001}`; nothing to freeze on rte before every setting "
        "has a result." in found.conclusion
    )
    rows = [row for row in found.table.rows if row[3] == HIGH]
    assert [row[-1] for row in rows] == ["no", None]
    assert "0.0002: none" in found.summary.to_markdown()


def test_unequal_tuning_is_pointed_out():
    found = findings(settings=SETTINGS[:-1])
    assert found.conclusion[0] == (
        "Not equal tuning: methods have different numbers of settings (finetune 2, kd:layers=3 2, "
        "kd:layers=3,alpha=0 1)."
    )
    assert "kd:layers=3,alpha=0: not tuned, it has one setting." in found.conclusion


def test_what_little_the_choice_rests_on_is_said():
    sentence = "rte: the start model collapsed; what is frozen there is chance."
    assert sentence not in findings().conclusion
    found = findings(teacherless=True)
    assert found.conclusion[-1] == sentence
    assert found.notes[-1].startswith("Examples of `choice`: mrpc 250, rte 250. So few hardly tell settings")


def test_several_seeds_are_averaged():
    found = findings(seeds=2)
    columns = list(found.table.columns)
    assert [row[columns.index("seeds")] for row in found.table.rows] == [2] * 12
    assert found.table.rows[0][columns.index("choice")] == pytest.approx(50.0)
