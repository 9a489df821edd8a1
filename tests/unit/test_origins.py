from __future__ import annotations

import pytest
from small_plans import record

from benchmark.store import origins
from benchmark.store.archive import _bare
from reports.record import File, Record


def start(weights: str, **changes) -> Record:
    """The start model of a seed, of these weights."""
    files = {"result/model": File(path="a/result/model", size=1, sha256=weights)}
    files["predictions.parquet"] = File(path="a/predictions.parquet", size=1, sha256=weights * 2)
    return record({"method": "finetune"}, label="finetune", files=files, **changes)


def trial(of: Record) -> Record:
    digest = {of.fingerprint: origins.result_digest(of)}
    return record({"method": "kd"}, label="kd", origins=digest)


def test_a_start_model_that_came_out_the_same_changes_nothing():
    assert origins.changed_start_models([start("one"), trial(start("one", ended=9.0))]) == []


def test_one_that_came_out_different_is_said_with_what_to_do():
    (said,) = origins.changed_start_models([start("two"), trial(start("one"))])
    assert said.startswith("Started from a finetune that has been made again since and came out different: ")
    assert "different: kd.rte.1; " in said
    assert "--rerun finetune" in said


def test_an_archive_without_weights_has_nothing_to_compare():
    assert origins.changed_start_models([_bare(start("one")), trial(start("one"))]) == []


@pytest.mark.parametrize("known", [[], [start("one").model_copy(update={"fingerprint": "o" * 64})]])
def test_records_without_an_origin_or_without_the_start_model_are_in_order(known):
    assert origins.changed_start_models([*known, trial(start("one"))]) == []
