"""The masked-word head of an encoder that comes without one: where least squares bring it."""

from __future__ import annotations

import pytest
import torch
from tiny_corpus import VOCABULARY, access, tokens

from methods.pretraining.corpus import stream
from methods.pretraining.encoder import PretrainedEncoder
from methods.pretraining.fitted_head import fit_head
from methods.pretraining.heads import PretrainingModel, pretraining_loss
from methods.pretraining.loop import evaluate
from methods.sharing.albert.model import CompactAlbertConfig, CompactAlbertModel

WORK = PretrainedEncoder(
    accumulation=1, vocabulary=VOCABULARY, layers=2, hidden=32, heads=2, embedding=16, length=32, batch_size=8
)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return tokens(access(tmp_path_factory.mktemp("corpus"), documents=1200))


def random_model(spare_rows=0):
    torch.manual_seed(0)
    config = CompactAlbertConfig(**WORK.configuration(VOCABULARY + spare_rows))
    model = PretrainingModel(CompactAlbertModel(config), pairs=True)
    # Rows of norm one, as a warm start has them.
    with torch.no_grad():
        model.encoder.get_input_embeddings().weight.mul_(0.25 / 0.02)
    return model


def counts(text):
    return torch.from_numpy(text.counts(text.training))


def held_out_loss(model, text):
    return evaluate(model, pretraining_loss, stream(text, WORK, held_out=True))["mlm_loss"][0]


def test_the_head_begins_with_what_the_encoder_knows_beyond_frequencies(text):
    model, frequencies = random_model(), random_model()
    fit = fit_head(model, stream(text, WORK), counts(text))
    with torch.no_grad():
        frequencies.bias.copy_(model.bias)
        frequencies.norm.weight.zero_()
    assert held_out_loss(model, text) < held_out_loss(frequencies, text) - 0.01
    # Of places the regression did not see, it says what documents kept from training say.
    assert fit.loss == pytest.approx(held_out_loss(model, text), rel=0.05)


def test_its_bias_are_the_frequencies_of_the_text_it_trains_on(text):
    model = random_model(spare_rows=3)
    fit_head(model, stream(text, WORK), counts(text))
    smoothed = torch.ones(VOCABULARY + 3)
    for document in text.training:
        first, last = text.sentences[text.documents[[document, document + 1]]]
        for token in text.ids[first:last]:
            smoothed[token] += 1
    assert torch.allclose(model.bias.exp(), smoothed / smoothed.sum(), atol=1e-6)


def test_it_leaves_the_encoder_and_the_pair_head_alone_and_counts_its_passes(text):
    model = random_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fit = fit_head(model, stream(text, WORK), counts(text))
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"bias", "dense.weight", "dense.bias", "norm.weight"}
    flops, places = 0.0, 0
    for batch in stream(text, WORK):
        flops, places = flops + model.flops(batch), places + len(batch.masked)
        if places >= 20 * WORK.hidden:
            break
    assert (fit.cost.tokens, fit.cost.flops) == (0, pytest.approx(flops))


def test_sequences_without_a_place_to_mask_do_not_hold_it_up(text):
    taken = []

    def unmasked():
        for batch in stream(text, WORK):
            taken.append(len(batch.pairs))
            batch.masked, batch.targets = batch.masked[:1], batch.targets[:1]
            yield batch

    fit_head(random_model(), unmasked(), counts(text))
    assert sum(taken) == 20 * WORK.hidden


def test_a_text_of_one_word_leaves_it_as_drawn_but_for_the_frequencies(text):
    def alike():
        for batch in stream(text, WORK):
            batch.targets = torch.full_like(batch.targets, 7)
            yield batch

    model = random_model()
    drawn = model.dense.weight.clone()
    fit = fit_head(model, alike(), torch.eye(VOCABULARY)[7] * 10_000)
    assert torch.equal(model.dense.weight, drawn) and fit.loss < 0.1
