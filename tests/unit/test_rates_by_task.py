"""Learning rates by task: read, planned, recorded and shown, for all methods alike."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError
from small_plans import context, leave, node_record, plan

from benchmark.config.load import make_sweep
from benchmark.config.yaml_source import parse
from benchmark.plan.job import resolve
from benchmark.plan.plan import build
from benchmark.store.manifest import describe
from methods import registry
from methods.baselines.finetune import Finetune
from methods.distillation.kd import KnowledgeDistillation
from methods.distillation.pea_kd import PeaKD
from methods.settings import ByTask
from tasks.errors import BadInput
from tasks.glue import RTE, SST2

RATES = {"rte": 3e-5, "sst2": 1e-4}
SWEEP = {"name": "s", "model": "minilm", "data": "bundled", "tasks": ["rte", "sst2"], "seeds": 1}


def keys(*methods) -> dict[str, str]:
    """Fingerprints by task of the rows of one method."""
    return {node.task: node.fingerprint for node in plan(methods, seeds=(1,)).trials()}


@pytest.mark.parametrize(
    "name", [name for name, method in registry.methods().items() if "learning_rate" in method.model_fields]
)
def test_every_method_with_a_rate_takes_one_by_task(name):
    method = registry.find(name)(learning_rate=RATES)
    assert isinstance(method.learning_rate, ByTask)
    assert [method.for_task(task).learning_rate for task in RATES] == [3e-5, 1e-4]
    assert method.for_task("rte").label == f"{name}:learning_rate=3e-05"
    assert method.label == f"{name}:learning_rate=by-task"
    assert type(method)(**json.loads(method.model_dump_json())) == method


def test_rates_of_stages_too_and_as_yaml_reads_them():
    method = PeaKD(ptp_learning_rate={"rte": "2e-5"}, learning_rate="1e-4")
    assert method.for_task("rte").ptp_learning_rate == 2e-5
    assert method.for_task("rte").learning_rate == 1e-4
    assert PeaKD().for_task("rte") == PeaKD()


@pytest.mark.parametrize("rate", [0, -1e-5, {"rte": 0}, {"rte": True}, {"rte": None}, [1e-5], float("inf")])
def test_what_is_no_rate_is_refused(rate):
    with pytest.raises(ValidationError):
        KnowledgeDistillation(learning_rate=rate)


def test_only_the_tasks_own_rate_decides_a_result():
    by_task = keys(KnowledgeDistillation(learning_rate=RATES))
    assert by_task["rte"] == keys(KnowledgeDistillation(learning_rate=3e-5))["rte"]
    assert by_task["sst2"] == keys(KnowledgeDistillation(learning_rate=1e-4))["sst2"]
    other = keys(KnowledgeDistillation(learning_rate={**RATES, "sst2": 2e-4, "mrpc": 1.0}))
    assert other["rte"] == by_task["rte"]
    assert other["sst2"] != by_task["sst2"]


def test_a_task_without_a_rate_is_refused():
    with pytest.raises(
        BadInput, match="kd: learning_rate is given for rte and not for sst2; name every task"
    ):
        build([KnowledgeDistillation(learning_rate={"rte": 1e-4})], [RTE, SST2], [1], context())


def test_two_rows_that_are_one_on_a_task_are_refused():
    rows = [KnowledgeDistillation(learning_rate=rate) for rate in (3e-5, RATES)]
    with pytest.raises(BadInput, match="are one and the same on rte; leave one out"):
        plan([Finetune(), *rows])


@pytest.mark.parametrize(
    ("rate", "message"),
    [
        ("{rtee: 1e-4}", "s.yaml:2: kd: learning_rate: 'rtee' is no task; did you mean 'rte'?"),
        ("{rte: 1e-4}", "kd: learning_rate is given for rte and not for sst2"),
        (
            "{rte: -1, sst2: 1}",
            "s.yaml:2: methods.1.kd.learning_rate.rte: input should be greater than 0, not -1",
        ),
        ("fast", "s.yaml:2: methods.1.kd.learning_rate: input should be a valid number, not 'fast'"),
    ],
)
def test_mistakes_are_explained(rate, message):
    source = parse(f"name: s\nmethods: [finetune, {{kd: {{learning_rate: {rate}}}}}]\n", "s.yaml")
    with pytest.raises(BadInput) as error:
        resolve(make_sweep({**SWEEP, **source.data}, source))
    assert message in str(error.value)


@pytest.fixture
def job(tmp_path):
    sweep = make_sweep({**SWEEP, "methods": ["finetune", {"kd": {"learning_rate": RATES}}]})
    return resolve(sweep, output=str(tmp_path / "out"))


def test_a_worker_gets_its_tasks_rate_and_the_rows_label(job):
    rows = [node for node in job.plan.trials() if node.work.name == "kd"]
    assigned = [job.assignment(node, "a") for node in rows]
    assert [each.params["learning_rate"] for each in assigned] == [3e-5, 1e-4]
    assert {each.label for each in assigned} == {"kd:learning_rate=by-task"}


def test_a_record_written_under_another_label_counts_for_its_row(job, tmp_path):
    node = next(node for node in job.plan.trials() if node.work.name == "kd")
    leave(job.store, node_record(job.plan, node, label="kd:learning_rate=3e-05"), tmp_path / "files")
    assert job.store.scan().records[node.fingerprint].label == "kd:learning_rate=3e-05"
    for scan in (job.scan(), describe(job, "").scan(job.store)):
        assert scan.records[node.fingerprint].label == node.label
