"""Short names of rows, and names of trials."""

from __future__ import annotations

from boards import make

from reports.names import short_names
from reports.record import trial_name


def test_a_method_alone_needs_no_fields():
    assert short_names(["finetune", "auber:episodes=100,steps=60"]) == {
        "finetune": "finetune",
        "auber:episodes=100,steps=60": "auber",
    }


def test_rows_of_one_method_keep_what_tells_them_apart():
    rows = [
        "sixteen-heads:heads=0.25,steps=120,examples=1024",
        "sixteen-heads:heads=0.5,steps=120,examples=1024",
        "sixteen-heads:heads=0.5,steps=120,floor=1,examples=1024",
        "sixteen-heads:budget=like:auber,steps=120,examples=1024",
    ]
    assert list(short_names(rows).values()) == [
        "sixteen-heads:heads=0.25",
        "sixteen-heads:heads=0.5",
        "sixteen-heads:heads=0.5,floor=1",
        "sixteen-heads:budget=like:auber",
    ]


def test_names_stay_different():
    rows = ["kd", "kd:alpha=0", "kd:alpha=0,layers=3", "pea-kd:layers=3"]
    names = short_names(rows)
    assert names == {row: row for row in rows} | {"pea-kd:layers=3": "pea-kd"}


def test_a_trial_a_record_and_a_failure_have_one_name():
    made = make(tasks={"sst2": (872, 0.51, 0.92, "accuracy", 1.5)})
    record, (failure,) = made.records[0], made.failures
    assert record.name == trial_name("finetune", "sst2", 1) == "finetune.sst2.1"
    assert failure.name == "kd:layers=3.sst2.2"
