"""Pre-training and what builds on it, through the engine: one node for all tasks, its own tokenizer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from small_world import SWEEP, write_data, write_model
from tiny_corpus import VOCABULARY, write_corpus
from tiny_tasks import write_tokenizer
from transformers import AlbertConfig, AlbertForMaskedLM, MobileBertConfig, MobileBertForPreTraining

from benchmark.config.sweep import Sweep
from benchmark.config.yaml_source import YamlSource
from benchmark.plan.job import resolve
from benchmark.store.manifest import describe
from benchmark.store.store import Store
from benchmark.studies import publish_studies
from benchmark.trial import resuming
from benchmark.trial.execute import execute
from methods import checkpoint
from tasks.errors import BadInput

TINY = {"vocabulary": VOCABULARY, "layers": 2, "hidden": 32, "heads": 2, "embedding": 16, "length": 32}
PRETRAINED = {**TINY, "steps": 4, "batch_size": 8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("world")
    write_model(made / "model")
    write_tokenizer(made / "model")
    write_data(made / "data")
    write_corpus(made / "corpus")
    return made


def job(folder: Path, **changes):
    fields = {
        **SWEEP,
        "methods": ["finetune", {"albert": {"pretrained": PRETRAINED}}],
        "seeds": 1,
        "corpus": "./corpus",
        "latency": None,
        **changes,
    }
    sweep = Sweep.model_validate(fields).read_from(YamlSource("sweep", None), folder)
    return resolve(sweep, output=str(folder / "out"), offline=True)


def test_one_encoder_serves_all_tasks_with_its_own_tokenizer(folder, monkeypatch):
    monkeypatch.setenv("LEANBOARD_CACHE", str(folder / "cache"))
    made = job(folder)
    nodes = [node for node in made.plan.nodes.values() if node.work.name != "finetune"]
    assert [node.task for node in nodes] == ["-", "rte", "sst2"]
    reported = []
    for node in nodes:
        assignment = made.assignment(node, "a")
        assignment = type(assignment).model_validate_json(assignment.model_dump_json())
        outcome = execute(assignment, lambda step, metrics, node=node: reported.append((node.task, metrics)))
        assert outcome.status == "done", outcome.message
    live = next(metrics for task, metrics in reported if task == "-")
    assert {"mlm_accuracy", "pair_accuracy", "tokens_per_second"} <= live.keys()
    encoder, *trials = [made.store.read(node.fingerprint) for node in nodes]
    assert (encoder.kind, encoder.task, encoder.seed, encoder.primary) == ("prerequisite", "-", 0, "")
    assert encoder.data == {"corpus": made.corpus.identity()}
    assert encoder.cost.steps == 4 and encoder.notes["pretraining"]["curve"]
    result = made.store.fetch(encoder, "result")
    assert type(checkpoint.load(result / "model")).__name__ == "CompactAlbertModel"
    assert not (folder / "out" / "resume" / encoder.fingerprint).exists()
    for one in trials:
        assert one.model_id == "pretrained-encoder"
        assert one.model.architecture["architectures"] == ["CompactAlbertForSequenceClassification"]
        assert one.notes["pretraining"]["steps"] == 4
        assert "accuracy" in one.scores


@pytest.mark.parametrize("method", ["mobilebert", "albert"])
def test_a_released_encoder_stands_beside_another_one(folder, method, monkeypatch):
    """The sweep's model is a BERT; a relative folder starts at the sweep's, and its content decides."""
    monkeypatch.setenv("LEANBOARD_CACHE", str(folder / "cache"))
    torch.manual_seed(0)
    shape = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2, "vocab_size": 45}
    narrow = {"embedding_size": 16, "intermediate_size": 32}
    if method == "mobilebert":
        config = MobileBertConfig(**shape, **narrow, intra_bottleneck_size=16, classifier_activation=False)
        MobileBertForPreTraining(config).save_pretrained(folder / method)
    else:
        AlbertForMaskedLM(AlbertConfig(**shape, **narrow)).save_pretrained(folder / method)
    write_tokenizer(folder / method)
    name = {"mobilebert": "checkpoint", "albert": "pretrained"}[method]
    fields = {"methods": ["finetune", {method: {name: f"./{method}"}}], "tasks": ["sst2"]}
    made = job(folder, **fields)
    node = next(node for node in made.plan.trials() if node.work.name == method)
    outcome = execute(made.assignment(node, "a"), lambda step, metrics: None)
    assert outcome.status == "done", outcome.message
    record = made.store.read(node.fingerprint)
    assert record.model_id == method and "accuracy" in record.scores
    weights = folder / method / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + bytes(4))
    again = next(node for node in job(folder, **fields).plan.trials() if node.work.name == method)
    assert again.fingerprint != node.fingerprint


def test_texts_longer_than_an_encoder_is_pretrained_for_are_refused_at_once(folder):
    with pytest.raises(
        BadInput, match=r"train.max_length: 48 is more than the 32 tokens that albert.* is pre"
    ):
        job(folder, train={**SWEEP["train"], "max_length": 48})


def test_what_other_code_or_another_start_has_left_is_not_gone_on_from(tmp_path, monkeypatch):
    place = resuming.Resuming(Store(str(tmp_path)), "key")
    first = place.open("methods.fit", {"finetune": 1.0})
    (first / "kept").write_text("half of it")
    assert (place.open("methods.fit", {"finetune": 1.0}) / "kept").exists()
    assert not list(place.open("methods.fit", {"finetune": 2.0}).iterdir()) and not first.exists()
    (place.open("methods.fit", {"finetune": 1.0}) / "kept").write_text("half of it")
    monkeypatch.setattr(resuming, "digest", lambda module: "other code")
    assert not list(place.open("methods.fit", {"finetune": 1.0}).iterdir()) and not first.exists()
    place.clear()
    assert not list(tmp_path.glob("resume/*"))


def test_studies_read_what_the_trials_left(folder, monkeypatch):
    monkeypatch.setenv("LEANBOARD_CACHE", str(folder / "cache"))
    grid = {"albert": {"pretrained": {**PRETRAINED, "share": {"grid": ["all", "none"]}}}}
    studies = ["sharing-ablation", "sentence-objective", "layer-distance"]
    made = job(folder, methods=["finetune", grid], tasks=["sst2"], studies=studies)
    for node in made.plan.nodes.values():
        if node.work.name != "finetune":
            assert execute(made.assignment(node, "b"), lambda step, metrics: None).status == "done"
    records = list(made.store.scan(made.plan.nodes).records.values())
    sharing, objective, distance = publish_studies(made.store, describe(made, ""), records)
    assert "points against none: all" in " ".join(sharing.conclusion)
    assert objective.conclusion[0].startswith("Nothing to compare")
    assert "share all" in distance.conclusion[0] and "than not shared" in distance.conclusion[0]
    table = (distance.folder / "table.csv").read_text().splitlines()
    assert len(table) == 1 + 2 * PRETRAINED["layers"]


def test_a_sweep_that_pretrains_needs_a_corpus(folder):
    with pytest.raises(BadInput, match="corpus: missing, but pretrained-encoder"):
        job(folder, corpus=None)
    with pytest.raises(BadInput, match="corpus: missing, but shared-layers:corpus_tokens=5000 learns"):
        job(folder, corpus=None, methods=["finetune", {"shared-layers": {"corpus_tokens": 5000}}])
    with pytest.raises(BadInput, match="no folder"):
        job(folder, corpus="./nowhere")


def test_the_corpus_may_be_said_in_full(folder):
    made = job(folder, corpus={"source": "corpus", "column": "body"})
    assert json.loads(made.sweep.model_dump_json())["corpus"]["column"] == "body"
    assert Path(made.corpus.source) == folder / "corpus"


def test_an_encoder_named_by_a_method_is_found_like_the_sweep_s(folder):
    shutil.copytree(folder / "model", folder / "an-albert")
    config = folder / "an-albert" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": "albert"}))
    made = job(folder, methods=["finetune", {"albert": {"pretrained": "./an-albert"}}], corpus=None)
    node = next(node for node in made.plan.nodes.values() if node.work.name == "albert")
    assert made.assignment(node, "a").models["./an-albert"].path == str(folder / "an-albert")
    with pytest.raises(BadInput, match=r"'\./model' is a 'bert' model, not an ALBERT"):
        job(folder, methods=["finetune", {"albert": {"pretrained": "./model"}}], corpus=None)
    with pytest.raises(BadInput, match="no folder"):
        job(folder, methods=["finetune", {"albert": {"pretrained": "./nowhere"}}])


def test_grids_reach_into_a_pretraining(folder):
    shared = {"share": {"grid": ["all", "none"]}, "objective": {"grid": ["mlm", "mlm+sop"]}}
    made = job(folder, methods=["finetune", {"albert": {"pretrained": shared, "epochs": {"grid": [1, 2]}}}])
    labels = {method.label for method in made.methods}
    assert len(labels) == 9
    assert "albert:pretrained.objective=mlm,pretrained.share=none,epochs=2" in labels
    encoders = {node.label for node in made.plan.nodes.values() if node.task == "-"}
    assert len(encoders) == 4


def test_a_warm_start_takes_vocabulary_and_widths_of_the_sweep_s_encoder(folder, monkeypatch):
    monkeypatch.setenv("LEANBOARD_CACHE", str(folder / "cache"))
    fields = {"warm_start": True, "layers": 2, "embedding": 8, "length": 32, "steps": 2, "batch_size": 8}
    made = job(folder, methods=["finetune", {"albert": {"pretrained": fields}}])
    node = next(node for node in made.plan.nodes.values() if node.task == "-")
    outcome = execute(made.assignment(node, "a"))
    assert outcome.status == "done", outcome.message
    # Its head was given the words' frequencies before the first step: below the 3.8 of one word in 45.
    assert 0 < made.store.read(node.fingerprint).notes["pretraining"]["fitted_mlm_loss"] < 3.8
    config = checkpoint.load(made.store.fetch(made.store.read(node.fingerprint), "result") / "model").config
    assert (config.vocab_size, config.hidden_size, config.num_attention_heads) == (45, 32, 4)
    assert (config.embedding_size, config.num_hidden_layers, config.share) == (8, 2, "all")
