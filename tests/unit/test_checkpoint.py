import json

import pytest
import torch
from tiny_encoders import HEADS, KINDS, encoder, examples, share_layers
from transformers import AutoModelForSequenceClassification

from methods import checkpoint, encoders
from methods.pruning.surgery import prune_heads, prune_neurons
from tasks.batches import in_order
from tasks.errors import BadInput


def _logits(model):
    (batch,) = in_order(examples(model, 8), 8)
    with torch.no_grad():
        return model(**batch.inputs).logits


def _plain(model):
    pass


def _pruned(model):
    prune_heads(model, {0: range(HEADS), 1: [0, 2]})


def _shared(model):
    share_layers(model, [0, 0, 1])


def _shared_and_pruned(model):
    share_layers(model, [0, 1, 0])
    prune_heads(model, {0: [1, 3], 1: range(HEADS)})


def _narrowed_and_pruned(model):
    prune_neurons(model, {0: range(5, 40), 2: [0, 47]})
    prune_heads(model, {0: [1, 3], 1: range(HEADS)})


CHANGES = (_plain, _pruned, _shared, _shared_and_pruned, _narrowed_and_pruned)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_model_has_the_same_logits_parameters_and_ties(kind, change, tmp_path):
    model = encoder(kind)
    change(model)
    loaded = checkpoint.load(checkpoint.save(model, tmp_path / "deep" / "model"))
    assert torch.equal(_logits(model), _logits(loaded))
    assert encoders.parameters(model) == encoders.parameters(loaded)
    assert [layer.positions for layer in encoders.layers(loaded)] == [
        layer.positions for layer in encoders.layers(model)
    ]
    assert checkpoint.architecture(loaded) == checkpoint.architecture(model)
    assert not loaded.training
    assert all(parameter.requires_grad for parameter in loaded.parameters())


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_model_can_be_pruned_on_in_the_original_numbering(kind, change, tmp_path):
    model = encoder(kind)
    change(model)
    loaded = checkpoint.load(checkpoint.save(model, tmp_path))
    for each in (model, loaded):
        prune_heads(each, {2: [0, 1]})
    assert loaded.config.kept_heads == model.config.kept_heads
    assert torch.equal(_logits(model), _logits(loaded))


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", KINDS)
def test_an_architecture_survives_json_and_builds_the_same_shapes(kind, change):
    model = encoder(kind)
    change(model)
    built = checkpoint.build(json.loads(json.dumps(checkpoint.architecture(model))))
    assert type(built) is type(model)
    assert encoders.parameters(built) == encoders.parameters(model)
    assert {n: t.shape for n, t in built.state_dict().items()} == {
        n: t.shape for n, t in model.state_dict().items()
    }
    assert torch.isfinite(_logits(built)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_shared_layers_are_stored_once(kind, tmp_path):
    whole, shared = encoder(kind), encoder(kind)
    share_layers(shared, [0, 0, 0])
    sizes = [
        (checkpoint.save(model, tmp_path / str(n)) / checkpoint.WEIGHTS).stat().st_size
        for n, model in enumerate((whole, shared))
    ]
    saved = encoders.parameters(whole).total - encoders.parameters(shared).total
    # The header is smaller too, as it names fewer tensors.
    assert 0 <= sizes[0] - sizes[1] - 4 * saved < 10_000


def test_loading_neither_reads_nor_changes_random_state(tmp_path):
    folder = checkpoint.save(encoder("bert"), tmp_path)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    checkpoint.load(folder)
    assert torch.equal(torch.rand(3), expected)
    assert torch.nn.Linear(3, 3).weight.abs().sum() > 0, "initialisation must work again after loading"


def test_no_local_path_or_version_is_kept(tmp_path):
    model = encoder("bert")
    model.config._name_or_path = str(tmp_path)
    assert str(tmp_path) not in json.dumps(checkpoint.architecture(model))
    assert "transformers_version" not in checkpoint.architecture(model)


def test_transformers_reads_an_unpruned_model(tmp_path):
    model = encoder("bert")
    checkpoint.save(model, tmp_path)
    read = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert torch.equal(_logits(read), _logits(model))


def test_labels_are_kept(tmp_path):
    model = encoder("bert")
    model.config.id2label = {0: "no", 1: "yes"}
    loaded = checkpoint.load(checkpoint.save(model, tmp_path))
    assert loaded.config.id2label == {0: "no", 1: "yes"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_config_out_of_step_is_refused_before_anything_is_written(kind, tmp_path):
    truncated, tied = encoder(kind), encoder(kind)
    del encoders.stack(truncated)[2]
    share_layers(tied, [0, 0, 1])
    del tied.config.layer_groups
    for model in (truncated, tied):
        with pytest.raises(ValueError, match="does not describe"):
            checkpoint.save(model, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def _depth(config):
    config["n_layers" if "n_layers" in config else "num_hidden_layers"] = 2


def _groups(config):
    config["layer_groups"] = [0, 0, 1]


def _neurons(config):
    config["kept_neurons"] = [5, 5, 5]


@pytest.mark.parametrize("change", [_depth, _groups, _neurons])
@pytest.mark.parametrize("kind", KINDS)
def test_a_config_of_another_model_is_refused_when_read(kind, change, tmp_path):
    folder = checkpoint.save(encoder(kind), tmp_path / "stored")
    config = json.loads((folder / checkpoint.CONFIG).read_text())
    change(config)
    (folder / checkpoint.CONFIG).write_text(json.dumps(config))
    with pytest.raises(BadInput, match=r"stored: .* belong to two models; put back .* make it anew") as told:
        checkpoint.load(folder)
    assert len(str(told.value)) < 500 + len(str(folder)), "of many tensors one is named"


def test_running_out_of_memory_is_no_mistake_in_a_folder(tmp_path, monkeypatch):
    folder = checkpoint.save(encoder("bert"), tmp_path)

    def load_model(*_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(checkpoint, "load_model", load_model)
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        checkpoint.load(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_first_layers_alone_are_a_model_of_their_own(kind, tmp_path):
    model = encoder(kind)
    del encoders.stack(model)[2]
    model.config.num_hidden_layers = 2
    loaded = checkpoint.load(checkpoint.save(model, tmp_path))
    assert torch.equal(_logits(model), _logits(loaded))


def _signature(*changes, kind="bert", **config):
    model = encoder(kind)
    for change in changes:
        change(model)
    for key, value in config.items():
        setattr(model.config, key, value)
    signature = checkpoint.signature(model)
    assert checkpoint.signature(json.loads(json.dumps(checkpoint.architecture(model)))) == signature
    return signature


def test_signature_tells_counts_of_heads_not_which():
    first = _signature(lambda model: prune_heads(model, {0: [0], 1: range(HEADS)}))
    assert first == _signature(lambda model: prune_heads(model, {0: [3], 1: range(HEADS)}))
    assert first != _signature(lambda model: prune_heads(model, {1: [3], 0: range(HEADS)}))
    assert first != _signature()
    assert _signature() == _signature(lambda model: prune_heads(model, {0: []}))


def test_signature_tells_counts_of_neurons_not_which():
    first = _signature(lambda model: prune_neurons(model, {0: [0, 1]}))
    assert first == _signature(lambda model: prune_neurons(model, {0: [5, 9]}))
    assert first != _signature(lambda model: prune_neurons(model, {1: [0, 1]}))
    assert _signature() == _signature(lambda model: prune_neurons(model, {0: []}))


def test_signature_does_not_see_sharing_names_or_dropout():
    plain = _signature()
    assert plain == _signature(_shared)
    assert plain == _signature(hidden_dropout_prob=0.3, _name_or_path="elsewhere")
    assert plain == _signature(id2label={0: "no", 1: "yes"}, label2id={"no": 0, "yes": 1})


def test_signature_sees_kind_depth_widths_and_classes():
    names = {str(number): number for number in range(3)}
    different = [
        *(_signature(kind=kind) for kind in KINDS),
        _signature(num_hidden_layers=2),
        _signature(intermediate_size=64),
        _signature(id2label={number: name for name, number in names.items()}, label2id=names),
    ]
    assert len(set(different)) == len(different)
