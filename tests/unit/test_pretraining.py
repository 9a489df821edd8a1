"""Pre-training: the update of LAMB, the heads, what is learnt, and going on after a kill."""

from __future__ import annotations

import itertools
import json
import math
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tiny_corpus import VOCABULARY, access, sweep_run, tokens
from torch.nn import functional as F

from methods import checkpoint
from methods.divergence import Diverged
from methods.pretraining import heads, loop
from methods.pretraining.corpus import stream
from methods.pretraining.encoder import PretrainedEncoder
from methods.pretraining.heads import PretrainingModel, pretraining_loss
from methods.pretraining.lamb import Lamb
from methods.pretraining.objectives import accuracies
from methods.pretraining.report import held_out, unigram_entropy, wilson
from methods.sharing.albert.model import CompactAlbertConfig, CompactAlbertModel
from methods.sharing.distances import layer_distances
from tasks.errors import BadInput
from tasks.tokens import tokenizer

TINY = {
    "accumulation": 1,
    "vocabulary": VOCABULARY,
    "layers": 2,
    "hidden": 32,
    "heads": 2,
    "embedding": 16,
    "length": 32,
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return access(tmp_path_factory.mktemp("corpus"), documents=1200)


def work(**fields):
    return PretrainedEncoder.model_validate(
        {**TINY, "steps": 12, "batch_size": 8, "learning_rate": 2e-3} | fields
    )


def encoder(seed=0, **changes):
    torch.manual_seed(seed)
    return CompactAlbertModel(CompactAlbertConfig(**work(**changes).configuration(VOCABULARY)))


def paper_update(weight, gradient, mean, square, step, lr, decay):
    """Algorithm 2 of the paper for one tensor, written down naively."""
    mean = 0.9 * mean + 0.1 * gradient
    square = 0.999 * square + 0.001 * gradient**2
    ratio = (mean / (1 - 0.9**step)) / ((square / (1 - 0.999**step)).sqrt() + 1e-6)
    update = ratio + decay * weight
    trust = (
        weight.norm() / update.norm() if weight.norm() > 0 and update.norm() > 0 and weight.ndim > 1 else 1.0
    )
    return weight - lr * trust * update, mean, square


def test_lamb_takes_the_steps_of_the_paper():
    torch.manual_seed(0)
    weights = [torch.randn(5, 3), torch.zeros(2, 2), torch.randn(7)]
    decays = [0.1, 0.1, 0.0]
    parameters = [torch.nn.Parameter(weight.clone()) for weight in weights]
    optimizer = Lamb(
        [{"params": [p], "weight_decay": d} for p, d in zip(parameters, decays, strict=True)], lr=0.02
    )
    states = [(w.double(), torch.zeros_like(w).double(), torch.zeros_like(w).double()) for w in weights]
    for step in range(1, 6):
        gradients = [torch.randn_like(weight) for weight in weights]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()
        states = [
            paper_update(w, g.double(), m, v, step, 0.02, d)
            for (w, m, v), g, d in zip(states, gradients, decays, strict=True)
        ]
        for parameter, (weight, _, _) in zip(parameters, states, strict=True):
            torch.testing.assert_close(parameter.double(), weight, atol=1e-6, rtol=1e-5)


def test_lamb_leaves_tensors_without_gradient_alone():
    used, unused = (torch.nn.Parameter(torch.ones(2, 2)) for _ in range(2))
    used.grad = torch.ones(2, 2)
    Lamb([used, unused], lr=0.1).step()
    assert torch.equal(unused, torch.ones(2, 2)) and not torch.equal(used, torch.ones(2, 2))


def test_the_loss_is_that_of_masked_places_and_labelled_pairs_alone(corpus):
    text = tokens(corpus)
    batch = next(iter(stream(text, work())))
    model = PretrainingModel(encoder(), pairs=True).eval()
    with torch.no_grad():
        value, figures = pretraining_loss(model, batch)
        hidden = model.encoder(**batch.inputs)
        everywhere = model.norm(F.gelu(model.dense(hidden.last_hidden_state)))
        logits = everywhere @ model.encoder.get_input_embeddings().weight.T + model.bias
    words = F.cross_entropy(logits.flatten(0, 1)[batch.masked], batch.targets)
    pairs = F.cross_entropy(model.pairs(hidden.pooler_output), batch.pairs)
    torch.testing.assert_close(value, words + pairs)
    assert int(figures["mlm_loss"][1]) == len(batch.masked)
    assert int(figures["pair_accuracy"][1]) == int((batch.pairs >= 0).sum())
    without = PretrainingModel(encoder(), pairs=False)
    assert without.pairs is None and "pair_loss" not in pretraining_loss(without, batch)[1]


def test_the_word_head_is_tied_to_the_table(corpus):
    model = PretrainingModel(encoder(), pairs=True)
    pretraining_loss(model, next(iter(stream(tokens(corpus), work()))))[0].backward()
    table = model.encoder.get_input_embeddings().weight
    assert table.grad is not None and (table.grad.abs().sum(dim=1) > 0).all()
    assert not any(
        parameter is not table and parameter.shape == table.shape for parameter in model.parameters()
    )


def test_flops_count_the_head_at_masked_places_alone(corpus):
    batch = next(iter(stream(tokens(corpus), work())))
    model = PretrainingModel(encoder(), pairs=False)
    rows, length = batch.inputs["input_ids"].shape
    before = model.flops(batch)
    assert before > rows * model._flops(length) > 0
    batch.masked = batch.masked[:10]
    assert model.flops(batch) - rows * model._flops(length) == 2 * 10 * (32 * 16 + VOCABULARY * 16)


def finish(corpus, folder, settings, reports=None):
    """Run a work to its end; return its weights by name and its notes."""
    (folder / "out").mkdir(parents=True, exist_ok=True)
    run = sweep_run(
        corpus, folder, report=lambda step, m: reports.append((step, m)) if reports is not None else None
    )
    settings.produce(run, folder / "out")
    return checkpoint.load(folder / "out" / "model").state_dict(), run


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


class Killed(BaseException):
    """A kill, as far as one process can play it."""


@pytest.mark.parametrize("fields", [{}, {"optimizer": "adamw", "dropout": 0.1, "accumulation": 2}])
def test_killed_and_resumed_it_ends_with_the_same_weights_and_curve(corpus, tmp_path, monkeypatch, fields):
    settings = work(**fields)
    whole, reference = finish(corpus, tmp_path / "whole", settings)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    saves = []
    original = loop.state.save

    def save(path, *arguments):
        original(path, *arguments)
        saves.append(path)
        if len(saves) in (5, 7):
            raise Killed

    monkeypatch.setattr(loop.state, "save", save)
    for _ in range(2):
        with pytest.raises(Killed):
            finish(corpus, tmp_path / "killed", settings)
    torch.manual_seed(77)
    reports = []
    resumed, run = finish(corpus, tmp_path / "killed", settings, reports)
    assert len(saves) == 12, "no step was taken twice"
    # The run of a killed attempt leaves MLflow, so the next one shows all of the curve.
    assert [{"step": step, **shown} | {"tokens_per_second": None} for step, shown in reports] == [
        {**point, "tokens_per_second": None} for point in reference.notes["pretraining"]["curve"]
    ]
    assert same(whole, resumed)
    assert run.notes["pretraining"]["curve"] == reference.notes["pretraining"]["curve"]
    assert run.cost == reference.cost
    assert run.notes["pretraining"]["held_out"] == reference.notes["pretraining"]["held_out"]


@pytest.mark.parametrize("counted", [True, False])
def test_processor_time_is_that_of_all_attempts_or_unknown(corpus, tmp_path, monkeypatch, counted):
    """It does not hang on what runs beside it as wall time does; older checkpoints do not have it."""
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    # A second passes with every look at the clock: one at the start of an attempt, one after each step.
    monkeypatch.setattr(loop.time, "process_time", itertools.count().__next__)
    original = loop.state.save

    def save(path, *arguments):
        original(path, *arguments)
        kept = torch.load(path, weights_only=True)
        if kept["step"] == 5:
            if not counted:
                del kept["processor_seconds"]
                torch.save(kept, path)
            raise Killed

    monkeypatch.setattr(loop.state, "save", save)
    with pytest.raises(Killed):
        finish(corpus, tmp_path, work())
    _, run = finish(corpus, tmp_path, work())
    assert run.notes["pretraining"]["processor_seconds"] == (12 if counted else None)


def test_a_checkpoint_of_other_data_is_not_gone_on_from(corpus, tmp_path):
    finish(corpus, tmp_path, work())
    settings = work(vocabulary=VOCABULARY - 10)
    again, _ = finish(corpus, tmp_path, settings)
    fresh, _ = finish(corpus, tmp_path / "fresh", settings)
    assert same(again, fresh)


def test_the_seed_decides_the_weights(corpus, tmp_path):
    first, second, other = (
        finish(corpus, tmp_path / str(number), work(seed=seed))[0] for number, seed in enumerate((1, 1, 2))
    )
    assert same(first, second) and not same(first, other)


def test_accumulated_parts_give_the_step_of_their_mean(corpus):
    """Two parts of a batch give the gradient of two batches averaged."""
    text = tokens(corpus)
    settings = work(batch_size=8, accumulation=2, optimizer="adamw", steps=1, warmup=0)
    batches = [next(it) for it in [iter(stream(text, settings))] for _ in range(2)]
    model = PretrainingModel(encoder(), pairs=True)
    mean = sum(pretraining_loss(model, batch)[0] for batch in batches) / 2
    gradients = torch.autograd.grad(mean, list(model.parameters()), allow_unused=True)
    from methods.fit import descend

    seen = {}
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    for step in descend(
        model,
        optimizer,
        iter(batches),
        lambda m, b: pretraining_loss(m, b)[0],
        lambda step: 0.0,
        steps=range(1),
        bf16=False,
        accumulate=2,
    ):
        seen["norm"], seen["loss"] = step.norm, step.loss
    norm = math.sqrt(sum(float(g.square().sum()) for g in gradients if g is not None))
    assert float(seen["norm"]) == pytest.approx(norm, rel=1e-4)
    assert float(seen["loss"]) == pytest.approx(float(mean.detach()), rel=1e-5)


def test_sentence_order_is_learnt_where_it_can_be(corpus, tmp_path):
    reports = []
    sizes = {"layers": 1, "hidden": 64, "embedding": 64}
    rate = {"optimizer": "adamw", "learning_rate": 4e-3, "warmup": 0.1}
    settings = work(**sizes, **rate, steps=450, batch_size=64, seed=2)
    _, run = finish(corpus, tmp_path, settings, reports)
    notes = run.notes["pretraining"]
    found = notes["held_out"]
    assert found["pair_accuracy"] >= 0.9
    low, high = found["pair_accuracy_ci"]
    assert low < found["pair_accuracy"] <= high
    assert found["mlm_loss"] < notes["unigram_entropy"]
    assert run.cost.steps == 450 and notes["curve"][-1]["step"] == 450
    assert len(notes["curve"]) == 150 == len(reports)
    assert {"loss", "mlm_accuracy", "pair_accuracy", "tokens_per_second", "learning_rate"} <= reports[0][
        1
    ].keys()
    assert notes["curve"][-1]["mlm_loss"] < notes["curve"][0]["mlm_loss"]
    assert json.dumps(notes)


def test_what_it_leaves_can_be_fine_tuned(corpus, tmp_path):
    weights, run = finish(corpus, tmp_path, work(share="ffn", objective="mlm"))
    made = tokenizer(str(tmp_path / "out" / "model"), None)
    assert made.backend.model_max_length == 32
    assert made.digest == tokens(corpus).tokenizer.digest
    assert weights["embeddings.word_embeddings.weight"].shape == (VOCABULARY, 16)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary.keys() == run.notes["pretraining"].keys() - {"curve"}
    assert (tmp_path / "out" / "heads.safetensors").is_file()


@pytest.mark.parametrize("objective", ["mlm", "mlm+sop"])
def test_it_leaves_what_the_studies_read(corpus, tmp_path, objective):
    settings = work(objective=objective, share="none", steps=2)
    _, run = finish(corpus, tmp_path, settings)
    notes, text = run.notes["pretraining"], tokens(corpus)
    model = heads.load(tmp_path / "out")
    assert notes["objectives"] == accuracies(model, text, settings)
    own = held_out(model, pretraining_loss, stream(text, settings, held_out=True))
    assert notes["held_out"] == own and (own == notes["objectives"]["sop"]) == (objective == "mlm+sop")
    batches = [batch.unmasked() for batch in stream(text, settings, held_out=True).once()]
    assert notes["layers"] == [found._asdict() for found in layer_distances(model.encoder, batches)]
    assert len(notes["layers"]) == 2 and notes["layers"][0].keys() == {"l2", "cosine", "degrees"}


def test_divergence_is_loud(corpus, tmp_path):
    with pytest.raises(Diverged, match="at step"):
        finish(corpus, tmp_path, work(optimizer="adamw", learning_rate=1e30, warmup=0))


def test_a_sweep_without_a_corpus_is_told(tmp_path):
    with pytest.raises(BadInput, match="corpus: missing"):
        work().produce(sweep_run(None, tmp_path), tmp_path)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("", "'corpus' is empty"),
        ("\n \n", "'corpus' is empty"),
        ("One.\nTwo.", "'corpus' has no document boundaries"),
    ],
)
def test_a_corpus_without_documents_is_told_before_a_vocabulary_is_trained(tmp_path, written, message):
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "a.txt").write_text(written)
    with pytest.raises(BadInput, match=message):
        work(vocabulary=8000).produce(sweep_run(access(tmp_path), tmp_path), tmp_path)


def test_a_corpus_smaller_than_the_batch_as_written_is_refused(tmp_path):
    """Its 256 parts are of 16 sequences, which the corpus has."""
    text = tokens(access(tmp_path, documents=30))
    with pytest.raises(BadInput, match="fewer than a batch of 4096"):
        next(iter(stream(text, work(batch_size=4096, accumulation=256))))
    assert len(next(iter(stream(text, work(batch_size=32, accumulation=2)))).pairs) == 16


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden": 100, "heads": 3}, "not divisible by 3 heads"),
        ({"layers": 2, "groups": 3}, "2 layers"),
        ({"tokens": 5, "steps": 5}, "tokens or steps"),
        ({"batch_size": 10, "accumulation": 3}, "3 equal parts"),
        ({"length": 1024}, "at most 512"),
        ({"steps": 1}, "make one optimiser step"),
        ({"tokens": 1000}, "make one optimiser step"),
        ({"warm_start": True, "hidden": 64}, "takes hidden from"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        PretrainedEncoder.model_validate(fields)


def test_presets_fill_in_fields_and_labels_name_what_differs():
    paper = PretrainedEncoder(preset="paper")
    assert (paper.total_steps, paper.batch_size, paper.learning_rate) == (125_000, 4096, 0.00176)
    assert (paper.length, paper.optimizer, paper.warmup * paper.total_steps) == (512, "lamb", 3125)
    assert paper.label == "pretrained-encoder:preset=paper"
    with torch.device("meta"):
        built = CompactAlbertModel(CompactAlbertConfig(**paper.configuration(30_000)))
    assert sum(parameter.numel() for parameter in built.parameters()) == 11_683_584
    assert (
        PretrainedEncoder(preset="paper", share="none").label == "pretrained-encoder:preset=paper,share=none"
    )
    assert PretrainedEncoder(preset="paper", tokens=10**9).steps is None
    assert PretrainedEncoder.model_validate(paper.model_dump(mode="json")) == paper
    assert PretrainedEncoder(preset="smoke").total_steps * 10 == pytest.approx(
        PretrainedEncoder().total_steps, rel=0.01
    )
    assert PretrainedEncoder(preset="smoke").cost() * 10 == pytest.approx(
        PretrainedEncoder().cost(), rel=0.01
    )
    for preset in PretrainedEncoder.presets.values():
        assert PretrainedEncoder.model_fields.keys() >= preset.keys()


def test_unigram_entropy_is_that_of_the_tokens(corpus):
    text = tokens(corpus)
    shares = np.unique(text.ids, return_counts=True)[1] / len(text.ids)
    assert unigram_entropy(text) == pytest.approx(-(shares * np.log(shares)).sum())
    assert 2 < unigram_entropy(text) < math.log(VOCABULARY)


def test_unigram_entropy_does_not_copy_the_tokens(corpus):
    text = tokens(corpus)
    long = replace(text, ids=np.resize(text.ids, 1 << 24))
    tracemalloc.start()
    entropy = unigram_entropy(long)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert entropy == pytest.approx(unigram_entropy(text), rel=1e-3)
    assert peak < len(long.ids)


def test_wilson_s_interval():
    # Wikipedia's and R's prop.test(15, 20, correct=FALSE).
    assert wilson(0.75, 20) == pytest.approx((0.5313, 0.8881), abs=1e-4)
    assert all(wilson(0.0, n)[0] == 0 and wilson(1.0, n)[1] == 1 for n in range(1, 200))


def test_a_model_is_asked_each_objective_s_question(corpus, tmp_path):
    text = tokens(corpus)
    for objective in ("mlm+nsp", "mlm"):
        settings = work(objective=objective)
        model = PretrainingModel(encoder(), pairs=objective != "mlm")
        heads.save(model, tmp_path / objective)
        found = accuracies(heads.load(tmp_path / objective), text, settings)
        assert found.keys() == {"sop", "nsp"}
        assert all(("pair_accuracy" in figures) == (objective != "mlm") for figures in found.values())
        own = held_out(model, pretraining_loss, stream(text, settings, held_out=True))
        if objective == "mlm+nsp":
            assert found["nsp"] == own and found["sop"] != own
