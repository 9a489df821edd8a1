"""Tiny random models and synthetic examples, made in milliseconds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from tiny_runs import tiny_run

from tasks.examples import Examples


@pytest.fixture
def tiny_bert() -> Callable[..., object]:
    """A factory of random two-layer BERT classifiers; keywords go to the config."""
    from transformers import BertConfig, BertForSequenceClassification

    def make(seed: int = 0, **config: object) -> BertForSequenceClassification:
        sizes = {
            "vocab_size": 50,
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 64,
            "max_position_embeddings": 64,
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return BertForSequenceClassification(BertConfig(**{**sizes, **config})).eval()

    return make


@pytest.fixture
def examples() -> Callable[..., Examples]:
    """A factory of n random examples of 3 to 12 tokens; the label says whether token 7 is there."""

    def make(n: int = 40, seed: int = 0) -> Examples:
        rng = np.random.default_rng(seed)
        lengths = rng.integers(3, 13, size=n)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        ids = rng.integers(8, 50, size=offsets[-1]).astype(np.int32)
        labels = rng.integers(0, 2, size=n).astype(np.int64)
        ids[offsets[:-1][labels == 1] + 1] = 7
        ids[offsets[:-1]] = 1
        return Examples(
            ids=ids,
            types=np.zeros(len(ids), dtype=np.uint8),
            offsets=offsets,
            rows=np.arange(n, dtype=np.int64),
            labels=labels,
            pad_id=0,
            inputs=("input_ids", "token_type_ids", "attention_mask"),
        )

    return make


@pytest.fixture
def run(tiny_bert, examples, tmp_path) -> Callable[..., object]:
    """A factory of runs, each with a pretrained encoder, a start model and its outputs."""
    from methods import checkpoint
    from methods.distillation.teacher_outputs import TeacherOutputs
    from methods.pretrained import Source
    from methods.run import Run
    from methods.settings import Training

    def make(seed: int = 1, layers: int = 2) -> Run:
        folder = tmp_path / f"{seed}-{layers}"
        data = examples(n=48)
        made = tiny_run(
            data.subset(range(32)),
            data.subset(range(32, 40)),
            data.subset(range(40, 48)),
            folder / "trial",
            seed=seed,
            training=Training(epochs=1, batch_size=8, learning_rate=1e-3, precision="fp32", device="cpu"),
            model=Source("tiny", None, str(folder / "encoder")),
            results={"finetune": folder, "teacher-outputs": folder},
        )
        if not folder.exists():
            encoder = tiny_bert(seed=2, num_hidden_layers=layers, initializer_range=0.2).bert
            encoder.save_pretrained(folder / "encoder")
            # Weights this large make outputs that differ from example to example.
            start = tiny_bert(seed=3, num_hidden_layers=layers, initializer_range=0.2)
            checkpoint.save(start, folder / "model")
            TeacherOutputs().produce(made, folder)
        return made

    return make
