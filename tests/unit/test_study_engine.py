"""Studies in sweeps, plans, manifests, published files and the command line; nothing is trained."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pytest
from small_plans import context, leave
from study_records import ablation
from typer.testing import CliRunner

from benchmark import cli
from benchmark.config.grid import expand_studies
from benchmark.config.load import make_sweep
from benchmark.engine import Options, _wanted
from benchmark.plan.job import Job, resolve
from benchmark.plan.plan import build
from benchmark.running import _apart
from benchmark.store.manifest import describe
from benchmark.store.store import Store
from benchmark.studies import find_report, publish_studies
from benchmark.tracking.state import board_stamp
from methods.baselines.finetune import Finetune
from methods.pruning.sixteen_heads import SixteenHeads
from methods.studies.head_ablation import HeadAblation
from methods.studies.layerwise import Layerwise
from methods.studies.pruning_speed import PruningSpeed
from methods.studies.transfer import Transfer
from reports import decisions, predictions
from reports.board import StudyFacts
from reports.record import Collapse
from reports.studies import head_ablation
from reports.studies.content import Findings, Table
from tasks.errors import BadInput
from tasks.glue import RTE, SST2

SWEEP = {
    "name": "first",
    "model": "minilm",
    "data": "bundled",
    "tasks": ["cola", "rte"],
    "methods": ["finetune"],
    "seeds": 2,
}


def make_plan(*studies, methods=(Finetune(),)):
    return build(methods, (RTE, SST2), (1, 2), context(), studies=studies)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


# -- sweeps and plans ------------------------------------------------------------------------------------


def test_studies_are_written_like_methods():
    entries = ["head-ablation", {"pruning-curve": {"step": {"grid": [0.05, 0.1]}}}]
    found = expand_studies(make_sweep({**SWEEP, "studies": entries}))
    assert [study.label for study in found] == ["head-ablation", "pruning-curve:step=0.05", "pruning-curve"]


@pytest.mark.parametrize(
    ("studies", "message"),
    [
        (["head-ablatoin"], "unknown study 'head-ablatoin'; did you mean 'head-ablation'"),
        (
            [{"pruning-curve": {"setp": 0.1}}],
            "studies.0.pruning-curve.setp: unknown key; did you mean 'step'",
        ),
        (["one-head", "one-head"], "one-head appears twice among the studies"),
        ("one-head", "must be a list"),
        (["transfer"], "transfer: rte has no two domains"),
    ],
)
def test_bad_studies_are_refused(studies, message):
    with pytest.raises(BadInput, match=re.escape(message)):
        resolve(make_sweep({**SWEEP, "studies": studies}))


def test_a_study_is_a_node_per_task_and_seed_that_shares_the_start_model():
    plain, plan = make_plan(), make_plan(HeadAblation())
    assert plan.rows == plain.rows
    assert len(plan.studies) == 4
    assert plan.nodes.keys() - plain.nodes.keys() == plan.studies
    for key in plan.studies:
        ((name, need),) = plan.nodes[key].needs
        assert name == "finetune"
        assert need in plan.rows & plan.kept


def test_two_studies_of_the_same_trials_are_the_same_nodes():
    assert make_plan(HeadAblation(), Transfer(first=5)).nodes.keys() == make_plan(HeadAblation()).nodes.keys()
    assert make_plan(Layerwise()).studies == set()


def test_what_depends_on_neither_task_nor_seed_is_run_once_and_alone():
    plan = make_plan(HeadAblation(), PruningSpeed())
    (speed,) = (key for key in plan.studies if plan.nodes[key].label == "pruning-speed")
    assert (plan.nodes[speed].task, plan.nodes[speed].seed) == ("rte", 1)
    groups = _apart(plan.nodes)
    assert [len(group) for group in groups] == [len(plan.nodes) - 1, 1]
    assert list(groups[1]) == [speed]
    assert _apart({}) == []


def test_what_is_missing_for_a_study_alone_leaves_the_rest():
    plan = make_plan(HeadAblation(), methods=(Finetune(), SixteenHeads()))
    missing = plan.missing({}, plan.studies)
    assert {node.label for node in missing.values()} == {"finetune", "head-ablation"}
    assert {node.label for node in plan.missing({}).values()} == {
        "finetune",
        "head-ablation",
        "sixteen-heads",
    }
    done = dict.fromkeys(plan.studies, False)
    assert plan.missing(done, plan.studies) == {}


def test_a_task_of_one_validation_split_keeps_its_fingerprint_content():
    plan = make_plan()
    assert all("validation" not in plan.decides(node)["task"] for node in plan.nodes.values())


# -- manifest and files ----------------------------------------------------------------------------------


@pytest.fixture
def job(tmp_path) -> Job:
    sweep = make_sweep(
        {**SWEEP, "tasks": ["cola"], "studies": ["head-ablation", {"transfer": {"first": 250}}]}
    )
    return resolve(sweep, output=str(tmp_path / "out"))


def left(job: Job, folder) -> Store:
    """The store with the records of `head-ablation` for both seeds."""
    made = ablation(lambda seed, layer, head: 80 * (head == 1), seeds=2)
    for key, one in zip(
        sorted(job.plan.studies, key=lambda k: job.plan.nodes[k].seed), made.records, strict=True
    ):
        file = io.BytesIO()
        decisions.write(made.read(one), file)
        node = job.plan.nodes[key]
        facts = {
            "fingerprint": key,
            "decides": job.plan.decides(node),
            "label": node.label,
            "seed": node.seed,
        }
        scores = [each.model_copy(update={"scores": {"matthews": 0.5}}) for each in one.variants]
        record = one.model_copy(update={**facts, "variants": scores, "primary": "matthews"})
        leave(job.store, record, folder, **{decisions.FILE: file.getvalue()})
    return job.store


def test_the_manifest_knows_what_each_study_is_made_of(job):
    manifest = describe(job, "")
    ablation_, transfer_ = manifest.studies
    assert manifest.reported(ablation_).keys() == manifest.reported(transfer_).keys() == job.plan.studies
    assert manifest.targets().keys() == job.plan.targets
    assert _wanted(manifest, Options()) == job.plan.targets
    assert _wanted(manifest, Options(study="transfer:first=250")) == job.plan.studies
    assert manifest.sweep.tasks[0].domains["in-domain"] == (0, 527)


def test_studies_are_published_once_and_again_when_a_record_changes(job, tmp_path):
    store, manifest = left(job, tmp_path / "files"), describe(job, "")
    records = list(store.scan(job.plan.nodes).records.values())
    found = publish_studies(store, manifest, records)
    assert [study.label for study in found] == ["head-ablation", "transfer:first=250"]
    page = found[0].folder / "index.md"
    assert page == tmp_path / "out" / "studies" / "head-ablation" / "index.md"
    assert found[0].conclusion[0] in page.read_text()
    page.write_text("untouched")
    assert publish_studies(store, manifest, records) == found
    assert page.read_text() == "untouched"
    assert publish_studies(store, manifest, records, force=True) == found
    assert page.read_text() != "untouched"
    (one, _) = records
    fewer = publish_studies(store, manifest, [one])
    assert fewer[0].stamp != found[0].stamp
    assert "Incomplete: 1 trials have no result" in page.read_text()
    assert publish_studies(store, manifest, []) == []


def test_a_study_of_a_collapsed_start_model_says_so_first(job, tmp_path):
    store, manifest = left(job, tmp_path / "files"), describe(job, "")
    sound, broken = store.scan(job.plan.nodes).records.values()
    collapsed = Collapse(collapsed=True, reason="all predictions are one class")
    records = [sound, broken.model_copy(update={"teacher_collapse": collapsed})]
    for published in publish_studies(store, manifest, records):
        title = manifest.sweep.tasks[0].title
        said = f"{title}: the start model collapsed (seed {broken.seed}); what is found there"
        assert published.conclusion[0].startswith(said)
        assert f"- {said}" in (published.folder / "index.md").read_text()
    assert not any("collapsed" in s for s in publish_studies(store, manifest, [sound])[0].conclusion)


def test_a_report_reads_the_predictions_of_methods_where_it_asks_for_their_records(tmp_path, monkeypatch):
    seen = []

    def look(study, sweep, records, variants):
        seen.append({record.label: list(variants(record)) for record in records})
        return Findings("", [], Table(["a"], []), Table(["a"], []))

    monkeypatch.setattr(head_ablation, "report", look)
    sweep = make_sweep({**SWEEP, "tasks": ["cola"], "seeds": 1, "studies": ["head-ablation"]})
    job = resolve(sweep, output=str(tmp_path / "out"))
    manifest = describe(job, "")
    made = ablation(lambda seed, layer, head: 0, layers=1, heads=1, seeds=1)
    (one,), (saved,) = made.records, made.saved.values()
    own = saved["0.0"]
    logits = predictions.Predictions(own.index, own.labels, np.eye(2, dtype=np.float32)[own.classes])
    for key, kind, role, write in (
        (*job.plan.studies, "study", decisions.FILE, lambda file: decisions.write(saved, file)),
        (*job.plan.rows, "trial", "predictions.parquet", lambda file: predictions.write(logits, file)),
    ):
        file, node = io.BytesIO(), job.plan.nodes[key]
        write(file)
        facts = {"fingerprint": key, "decides": job.plan.decides(node), "kind": kind, "label": node.label}
        leave(job.store, one.model_copy(update=facts), tmp_path / "files", **{role: file.getvalue()})
    records = list(job.store.scan(job.plan.nodes).records.values())
    publish_studies(job.store, manifest, records)
    (plain,) = manifest.studies
    asks = manifest.model_copy(update={"studies": (plain.model_copy(update={"rows": True}),)})
    publish_studies(job.store, asks, records)
    both = {"head-ablation": ["unpruned", "0.0"], "finetune": [decisions.RESULT]}
    assert seen == [{"head-ablation": both["head-ablation"]}, both]
    assert publish_studies(job.store, asks, [r for r in records if r.kind == "trial"]) == []


def test_mlflow_is_out_of_date_when_a_study_changes(job, tmp_path):
    class Board:
        def model_dump_json(self):
            return "{}"

    store, manifest = left(job, tmp_path / "files"), describe(job, "")
    records = list(store.scan(job.plan.nodes).records.values())
    both, one = publish_studies(store, manifest, records), publish_studies(store, manifest, records[:1])
    stamps = {board_stamp(Board(), studies) for studies in ((), both, one)}
    assert len(stamps) == 3


# -- the command line ------------------------------------------------------------------------------------


def call(*words: str) -> str:
    done = CliRunner().invoke(cli.app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def refused(*words: str) -> str:
    with pytest.raises(BadInput) as error:
        CliRunner().invoke(cli.app, list(words), catch_exceptions=False)
    return str(error.value)


def test_help_teaches_and_the_list_shows_every_study(folder):
    text = re.sub(r"\x1b\[[0-9;]*m", "", call("study", "--help"))
    for fragment in ("head-ablation --task cola --model minilm", "--sweep", "--option", "studies/<label>"):
        assert fragment in text
    listed = json.loads(call("list", "studies", "--json"))
    assert {"head-ablation", "layerwise", "pruning-speed"} <= {study["name"] for study in listed}
    assert all(study["shows"] for study in listed)
    assert "head-ablation" in call("list", "studies")
    assert re.search(r"step +0\.1", call("list", "studies", "pruning-curve"))


def test_a_dry_run_shows_what_the_study_needs(folder):
    base = ("study", "pruning-curve", "--task", "CoLA", "--model", "minilm", "--data", "bundled")
    out = call(*base, "--seeds", "2", "--option", "step=0.25", "--set", "train.epochs=1", "--dry-run")
    assert "pruning-curve:step=0.25" in out
    assert "4 of 4 nodes to run" in out
    assert not (folder / "runs").exists()


def test_a_sweep_gives_tasks_seeds_and_the_output(folder):
    methods = ["finetune", "sixteen-heads"]
    (folder / "mine.yaml").write_text(json.dumps({**SWEEP, "name": "mine", "methods": methods}))
    out = call("study", "one-head", "--sweep", "mine.yaml", "--dry-run")
    # Two tasks and seeds: start models and the study, but not the sweep's methods.
    assert "8 of 8 nodes to run, 0 cached" in out
    assert "sixteen-heads" not in out
    assert str(folder / "runs" / "mine") in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("head-ablatoin",), "unknown study 'head-ablatoin'; did you mean 'head-ablation'"),
        (("one-head", "--model", "minilm"), "add --task cola"),
        (("one-head", "--task", "cola"), "add --model minilm"),
        (("pruning-curve", "--option", "stepp=1"), "stepp: unknown key; did you mean 'step'"),
        (("pruning-curve", "--option", "step"), "--option step: write KEY=VALUE, e.g. --option step=0.05"),
        (("one-head", "--task", "colla", "--model", "minilm", "--data", "bundled"), "did you mean 'cola'"),
        (("transfer", "--task", "rte", "--model", "minilm", "--data", "bundled"), "take cola or mnli"),
    ],
)
def test_mistakes_are_explained(folder, words, message):
    assert message in refused("study", *words)


@pytest.mark.parametrize("report", ["no_such_module:report", "reports.studies.transfer:no_such_report"])
def test_a_report_that_cannot_be_imported_is_told_before_anything_runs(report):
    with pytest.raises(BadInput, match=f"study mine: its report '{report}' cannot be imported"):
        find_report(StudyFacts(label="mine", study="mine", report=report))


def test_reports_are_imported_before_the_cluster_is_asked_for(monkeypatch):
    from types import SimpleNamespace

    from benchmark import engine as sweep
    from benchmark.cluster import cluster

    monkeypatch.setattr(cluster, "connected", lambda *_, **__: pytest.fail("the work began"))
    broken = SimpleNamespace(
        studies=(StudyFacts(label="mine", study="mine", report="no_such_module:report"),)
    )
    with pytest.raises(BadInput, match="cannot be imported"):
        sweep._work(None, {}, broken, None, None, Options(), None)
