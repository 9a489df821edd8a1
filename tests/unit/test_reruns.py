"""Which records `--rerun` makes again."""

from __future__ import annotations

import pytest
from published_sweep import SWEEP, Output

from benchmark.config.load import make_sweep
from benchmark.plan.job import resolve
from benchmark.plan.reruns import FILE, to_make_again
from tasks.errors import BadInput


@pytest.fixture
def output(tmp_path) -> Output:
    """A finished sweep: of prerequisites there are no records, as they are not needed any more."""
    return Output(str(tmp_path / "out"), tmp_path)


def labelled(output: Output, *labels: str) -> set[str]:
    return {node.fingerprint for node in output.job.plan.trials() if node.label in labels}


def test_a_row_alone_is_made_again_where_nothing_is_built_on_it(output):
    found = to_make_again(output.job, ["kd:layers=3"])
    assert found == dict.fromkeys(labelled(output, "kd:layers=3"), 2.0)


def test_with_a_start_model_goes_all_that_started_from_it(output):
    rows = labelled(output, "finetune", "kd:layers=3")
    assert to_make_again(output.job, ["finetune"]).keys() == rows
    teacher_outputs = to_make_again(output.job, ["teacher-outputs"])
    assert teacher_outputs.keys() == labelled(output, "kd:layers=3")


def test_the_same_command_after_a_kill_makes_what_is_left(output):
    first, *others = labelled(output, "kd:layers=3")
    to_make_again(output.job, ["kd:layers=3"])
    output.leave(first, ended=3.0)
    assert to_make_again(output.job, ["kd:layers=3"]).keys() == set(others)
    # Another command is another matter, and so is the same one once all is done.
    assert to_make_again(output.job, ["finetune"]).keys() >= {first, *others}
    to_make_again(output.job, ["kd:layers=3"])
    for key in (first, *others):
        output.leave(key, ended=4.0)
    assert to_make_again(output.job, ["kd:layers=3"]) == dict.fromkeys((first, *others), 4.0)


def test_what_a_part_of_the_sweep_has_left_says_nothing_of_the_rest(output):
    """Seed 1 alone was to be made again and was not."""
    part = resolve(make_sweep({**SWEEP, "seeds": 1}), output=output.job.output)
    assert len(to_make_again(part, ["kd:layers=3"])) < len(labelled(output, "kd:layers=3"))
    assert to_make_again(output.job, ["kd:layers=3"]).keys() == labelled(output, "kd:layers=3")


def test_a_look_writes_nothing_down(output):
    assert to_make_again(output.job, ["kd:layers=3"], remember=False)
    assert output.store.read_json(FILE) is None


def test_a_label_that_is_not_there_is_refused_and_no_label_leaves_the_store_alone(output):
    with pytest.raises(BadInput, match="--rerun kd: no such label in this sweep"):
        to_make_again(output.job, ["kd"])
    assert to_make_again(output.job, []) == {}
    assert output.store.read_json(FILE) is None
