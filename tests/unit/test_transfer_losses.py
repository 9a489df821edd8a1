"""What the terms of knowledge transfer are, and in which order they are learnt."""

from __future__ import annotations

import pytest
import torch
from bottleneck_berts import LAYERS, batch, inputs, student, teacher
from torch.nn import functional as F

from methods.compact.mobilebert import losses
from methods.compact.mobilebert.mobilebert_transfer import MobileBertTransfer
from methods.compact.mobilebert.pair import adopt, check_pair
from methods.compact.mobilebert.phases import phases
from methods.compact.mobilebert.transfer import TeacherStudent, flops, phase_loss
from tasks.errors import BadInput

MASK = inputs((6, 3))["attention_mask"]


def maps(seed):
    torch.manual_seed(seed)
    return torch.randn(2, 6, 8), torch.randn(2, 4, 6, 6)


@pytest.mark.parametrize("loss", [losses.feature_maps, losses.decomposed])
def test_equal_feature_maps_cost_nothing_and_padding_never_counts(loss):
    mine, their = maps(0)[0], maps(1)[0]
    assert loss(mine, mine, MASK) == 0
    value = loss(mine, their, MASK)
    assert value > 0
    mine[1, 3:] = float("inf")
    assert loss(mine, their, MASK) == value
    assert loss(maps(0)[0], their) != value


def test_feature_maps_are_compared_as_in_the_paper():
    mine, their = maps(0)[0], maps(1)[0]
    assert losses.feature_maps(mine, their) == pytest.approx(float(F.mse_loss(mine, their)), rel=1e-5)
    real = torch.cat([mine[0], mine[1, :3]]), torch.cat([their[0], their[1, :3]])
    assert losses.feature_maps(mine, their, MASK) == pytest.approx(float(F.mse_loss(*real)), rel=1e-5)


def test_the_published_parts_have_their_weights():
    """100 for the normed maps, 5000 for means, 5 for variances."""
    mine = maps(0)[0]
    shifted = losses.decomposed(mine + 0.1, mine)
    assert shifted == pytest.approx(5000 * 0.01, rel=1e-3)
    variance = mine.var(dim=-1, correction=0)
    scaled = losses.decomposed(mine - mine.mean(-1, keepdim=True), 2 * (mine - mine.mean(-1, keepdim=True)))
    assert scaled == pytest.approx(5 * 3 * float(variance.mean()), rel=1e-3)
    # Features in another order have the same mean and variance.
    turned = mine.roll(1, dims=-1)
    normed = [F.layer_norm(each, each.shape[-1:]) for each in (mine, turned)]
    assert losses.decomposed(turned, mine) == pytest.approx(100 * float(F.mse_loss(*normed)), rel=1e-3)


def test_attention_transfer_is_a_divergence_with_the_gradient_of_the_cross_entropy():
    mine, their = maps(0)[1].requires_grad_(), maps(1)[1]
    assert losses.attention(their, their) == pytest.approx(0, abs=1e-7)
    divergence = losses.attention(mine, their)
    entropy = -(their.softmax(-1) * their.log_softmax(-1)).sum(-1).mean()
    crossed = -(their.softmax(-1) * mine.log_softmax(-1)).sum(-1).mean()
    assert divergence.detach() == pytest.approx(float(crossed.detach() - entropy), rel=1e-4)
    (one,), (other,) = torch.autograd.grad(divergence, mine), torch.autograd.grad(crossed, mine)
    assert torch.allclose(one, other, atol=1e-7)


def test_padded_queries_and_keys_do_not_count_in_attention_transfer():
    mine, their = (model.mobilebert.features(**inputs((6, 3)))[0][1] for model in (student(), teacher()))
    value = losses.attention(mine, their, MASK)
    assert torch.isfinite(value)
    mine, their = mine.detach(), their.detach()
    alone = losses.attention(mine[1:, :, :3, :3], their[1:, :, :3, :3])
    both = (6 * losses.attention(mine[:1], their[:1]) + 3 * alone) / 9
    assert value.detach() == pytest.approx(float(both), rel=1e-4)


def metrics(recipe, phase, pair=None):
    pair = pair or TeacherStudent(student(), teacher())
    value, found = phase_loss(1, phase, recipe)(pair, batch())
    return value, {name: float((total / count).detach()) for name, (total, count) in found.items()}


WORDS = phases("none", layers=LAYERS, steps=10, share=0.5)[0]
ALL = phases("akt", layers=LAYERS, steps=10, share=0.5)[0]


def test_alpha_weighs_the_true_word_against_the_teachers():
    value, found = metrics(MobileBertTransfer(alpha=1), WORDS)
    assert "mlm_distillation" not in found
    assert float(value.detach()) == pytest.approx(found["mlm_loss"] + found["pair_loss"], rel=1e-5)
    value, found = metrics(MobileBertTransfer(alpha=0), WORDS)
    assert float(value.detach()) == pytest.approx(found["mlm_distillation"] + found["pair_loss"], rel=1e-5)
    value, found = metrics(MobileBertTransfer(alpha=0.3), WORDS)
    expected = 0.3 * found["mlm_loss"] + 0.7 * found["mlm_distillation"] + found["pair_loss"]
    assert float(value.detach()) == pytest.approx(expected, rel=1e-5)


def test_alpha_equals_one_cross_entropy_against_mixed_labels():
    pair = TeacherStudent(student(), teacher())
    logits, targets = (model(batch()).words.float() for model in (pair.student, pair.teacher))
    mixed = 0.5 * F.one_hot(batch().targets, logits.shape[1]) + 0.5 * targets.softmax(-1)
    found = metrics(MobileBertTransfer(), WORDS, pair)[1]
    expected = F.cross_entropy(logits, mixed).detach()
    assert 0.5 * found["mlm_loss"] + 0.5 * found["mlm_distillation"] == pytest.approx(
        float(expected), rel=1e-5
    )


def test_all_at_once_is_the_sum_over_layers_and_words():
    recipe, pair = MobileBertTransfer(strategy="akt"), TeacherStudent(student(), teacher())
    single = [metrics(recipe, phase, pair)[1] for phase in phases("pkt", layers=LAYERS, steps=9, share=1)]
    words = metrics(recipe, WORDS, pair)[1]["loss"]
    value, found = metrics(recipe, ALL, pair)
    assert float(value.detach()) == pytest.approx(sum(one["loss"] for one in single) + words, rel=1e-4)
    assert found["attention"] == pytest.approx(sum(one["attention"] for one in single), rel=1e-4)


def test_decomposed_terms_are_divided_by_the_depth_and_terms_can_be_left_out():
    pair = TeacherStudent(student(), teacher())
    phase = phases("pkt", layers=LAYERS, steps=9, share=1)[1]
    plain = metrics(MobileBertTransfer(), phase, pair)[1]
    divided = metrics(MobileBertTransfer(feature_maps="decomposed"), phase, pair)[1]
    assert divided["attention"] == pytest.approx(plain["attention"] / LAYERS, rel=1e-5)
    assert "attention" not in metrics(MobileBertTransfer(attention=False), phase, pair)[1]
    assert "feature_maps" not in metrics(MobileBertTransfer(feature_maps="none"), phase, pair)[1]
    counted = metrics(MobileBertTransfer(count_padding=True), phase, pair)[1]
    assert counted["feature_maps"] != plain["feature_maps"]
    with pytest.raises(ValueError, match="say strategy: none"):
        MobileBertTransfer(feature_maps="none", attention=False)


def test_a_student_that_is_its_teacher_has_nothing_to_learn():
    model = teacher()
    for phase in phases("pkt", layers=LAYERS, steps=9, share=1):
        found = metrics(MobileBertTransfer(), phase, TeacherStudent(model, teacher()))[1]
        assert found["loss"] == pytest.approx(0, abs=1e-6)


def test_in_a_phase_one_layer_is_taught_and_gradients_reach_those_below():
    pair = TeacherStudent(student(), teacher())
    value, _ = phase_loss(1, phases("pkt", layers=LAYERS, steps=9, share=1)[1], MobileBertTransfer())(
        pair, batch()
    )
    value.backward()
    below, taught, above = pair.student.mobilebert.encoder.layer
    assert all(parameter.grad is not None for parameter in below.parameters())
    assert taught.attention.self.query.weight.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in above.parameters())
    assert all(parameter.grad is None for parameter in pair.teacher.parameters())


def test_neither_model_of_a_lesson_has_dropout_while_it_trains():
    pair = TeacherStudent(student(), teacher()).train()
    assert not any(module.training for model in (pair.student, pair.teacher) for module in model.modules())


@pytest.mark.parametrize(("strategy", "share"), [("pkt", 0.5), ("jkt", 0.5), ("pkt", 0.1)])
def test_a_phase_that_could_not_move_is_refused(strategy, share):
    """The rate of a phase's first step is 0."""
    with pytest.raises(BadInput, match="less than two for each of 3 layers"):
        phases(strategy, layers=3, steps=10, share=share)


@pytest.mark.parametrize("strategy", ["akt", "jkt", "pkt", "none"])
@pytest.mark.parametrize("steps", [20, 31, 1000])
def test_strategies_take_equal_steps(strategy, steps):
    plan = phases(strategy, layers=3, steps=steps, share=0.32)
    assert sum(phase.steps for phase in plan) == steps


def test_progressive_transfer_covers_each_layer_equally_from_the_bottom():
    plan = phases("pkt", layers=24, steps=740_000, share=240 / 740)
    assert [phase.layers for phase in plan[:-1]] == [(layer,) for layer in range(24)]
    assert {phase.steps for phase in plan[:-1]} == {10_000}
    assert plan[-1].layers == ()
    assert plan[-1].distils
    assert plan[-1].steps == 500_000


def test_rates_are_those_of_the_published_schedule():
    taught = phases("pkt", layers=4, steps=400, share=1)[2]
    assert [taught.scale(layer, "slow") for layer in (0, 1, 2, 3, None)] == [0.3, 0.3, 3.0, 0.0, 0.0]
    assert [taught.scale(layer, "frozen") for layer in (0, 1, 2, 3, None)] == [0.0, 0.0, 3.0, 0.0, 0.0]
    assert [taught.rate(step) for step in (0, 5)] == pytest.approx([0.0, 0.5])
    assert taught.rate(75) == pytest.approx(0.9 + 0.1 * 0.5)
    assert 0.9 < taught.rate(99) < taught.rate(50) < taught.rate(10) < 1
    words = phases("none", layers=4, steps=100, share=1)[0]
    assert {words.scale(layer, "frozen") for layer in (0, 3, None)} == {1.0}
    assert [words.rate(step) for step in (0, 2, 51)] == pytest.approx([0.0, 1.0, 0.5])


def test_operations_are_those_that_are_carried_out():
    from torch.utils.flop_counter import FlopCounterMode

    pair = TeacherStudent(student(), teacher())
    for phase in (ALL, WORDS, phases("pkt", layers=LAYERS, steps=9, share=1)[1]):
        recipe = MobileBertTransfer()
        with FlopCounterMode(display=False) as counter:
            phase_loss(1, phase, recipe)(pair, batch())[0].backward()
        assert 3 * flops(pair, phase, recipe)(batch()) == pytest.approx(counter.get_total_flops(), rel=0.1)


def test_a_student_starts_with_its_teachers_embeddings_and_heads_but_not_with_another_kind_of_norm():
    mine, their = student(), teacher()
    before = {name: tensor.clone() for name, tensor in mine.state_dict().items()}
    adopt(mine, their)
    theirs = their.state_dict()
    norm = {"mobilebert.embeddings.LayerNorm.weight", "mobilebert.embeddings.LayerNorm.bias"}
    for name, tensor in mine.state_dict().items():
        its_own = ".encoder." in name or name in norm
        assert torch.equal(tensor, before[name] if its_own else theirs[name]), name
    alike = student(normalization_type="layer_norm")
    adopt(alike, their)
    for name in norm:
        assert torch.equal(alike.state_dict()[name], theirs[name]), name


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"hidden_size": 40}, "block widths"),
        ({"num_attention_heads": 2}, "head counts"),
        ({"num_hidden_layers": 2}, "depths"),
        ({"vocab_size": 61}, "vocabularies"),
        ({"embedding_size": 4}, "embedding sizes"),
        ({"max_position_embeddings": 16}, "numbers of positions"),
        ({"type_vocab_size": 3}, "numbers of token types"),
    ],
)
def test_a_pair_that_cannot_be_compared_is_refused(changes, what):
    with pytest.raises(BadInput, match=what):
        check_pair(student(**changes).config, teacher().config)
    with pytest.raises(BadInput, match=what):
        TeacherStudent(student(**changes), teacher())
