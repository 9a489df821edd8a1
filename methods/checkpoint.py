"""Models on disk and as plain data; pruned heads and shared layers are real again after loading."""

from __future__ import annotations

import functools
import hashlib
import json
import textwrap
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model, save_model
from transformers import PreTrainedModel
from transformers.initialization import no_init_weights

from methods import architectures, encoders
from methods.pruning.surgery import prune_heads, prune_neurons
from methods.sharing.factorised import set_shape
from methods.sharing.passes import run_in_order
from methods.sharing.ties import share_by_group
from tasks.errors import BadInput

CONFIG, WEIGHTS = "config.json", "model.safetensors"

# Entries of a config that change neither shapes nor the work done in a forward pass.
_WITHOUT_EFFECT_ON_LATENCY = {
    "architectures",
    "attention_dropout",
    "attention_probs_dropout_prob",
    "bos_token_id",
    "classifier_dropout",
    "dropout",
    "dtype",
    "eos_token_id",
    "hidden_dropout_prob",
    "id2label",
    "initializer_range",
    "kept_heads",
    "label2id",
    "layer_exchanges",
    "layer_groups",
    "layer_norm_eps",
    "num_hidden_groups",
    "pad_token_id",
    "problem_type",
    "qa_dropout",
    "seq_classif_dropout",
    "share",
    "tie_word_embeddings",
}
# Where and by which version a config was made: not the architecture, and a local path at that.
_PROVENANCE = {"_name_or_path", "transformers_version"}


def save(model: PreTrainedModel, folder: Path) -> Path:
    """Write weights and architecture to `folder` and return it; shared tensors are stored once.

    A model of a class of transformers, unpruned, unshared and not factorised, can also be read with its
    `from_pretrained`.

    Raises:
        ValueError: the config does not describe the model, so it could not be loaded again.
    """
    described = architecture(model)
    _check_described(model, described)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(json.dumps(described, indent=1, sort_keys=True))
    save_model(model, str(folder / WEIGHTS), metadata={"format": "pt"})
    return folder


def saved_bytes(folder: Path) -> int:
    """Bytes of all that `save` wrote to `folder`."""
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())


def load(folder: Path) -> PreTrainedModel:
    """Read a saved model in eval mode, in fp32 on the CPU; layers saved as shared are one module again.

    No weight is initialised before it is read, and no random state is touched.

    Raises:
        BadInput: the weights are not those of the model that the config describes.
    """
    described = json.loads((folder / CONFIG).read_text())
    with no_init_weights():
        model = _assemble(described)
    try:
        load_model(model, str(folder / WEIGHTS))
    except RuntimeError as error:
        # A plain RuntimeError is also what the allocator raises when memory runs out.
        if "loading state_dict" not in str(error):
            raise
        # Of the tensors that do not fit the first is enough; a model has hundreds.
        difference = textwrap.shorten(" ".join(str(error).splitlines()[1:]), 200, placeholder=" ...")
        raise BadInput(
            f"{folder}: {WEIGHTS} does not fit {CONFIG} ({difference}): weights and configuration belong to "
            "two models; put back the two files that were saved together, or remove the folder and make it "
            "anew"
        ) from error
    return model.eval()


def architecture(model: PreTrainedModel) -> dict[str, Any]:
    """Describe a model without its weights, as JSON-able data from which `build` makes it again.

    Besides transformers' own keys, where they apply: `kept_heads`, the heads left by layer in the numbering
    before pruning; `kept_neurons`, the number of feed-forward neurons left by layer; `layer_groups`, a
    number by layer, equal where layers are one module; `layer_order` and `layer_exchanges`, the layers in the
    order in which they run, and where query and key change places; `word_embedding_size`, the width of a
    factorised word table.
    """
    config = json.loads(model.config.to_json_string(use_diff=False))
    config["architectures"] = [type(model).__name__]
    return {key: value for key, value in config.items() if key not in _PROVENANCE}


def build(architecture: dict[str, Any]) -> PreTrainedModel:
    """Make a model with random weights from its description, in eval mode."""
    return _assemble(architecture).eval()


def signature(model: PreTrainedModel | dict[str, Any]) -> str:
    """Digest what decides latency: equal signatures are equally fast and measured once.

    Depth, widths and the number of heads by layer count; which heads they are, whether layers are shared
    and how labels are called do not.

    Args:
        model: a model or its `architecture`.
    """
    config = model if isinstance(model, dict) else architecture(model)
    shape = {key: value for key, value in config.items() if key not in _WITHOUT_EFFECT_ON_LATENCY}
    shape["class"] = config["architectures"][0]
    shape["classes"] = len(config["id2label"])
    counts = [len(heads) for heads in config.get("kept_heads", [])]
    # A list in which every layer has all its heads says the same as no list.
    if any(count != config.get("num_attention_heads", config.get("n_heads")) for count in counts):
        shape["heads"] = counts
    return hashlib.sha256(json.dumps(shape, sort_keys=True).encode()).hexdigest()[:16]


def _assemble(described: dict[str, Any]) -> PreTrainedModel:
    """Make the model, share its layers, cut heads and neurons, then set the order in which it runs."""
    model_class = architectures.find(described["architectures"][0])
    plain = {key: value for key, value in described.items() if key not in ("kept_heads", "kept_neurons")}
    model = model_class(model_class.config_class.from_dict(plain))
    if groups := described.get("layer_groups"):
        share_by_group(encoders.stack(model), groups)
    if narrow := described.get("word_embedding_size"):
        set_shape(model, narrow)
    width = model.config.num_attention_heads
    prune_heads(
        model,
        {
            position: set(range(width)) - set(kept)
            for position, kept in enumerate(described.get("kept_heads", []))
        },
    )
    # Of a position's `full` neurons any will do: the weights are read afterwards.
    full = encoders.neuron_counts(model)
    kept_neurons = described.get("kept_neurons", [])
    prune_neurons(model, {p: range(kept, full[p]) for p, kept in enumerate(kept_neurons)})
    if described.get("layer_order"):
        run_in_order(model, described["layer_order"], described["layer_exchanges"])
    return model


def _check_described(model: PreTrainedModel, described: dict[str, Any]) -> None:
    if _described_shapes(json.dumps(described, sort_keys=True)) != _shapes(model):
        raise ValueError(
            f"the config of this {type(model).__name__} does not describe it: keep config.num_hidden_layers, "
            "config.kept_heads, config.kept_neurons and config.layer_groups in step with the layers"
        )


@functools.lru_cache(maxsize=64)
def _described_shapes(described: str) -> tuple[dict[str, torch.Size], int]:
    """The `_shapes` of the model that a description, as JSON, stands for."""
    with torch.device("meta"):
        return _shapes(_assemble(json.loads(described)))


def _shapes(model: PreTrainedModel) -> tuple[dict[str, torch.Size], int]:
    """Shapes by name, shared tensors under each of their names, and the number of distinct parameters."""
    return {name: tensor.shape for name, tensor in model.state_dict().items()}, len(list(model.parameters()))
