"""What the pre-training loop makes of its settings: rates, accumulated batches, precision."""

from __future__ import annotations

import pytest
import torch
from tiny_corpus import VOCABULARY, access, sweep_run, tokens

from methods.fit import linear
from methods.pretraining.corpus import stream
from methods.pretraining.encoder import PretrainedEncoder
from methods.pretraining.heads import PretrainingModel, pretraining_loss
from methods.pretraining.loop import evaluate, pretrain
from methods.settings import Training
from methods.sharing.albert.model import CompactAlbertConfig, CompactAlbertModel

STEPS, BATCH = 12, 8


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return tokens(access(tmp_path_factory.mktemp("corpus"), documents=300))


def trained(text, folder, precision="fp32", **fields):
    """Pre-train a tiny ALBERT; return it, its settings, run and progress."""
    work = PretrainedEncoder.model_validate(
        {
            "vocabulary": VOCABULARY,
            "layers": 2,
            "hidden": 32,
            "heads": 2,
            "embedding": 16,
            "length": 32,
            "steps": STEPS,
            "batch_size": BATCH,
            "accumulation": 1,
            "learning_rate": 2e-3,
            **fields,
        }
    )
    torch.manual_seed(0)
    encoder = CompactAlbertModel(CompactAlbertConfig(**work.configuration(VOCABULARY)))
    model = PretrainingModel(encoder, pairs=True)
    run = sweep_run(None, folder, training=Training(precision=precision, device="cpu"), resume=None)
    progress = pretrain(run, model, pretraining_loss, stream(text, work), work, flops=model.flops)
    return model, work, run, progress


def test_rates_rise_and_fall_as_the_settings_say(text, tmp_path):
    """A curve of so few steps has a point for each."""
    _, work, _, progress = trained(text, tmp_path, warmup=0.25)
    expected = [work.learning_rate * linear(step, STEPS, 0.25) for step in range(STEPS)]
    assert [point["learning_rate"] for point in progress.curve] == pytest.approx(expected)


@pytest.mark.parametrize("accumulation", [1, 2, 4])
def test_a_step_takes_the_whole_batch_in_whatever_parts(text, tmp_path, accumulation):
    _, _, run, progress = trained(text, tmp_path, accumulation=accumulation)
    assert run.cost == progress.cost and run.cost.steps == STEPS
    assert run.cost.examples == STEPS * BATCH


def test_in_bf16_it_learns_what_it_learns_in_fp32(text, tmp_path):
    curves, held_out = {}, {}
    for precision in ("fp32", "bf16"):
        model, work, _, progress = trained(text, tmp_path / precision, precision)
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
        curves[precision] = [point["loss"] for point in progress.curve]
        bf16 = precision == "bf16"
        held_out[precision] = evaluate(model, pretraining_loss, stream(text, work, held_out=True), bf16=bf16)
    assert curves["bf16"] == pytest.approx(curves["fp32"], rel=2e-2)
    assert curves["bf16"] != curves["fp32"], "matrix products are rounded"
    assert held_out["bf16"]["loss"][0] == pytest.approx(held_out["fp32"]["loss"][0], rel=2e-2)
