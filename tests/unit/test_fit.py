"""The training loop: reproducible, correctly scheduled, honestly counted, and loud when it diverges."""

from __future__ import annotations

import math

import pytest
import torch
from transformers import get_linear_schedule_with_warmup

from methods.divergence import Diverged
from methods.fit import cross_entropy, fit, linear, make_optimizer
from methods.flops import forward_flops
from methods.inference import predict
from methods.settings import Training
from tasks.batches import epoch
from tasks.seeds import Seeds

SEEDS = Seeds.derive(1)
TRAINING = Training(epochs=2, batch_size=8, learning_rate=1e-3, precision="fp32")


def weights(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def equal(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def test_same_seeds_give_the_same_weights_whatever_ran_before(tiny_bert, examples):
    first, second = tiny_bert(), tiny_bert()
    fit(first, examples(), TRAINING, seeds=SEEDS)
    torch.manual_seed(99)
    fit(tiny_bert(seed=5), examples(seed=5), TRAINING, seeds=Seeds.derive(7), steps=3)
    fit(second, examples(), TRAINING, seeds=SEEDS)
    assert equal(weights(first), weights(second))


@pytest.mark.parametrize("axis", ["order", "dropout"])
def test_order_and_dropout_seeds_each_matter(tiny_bert, examples, axis):
    first, second = tiny_bert(), tiny_bert()
    fit(first, examples(), TRAINING, seeds=SEEDS)
    other = Seeds(**{**vars(SEEDS), axis: getattr(SEEDS, axis) + 1})
    fit(second, examples(), TRAINING, seeds=other)
    assert not equal(weights(first), weights(second))


def test_it_learns_and_leaves_eval_mode_without_gradients(tiny_bert, examples):
    model, data = tiny_bert(), examples(n=200)
    fitted = fit(
        model, data, Training(epochs=20, batch_size=16, learning_rate=3e-3, precision="fp32"), seeds=SEEDS
    )
    assert len(fitted.losses) == 20
    assert fitted.losses[-1] < 0.5 * fitted.losses[0]
    assert (predict(model, data).argmax(axis=1) == data.labels).mean() > 0.95
    assert not model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_cost_counts_real_tokens_examples_and_padded_flops(tiny_bert, examples):
    model, data = tiny_bert(), examples(n=43)
    flops = 0.0
    for number in range(2):
        for batch in epoch(data, 8, SEEDS.order, number):
            size, length = batch.inputs["input_ids"].shape
            flops += 3 * size * forward_flops(model, length)
    cost = fit(model, data, TRAINING, seeds=SEEDS).cost
    assert (cost.steps, cost.examples, cost.tokens) == (12, 86, 2 * int(data.lengths.sum()))
    assert cost.flops == pytest.approx(flops, rel=1e-12)


@pytest.mark.parametrize(
    ("epochs", "steps", "expected"), [(2, None, 10), (2, 3, 3), (1.5, None, 8), (0.01, None, 1)]
)
def test_steps_override_epochs_which_may_be_fractions(tiny_bert, examples, epochs, steps, expected):
    training = TRAINING.override(epochs=epochs)
    fitted = fit(tiny_bert(), examples(n=40), training, seeds=SEEDS, steps=steps)
    assert fitted.cost.steps == expected
    assert len(fitted.losses) == math.ceil(expected / 5)


@pytest.mark.parametrize(("steps", "warmup"), [(10, 0.1), (37, 0.1), (20, 0.0), (20, 0.5), (1, 0.1)])
def test_schedule_is_that_of_transformers(steps, warmup):
    reference = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = get_linear_schedule_with_warmup(reference, math.ceil(steps * warmup), steps)
    for step in range(steps):
        assert linear(step, steps, warmup) == pytest.approx(reference.param_groups[0]["lr"], abs=1e-12)
        reference.step()
        schedule.step()


def test_steps_are_those_of_clipped_adamw_without_decay_of_vectors(tiny_bert, examples):
    """Against PyTorch's plain AdamW; gradients of very different sizes, so that clipping shows."""
    calm = {"hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0}
    ours, reference, data = tiny_bert(**calm), tiny_bert(**calm), examples(n=8)
    scales = [1e-3, 1e3, 1.0]
    training = Training(batch_size=8, learning_rate=1e-2, warmup=0, weight_decay=0.5, precision="fp32")
    fit(ours, data, training, loss=scaled(scales), seeds=SEEDS, steps=3)

    exempt = {
        name for name, p in reference.named_parameters() if name.endswith("bias") or "LayerNorm" in name
    }
    named = dict(reference.named_parameters())
    groups = [
        {"params": [p for name, p in named.items() if name not in exempt], "weight_decay": 0.5},
        {"params": [p for name, p in named.items() if name in exempt], "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, foreach=False, fused=False)
    loss = scaled(scales)
    for step in range(3):
        for group in adamw.param_groups:
            group["lr"] = 1e-2 * (3 - step) / 3
        adamw.zero_grad()
        loss(reference, next(epoch(data, 8, SEEDS.order, step))).backward()
        norm = torch.cat([p.grad.flatten() for p in named.values()]).norm()
        for parameter in named.values():
            parameter.grad *= min(1.0, 1.0 / float(norm))
        adamw.step()
    for name, tensor in ours.state_dict().items():
        if "key.bias" not in name:  # its gradient is rounding noise: softmax is blind to it
            torch.testing.assert_close(tensor, reference.state_dict()[name], atol=1e-4, rtol=1e-3, msg=name)


def scaled(scales):
    remaining = iter(scales)
    return lambda model, batch: cross_entropy(model, batch) * next(remaining)


def test_frozen_parameters_stay(tiny_bert, examples):
    model = tiny_bert()
    model.bert.embeddings.requires_grad_(False)
    before = weights(model)
    fit(model, examples(), TRAINING, seeds=SEEDS)
    after = weights(model)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert not any("embeddings" in name for name in changed)


def test_optimizer_holds_each_shared_tensor_once(tiny_bert):
    model = tiny_bert()
    model.bert.encoder.layer[1] = model.bert.encoder.layer[0]
    held = [p.data_ptr() for group in make_optimizer(model, TRAINING).param_groups for p in group["params"]]
    assert len(held) == len(set(held)) == len(list(model.parameters()))


def test_divergence_names_step_and_learning_rate(tiny_bert, examples):
    calls = 0

    def loss(model, batch):
        nonlocal calls
        calls += 1
        return cross_entropy(model, batch) * (math.nan if calls == 3 else 1)

    with pytest.raises(Diverged, match=r"step 3: loss nan.*learning rate 0\.001;"):
        fit(tiny_bert(), examples(n=80), TRAINING, loss=loss, seeds=SEEDS)
    assert calls == 3


def test_an_infinite_gradient_is_divergence_too(tiny_bert, examples):
    def loss(model, batch):
        value = cross_entropy(model, batch)
        return value + torch.sqrt(model.classifier.weight.sum() * 0)

    with pytest.raises(Diverged, match=r"gradient norm (nan|inf)"):
        fit(tiny_bert(), examples(), TRAINING, loss=loss, seeds=SEEDS)


def test_divergence_is_found_at_its_step_when_several_are_read_at_once(tiny_bert, examples, monkeypatch):
    calls = 0

    def loss(model, batch):
        nonlocal calls
        calls += 1
        return cross_entropy(model, batch) * (math.nan if calls == 3 else 1)

    monkeypatch.setattr("methods.divergence.steps_per_read", lambda device: 5)
    with pytest.raises(Diverged, match="step 3:"):
        fit(tiny_bert(), examples(n=80), TRAINING, loss=loss, seeds=SEEDS)
    assert calls == 5


def test_reports_every_epoch(tiny_bert, examples, monkeypatch):
    # On a busy machine an epoch may take longer than the pause between reports within one.
    monkeypatch.setattr("methods.fit.REPORT_SECONDS", math.inf)
    told = []
    fitted = fit(
        tiny_bert(), examples(n=40), TRAINING, seeds=SEEDS, report=lambda step, m: told.append((step, m))
    )
    assert [step for step, _ in told] == [5, 10]
    assert [m["loss"] for _, m in told] == fitted.losses
    assert all(m["examples_per_second"] > 0 for _, m in told)
    assert told[-1][1]["learning_rate"] == pytest.approx(1e-3 * linear(9, 10, 0.1))


def test_bf16_stays_close_to_fp32_and_keeps_fp32_weights(tiny_bert, examples):
    training = TRAINING.override(epochs=3)
    fp32 = fit(tiny_bert(), examples(), training, seeds=SEEDS)
    model = tiny_bert()
    bf16 = fit(model, examples(), training.override(precision="bf16"), seeds=SEEDS)
    assert fp32.losses != bf16.losses
    assert bf16.losses == pytest.approx(fp32.losses, rel=0.05)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
