from __future__ import annotations

import json
from typing import ClassVar

import pytest
from small_plans import METHODS, context, plan

from benchmark.config.load import make_sweep
from benchmark.plan import fingerprint as module
from benchmark.plan.fingerprint import canonical, fingerprint
from benchmark.plan.job import resolve
from methods import pretrained
from methods.baselines.finetune import Finetune
from methods.compact.mobilebert.ib_bert_teacher import IbBertTeacher
from methods.compact.mobilebert.mobilebert_transfer import MobileBertTransfer
from methods.distillation.kd import KnowledgeDistillation
from methods.method import Work
from methods.pretraining.encoder import PretrainedEncoder
from methods.pruning.sixteen_heads import SixteenHeads
from methods.settings import Training
from tasks.glue import RTE, SST2
from tasks.loading import BUNDLED


def keys(built) -> dict[str, str]:
    return {node.name: key for key, node in built.nodes.items()}


def changed(one, other) -> set[str]:
    a, b = keys(one), keys(other)
    return {name for name in a.keys() | b.keys() if a.get(name) != b.get(name)}


def test_canonical_json_knows_no_order_and_no_spaces():
    assert canonical({"b": 1, "a": [1.0, None, True, "ü"]}) == '{"a":[1.0,null,true,"\\u00fc"],"b":1}'
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint([1, 2]) != fingerprint([2, 1])


def test_it_is_the_sha256_of_the_text():
    # echo -n '{"a":1}' | sha256sum
    assert fingerprint({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"


def test_it_survives_a_file():
    content = {"rate": 2e-5, "third": 1 / 3, "names": ["a"], "none": None, "big": 2**60}
    assert fingerprint(json.loads(json.dumps(content))) == fingerprint(content)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_has_no_fingerprint(value):
    with pytest.raises(ValueError, match="JSON"):
        fingerprint({"a": value})


def test_a_node_is_called_by_the_hash_of_what_decides_it():
    built = plan()
    for key, node in built.nodes.items():
        assert fingerprint(built.decides(node)) == key


@pytest.mark.parametrize(
    "changes",
    [
        {"model": {"id": "minilm", "sha256": "9" * 64}},
        {"model": {"id": "other", "sha256": "0" * 64}},
        {"limit": 100},
        {"selection": 0.25},
        *(
            {"training": Training(precision="fp32", device="cpu").override(**{field: value})}
            for field, value in {
                "epochs": 4,
                "batch_size": 16,
                "learning_rate": 1e-5,
                "warmup": 0.0,
                "weight_decay": 0.0,
                "max_length": 64,
                "precision": "bf16",
                "device": "cuda",
            }.items()
        ),
    ],
    ids=str,
)
def test_every_deciding_setting_changes_every_node(changes):
    assert changed(plan(), plan(**changes)) == set(keys(plan()))


def test_every_training_setting_is_among_the_deciding_ones():
    decides = plan().decides(next(iter(plan().nodes.values())))
    assert set(decides["train"]) == set(Training.model_fields)


def test_the_protocol_changes_every_node(monkeypatch):
    before = plan()
    monkeypatch.setattr("benchmark.plan.context.PROTOCOL", module.PROTOCOL + 1)
    assert changed(before, plan()) == set(keys(before))


def test_the_data_of_one_task_changes_its_nodes_alone():
    other = plan(data={"rte": {"sha256": "7" * 64}, "sst2": {"sha256": "2" * 64}})
    found = changed(plan(), other)
    assert found == {name for name in keys(plan()) if ".rte." in name}


@pytest.mark.parametrize(
    "change",
    [
        {"labels": ("no", "yes")},
        {"columns": ("sentence1",)},
        {"label": "gold"},
        {"metrics": ("accuracy", "f1")},
    ],
    ids=str,
)
def test_what_a_task_declares_changes_its_nodes(change):
    other = plan(tasks=[RTE.model_copy(update=change), SST2])
    assert changed(plan(), other) == {name for name in keys(plan()) if ".rte." in name}


@pytest.mark.parametrize(
    "change", [{"margin": 9.0}, {"citation": "x"}, {"title": "x"}, {"majority": 0.1}], ids=str
)
def test_what_decides_no_result_changes_nothing(change):
    assert changed(plan(), plan(tasks=[RTE.model_copy(update=change), SST2])) == set()


def test_a_field_changes_the_nodes_of_its_method_alone():
    methods = (METHODS[0], SixteenHeads(heads=0.25), METHODS[2])
    assert changed(plan(), plan(methods)) == {
        f"sixteen-heads:heads={share}.{task}.{seed}"
        for share in (0.25, 0.5)
        for task in ("rte", "sst2")
        for seed in (1, 2)
    }


def test_a_version_changes_the_method_and_what_starts_from_it(monkeypatch):
    before = plan()
    monkeypatch.setattr(SixteenHeads, "version", SixteenHeads.version + 1)
    assert {name.split(".rte")[0].split(".sst2")[0] for name in changed(before, plan())} == {
        "sixteen-heads:heads=0.5"
    }
    monkeypatch.setattr(Finetune, "version", Finetune.version + 1)
    assert changed(before, plan()) == set(keys(before))


def test_a_grid_of_finetune_leaves_what_others_start_from():
    other = plan((*METHODS, Finetune(learning_rate=1e-5)))
    assert changed(plan(), other) == {
        f"finetune:learning_rate=1e-05.{task}.{seed}" for task in ("rte", "sst2") for seed in (1, 2)
    }


def test_a_method_with_a_gpu_has_fingerprints_of_its_own():
    other = plan(training_by_method={"kd": Training(precision="bf16", device="cuda")})
    assert {name.split(".")[0] for name in changed(plan(), other)} == {"kd:layers=3"}


def test_seeds_and_tasks_added_leave_the_others_alone():
    assert all(name.endswith(".3") for name in changed(plan(), plan(seeds=(1, 2, 3))))
    assert all(".sst2." in name for name in changed(plan(tasks=[RTE]), plan()))


SWEEP = {
    "name": "first",
    "model": "minilm",
    "data": "bundled",
    "tasks": ["rte"],
    "methods": ["finetune", {"kd": {"layers": 3}}],
    "seeds": 2,
    "train": {"precision": "fp32"},
}


@pytest.mark.parametrize(
    "change",
    [
        {"name": "second"},
        {"timeout": 1},
        {"margins": {"rte": 9, "overall": 1}},
        {"resources": {"cpu": 2, "methods": {"kd": {"cpu": 1}}}},
        {"latency": None},
        {"latency": {"batch_sizes": [2], "length": 16, "repeats": 3}},
        {"baseline": "kd:layers=3"},
        {"collapsed_teacher": "fail"},
        {"tasks": ["RTE"]},
        {"methods": [{"kd": {"layers": 3}}, {"finetune": {}}]},
        {"seeds": [2, 1]},
    ],
    ids=str,
)
def test_what_a_sweep_says_beside_the_result_changes_nothing(tmp_path, change):
    before = resolve(make_sweep(SWEEP), output=str(tmp_path / "here"))
    after = resolve(make_sweep({**SWEEP, **change}), output=str(tmp_path / "there"))
    assert set(before.plan.nodes) == set(after.plan.nodes)


def test_where_model_and_data_lie_changes_nothing(tmp_path):
    path = pretrained.resolve("minilm", folder=tmp_path, offline=True).path
    found = []
    for place in ("one", "two"):
        folder = tmp_path / place
        folder.mkdir()
        (folder / f"model-{place}").symlink_to(path)
        (folder / "data").symlink_to(BUNDLED)
        sweep = make_sweep({**SWEEP, "model": str(folder / f"model-{place}"), "data": str(folder / "data")})
        found.append(set(resolve(sweep, output=str(folder / "out")).plan.nodes))
    assert found[0] == found[1]


def test_auto_is_resolved_before(monkeypatch):
    found = {}
    for has in (True, False):
        monkeypatch.setattr("benchmark.environment.has_bf16", lambda has=has: has)
        auto = resolve(make_sweep({**SWEEP, "train": {"precision": "auto"}}))
        named = resolve(make_sweep({**SWEEP, "train": {"precision": "bf16" if has else "fp32"}}))
        assert set(auto.plan.nodes) == set(named.plan.nodes)
        found[has] = set(auto.plan.nodes)
    assert not found[True] & found[False]


def test_the_context_holds_nothing_that_decides_nothing():
    decides = plan((KnowledgeDistillation(),)).decides(next(iter(plan().nodes.values())))
    assert set(decides) == {
        "protocol", "method", "version", "params", "task", "data", "model", "train", "limit", "selection",
        "seed", "needs",
    }  # fmt: skip
    assert context().redraws == 0


def test_a_limit_by_task_is_the_tasks_own_number():
    by_task, whole = plan(limit={"sst2": 100}), plan(limit=100)
    for key, node in by_task.nodes.items():
        assert by_task.decides(node)["limit"] == (100 if node.task == "sst2" else None)
        assert (key in whole.nodes) == (node.task == "sst2")
    assert set(plan(limit=None).nodes) & set(by_task.nodes)


def test_a_named_student_counts_by_its_content_and_not_by_its_name():
    def of(name, sha256):
        models = {name: {"id": "student", "sha256": sha256}}
        built = plan((KnowledgeDistillation(student=name),), models=models)
        return {key for key, node in built.nodes.items() if node.work.name == "kd"}

    assert of("../here", "1" * 64) == of("/there", "1" * 64)
    assert not of("../here", "1" * 64) & of("../here", "2" * 64)
    built = plan((KnowledgeDistillation(student="../here"),), models={"../here": {"id": "student"}})
    assert all("../here" not in str(built.decides(node)) for node in built.nodes.values())


def test_a_named_student_reaches_the_worker_by_where_it_lies(tmp_path):
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / "config.json").write_text("{}")
    sweep = make_sweep({**SWEEP, "methods": ["finetune", {"kd": {"student": "student"}}]}, folder=tmp_path)
    job = resolve(sweep, output=str(tmp_path / "out"))
    kinds = {node.work.name: job.assignment(node, "a") for node in job.plan.nodes.values()}
    assert kinds["finetune"].models == {}
    source = kinds["kd"].models["student"]
    assert source.path == str(tmp_path / "student")
    assert kinds["kd"].decides["params"]["student"] == source.identity()
    assert str(tmp_path) not in str(kinds["kd"].decides)
    assert fingerprint(kinds["kd"].decides) == kinds["kd"].fingerprint


class _Inner(Work, name="inner"):
    later: ClassVar[frozenset[str]] = frozenset({"new"})
    old: int = 1
    new: int = 2


class _Outer(Work, name="outer"):
    later: ClassVar[frozenset[str]] = frozenset({"newer"})
    inner: _Inner = _Inner()
    newer: int = 3


class _Lowest(_Outer, name="lowest"):
    later: ClassVar[frozenset[str]] = frozenset({"newest"})
    newest: int = 4


def test_a_field_that_came_later_is_in_no_fingerprint_at_its_default_wherever_it_stands():
    assert _Lowest().deciding() == {"inner": {"old": 1}}
    changed = _Lowest(inner=_Inner(new=5), newest=6)
    assert changed.deciding() == {"inner": {"old": 1, "new": 5}, "newest": 6}
    assert {*_Lowest().model_dump()} == {"inner", "newer", "newest"}, "a worker gets all of them"


def test_a_unigram_vocabulary_has_a_revision_of_its_own():
    for work in (PretrainedEncoder, IbBertTeacher, MobileBertTransfer):
        fields = {"tokenizer": "unigram"}
        if work is MobileBertTransfer:
            fields["teacher"] = IbBertTeacher(tokenizer="unigram")
        assert work(**fields).revision() == work().revision() + 1
