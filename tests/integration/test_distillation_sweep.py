"""Six distillation methods over five seeds through the real command line: each teacher is trained once."""

from __future__ import annotations

from collections import Counter

from small_world import attempts, failures, records

STUDENTS = [
    {"kd": {"layers": 1}},
    {"patient-kd": {"layers": 2}},
    {"distilbert": {"layers": 1}},
    {"tinybert": {"layers": 1, "inner_epochs": 1, "live": True}},
    {"pea-kd": {"layers": 1, "ptp_epochs": 1}},
    {"pea-kd": {"layers": 2, "sps": False, "ptp_epochs": 1}},
]


def test_each_teacher_is_trained_once_and_asked_once_for_all_students(world):
    done = world.call(
        "run", world.sweep(methods=["finetune", *STUDENTS], tasks=["rte"], seeds=5, latency=None)
    )
    output = world.folder / "runs" / "tiny"
    assert done.code == 0, done.text
    assert failures(output) == {}
    counts = Counter(one["method"] for one in records(output).values())
    # Caches: logits, [CLS] for the patient, and last hidden states for DistilBERT.
    assert counts == {
        **{"finetune": 5, "teacher-outputs": 5, "teacher-states": 10},
        **{"kd": 5, "patient-kd": 5, "distilbert": 5, "tinybert": 5, "pea-kd": 10},
    }
    assert set(attempts(output).values()) == {1}, "nothing was begun twice"
    # Of those that train on the task alone, only the teachers trained a model of the encoder's depth.
    for name, one in records(output).items():
        if name.startswith("teacher-"):
            assert one["cost"]["steps"] == 0, name
    again = world.call("run", "tiny.yaml", "-m", "kd:layers=1", "-m", "finetune")
    assert again.code == 0, again.text
    assert set(attempts(output).values()) == {1}
