"""Rows whose trained models were asked for."""

from __future__ import annotations

import pytest
from published_sweep import Output

from benchmark.engine import Options, _with_reruns
from tasks.errors import BadInput


@pytest.fixture
def output(tmp_path) -> Output:
    """A finished sweep none of whose records has weights."""
    return Output(str(tmp_path / "out"), tmp_path)


def keys(output: Output, label: str) -> set[str]:
    return {key for key, node in output.job.plan.nodes.items() if node.label == label}


def test_a_record_without_the_model_does_not_count_until_it_is_replaced(output):
    assert _with_reruns(output.job, Options()).redo == {}
    output.job.keep(["kd:layers=3"])
    assert dict(_with_reruns(output.job, Options()).redo) == dict.fromkeys(keys(output, "kd:layers=3"), 2.0)
    missing = output.job.missing(output.job.scan())
    assert keys(output, "kd:layers=3") <= missing.keys()
    assert all(output.job.assignment(missing[key], "a").keep for key in keys(output, "kd:layers=3"))


def test_a_label_that_is_no_row_is_refused(output):
    with pytest.raises(BadInput, match="--keep kd: no row of this sweep; known: finetune, kd:layers=3"):
        output.job.keep(["kd"])


def test_a_model_s_folder_is_told(output, tmp_path):
    (key, *_) = keys(output, "kd:layers=3")
    made = output.leave(key)
    files = {"result/model/config.json": tmp_path / "config.json"}
    files["result/model/config.json"].write_text("{}")
    kept = output.store.put(made, "b", files)
    place = output.store.place(kept, "result/model")
    assert place == str(tmp_path / "out" / "records" / key / "b" / "result" / "model")
