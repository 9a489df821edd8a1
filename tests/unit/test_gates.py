import pytest
import torch
from tiny_encoders import HEAD_SIZE, HEADS, KINDS, LAYERS, encoder, examples, share_layers
from torch.nn import functional as F

from methods import encoders
from methods.pruning.gates import head_gates
from methods.pruning.surgery import prune_heads
from tasks.batches import in_order


def _batch(model, count=8, seed=0):
    (batch,) = in_order(examples(model, count, seed), count)
    return batch


def _logits(model, batch, gates=None):
    if gates is None:
        return model(**batch.inputs).logits
    with head_gates(model, gates):
        return model(**batch.inputs).logits


@pytest.mark.parametrize("kind", KINDS)
def test_gates_of_one_change_no_bit(kind):
    model = encoder(kind)
    batch = _batch(model)
    assert torch.equal(_logits(model, batch), _logits(model, batch, torch.ones(LAYERS, HEADS)))


@pytest.mark.parametrize("kind", KINDS)
def test_gates_of_one_change_no_bit_in_bfloat16(kind):
    model = encoder(kind)
    batch = _batch(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(_logits(model, batch), _logits(model, batch, torch.ones(LAYERS, HEADS)))


@pytest.mark.parametrize("kind", KINDS)
def test_hooks_are_gone_afterwards_also_after_an_error(kind):
    model = encoder(kind)
    batch = _batch(model)
    before = _logits(model, batch)
    with pytest.raises(RuntimeError, match="stop"), head_gates(model, torch.zeros(LAYERS, HEADS)):
        assert not torch.equal(model(**batch.inputs).logits, before)
        raise RuntimeError("stop")
    assert torch.equal(_logits(model, batch), before)
    assert not any(layer.output._forward_pre_hooks for layer in encoders.layers(model))


def test_gates_are_read_anew_in_every_pass():
    model = encoder("bert")
    batch = _batch(model)
    gates = torch.ones(LAYERS, HEADS)
    with head_gates(model, gates):
        open_ = model(**batch.inputs).logits
        gates[1, 2] = 0
        closed = model(**batch.inputs).logits
    assert torch.equal(open_, _logits(model, batch))
    assert not torch.allclose(open_, closed)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("kind", KINDS)
def test_gate_equals_scaling_the_value_of_its_head(kind, implementation):
    """Attention is linear in the values, so a gate may as well stand there: a second way to compute it."""
    model = encoder(kind)
    model.set_attn_implementation(implementation)
    batch = _batch(model)
    gates = torch.rand(LAYERS, HEADS)
    gated = _logits(model, batch, gates)
    with torch.no_grad():
        for layer, row in zip(encoders.layers(model), gates, strict=True):
            scale = row.repeat_interleave(HEAD_SIZE)
            layer.value.weight.mul_(scale[:, None])
            layer.value.bias.mul_(scale)
    torch.testing.assert_close(gated, _logits(model, batch), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_is_the_product_of_context_and_its_gradient(kind):
    model = encoder(kind).double()
    batch = _batch(model)
    gates = torch.rand(LAYERS, HEADS, dtype=torch.float64, requires_grad=True)
    contexts = []

    def keep(module, inputs):
        inputs[0].retain_grad()
        contexts.append(inputs[0])

    with head_gates(model, gates):
        # Registered after the gates, so it sees the gated context: gate * C.
        handles = [layer.output.register_forward_pre_hook(keep) for layer in encoders.layers(model)]
        F.cross_entropy(model(**batch.inputs).logits, batch.labels).backward()
    for handle in handles:
        handle.remove()
    for row, context in enumerate(contexts):
        product = (context * context.grad).detach().unflatten(-1, (HEADS, HEAD_SIZE)).sum((0, 1, 3))
        torch.testing.assert_close(gates.grad[row], product / gates.detach()[row], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_equals_a_central_difference(kind):
    model = encoder(kind).double()
    batch = _batch(model)
    gates = torch.ones(LAYERS, HEADS, dtype=torch.float64, requires_grad=True)

    def loss(at):
        return F.cross_entropy(_logits(model, batch, at), batch.labels, reduction="sum")

    (gradient,) = torch.autograd.grad(loss(gates), gates)
    step = 1e-5
    for layer in range(LAYERS):
        for head in range(HEADS):
            moved = torch.zeros_like(gates)
            moved[layer, head] = step
            with torch.no_grad():
                difference = (loss(gates + moved) - loss(gates - moved)) / (2 * step)
            torch.testing.assert_close(gradient[layer, head], difference, rtol=1e-3, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_gates_by_example_touch_their_example_only(kind):
    model = encoder(kind)
    batch = _batch(model)
    gates = torch.ones(8, 1, LAYERS, HEADS)
    gates[3, 0, 1, 2] = 0
    single = torch.ones(LAYERS, HEADS)
    single[1, 2] = 0
    plain, removed, mixed = (_logits(model, batch, g) for g in (None, single, gates))
    torch.testing.assert_close(mixed[3], removed[3], atol=1e-5, rtol=1e-5)
    others = [0, 1, 2, 4, 5, 6, 7]
    torch.testing.assert_close(mixed[others], plain[others], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(mixed[3], plain[3], atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_gates_keep_the_original_numbering_on_a_pruned_model(kind):
    batch = _batch(encoder(kind))
    masks = torch.ones(LAYERS, HEADS)
    masks[0] = 0
    masks[1, [0, 2]] = 0
    masks[2, 3] = 0
    pruned = encoder(kind)
    prune_heads(pruned, {0: range(HEADS), 1: [0]})
    gates = torch.ones(LAYERS, HEADS)
    gates[1, 2] = 0
    gates[2, 3] = 0
    expected = _logits(encoder(kind), batch, masks)
    torch.testing.assert_close(_logits(pruned, batch, gates), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_one_row_of_gates_serves_a_shared_layer(kind):
    model = encoder(kind)
    share_layers(model, [0, 0, 1])
    batch = _batch(model)
    gates = torch.ones(2, HEADS)
    gates[0, 1] = 0
    gated = _logits(model, batch, gates)
    prune_heads(model, {1: [1]})
    torch.testing.assert_close(gated, _logits(model, batch), atol=1e-5, rtol=1e-5)


def test_gates_of_a_wrong_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(3, 4\)"), head_gates(encoder("bert"), torch.ones(LAYERS, 3)):
        pass
