"""The masked-word head of a warm start: where least squares bring it."""

from __future__ import annotations

from itertools import islice

import pytest
import torch
from tiny_corpus import VOCABULARY, access, tokens

from methods.pretraining.corpus import stream
from methods.pretraining.encoder import PretrainedEncoder
from methods.pretraining.heads import PretrainingModel, pretraining_loss
from methods.pretraining.report import unigram_entropy
from methods.sharing.albert.model import CompactAlbertConfig, CompactAlbertModel
from methods.sharing.albert.warm_head import fit_head

WORK = PretrainedEncoder(
    accumulation=1, vocabulary=VOCABULARY, layers=2, hidden=32, heads=2, embedding=16, length=32, batch_size=8
)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return tokens(access(tmp_path_factory.mktemp("corpus"), documents=1200))


def random_model():
    torch.manual_seed(0)
    model = PretrainingModel(
        CompactAlbertModel(CompactAlbertConfig(**WORK.configuration(VOCABULARY))), pairs=True
    )
    # Rows a warm start has: of norm one.
    with torch.no_grad():
        model.encoder.get_input_embeddings().weight.mul_(0.25 / 0.02)
    return model


def frequencies(text):
    counts = torch.from_numpy(text.counts() + 1).double()
    return counts / counts.sum()


@torch.no_grad()
def mlm_loss(model, batches):
    sums = [pretraining_loss(model.eval(), batch)[1]["mlm_loss"] for batch in batches]
    return float(sum(value for value, _ in sums) / sum(count for _, count in sums))


def test_the_head_begins_below_the_entropy_of_the_words_also_on_batches_it_has_not_seen(text):
    model = random_model()
    seen = list(islice(stream(text, WORK), 40))
    unseen = list(islice(stream(text, WORK.model_copy(update={"seed": 2})), 20))
    before = mlm_loss(model, unseen)
    fitted = fit_head(model, seen, frequencies(text))
    assert fitted == pytest.approx(mlm_loss(model, seen), rel=0.05)
    assert mlm_loss(model, unseen) < unigram_entropy(text) < before


def test_it_leaves_the_encoder_and_the_pair_head_alone(text):
    model = random_model().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fit_head(model, stream(text, WORK), frequencies(text))
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"bias", "dense.weight", "dense.bias", "norm.weight"}
    assert model.training
