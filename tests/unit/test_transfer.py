"""Knowledge transfer: what moves in which phase, costs, and going on after a kill."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from bottleneck_berts import LAYERS, Batches, batch, student, teacher
from tiny_corpus import sweep_run

from methods.compact.mobilebert.mobilebert_transfer import MobileBertTransfer
from methods.compact.mobilebert.pair import adopt
from methods.compact.mobilebert.phases import phases
from methods.compact.mobilebert.transfer import TeacherStudent, phase_loss, transfer
from methods.pretraining import loop

FIELDS = {
    "teacher": {"layers": LAYERS},
    "optimizer": "adamw",
    "learning_rate": 1e-3,
    "batch_size": 4,
    "accumulation": 1,
}


def weights(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def moved(before, after, part):
    """Mean absolute movement of the parameters of a part."""
    names = [name for name in before if name.startswith(part)]
    return sum(float((before[name] - after[name]).abs().sum()) for name in names) / sum(
        before[name].numel() for name in names
    )


def taught(tmp_path, recipe, pair=None, stream=None, **facts):
    pair = pair or TeacherStudent(student(), teacher())
    run = sweep_run(None, tmp_path, **{"resume": None, **facts})
    notes = transfer(run, pair, stream or Batches(), recipe)
    return pair, run, notes


def layer(number):
    return f"mobilebert.encoder.layer.{number}."


def states(tmp_path, recipe):
    """The student's weights at the start and after each phase, as its checkpoints hold them."""
    pair, _, notes = taught(tmp_path, recipe, resume=tmp_path)
    before = student()
    adopt(before, pair.teacher)
    found = [weights(before)]
    for number, note in enumerate(notes, start=1):
        kept = torch.load(tmp_path / f"{number}-{note['phase']}.pt", weights_only=True)["model"]
        found.append({name.removeprefix("student."): tensor for name, tensor in kept.items()})
    return found


@pytest.mark.parametrize("lower", ["slow", "frozen"])
def test_each_phase_moves_its_layer_and_leaves_those_above_to_the_bit(lower, tmp_path):
    recipe = MobileBertTransfer(steps=15, transfer_share=0.8, lower=lower, **FIELDS)
    start, *after = states(tmp_path, recipe)
    assert len(after) == LAYERS + 1
    for phase in range(LAYERS):
        before = [start, *after][phase]
        assert moved(before, after[phase], layer(phase)) > 0
        for other in ["mobilebert.embeddings", "cls", *(layer(above) for above in range(phase + 1, LAYERS))]:
            assert moved(before, after[phase], other) == 0, (phase, other)
        for below in range(phase):
            distance = moved(before, after[phase], layer(below))
            if lower == "frozen":
                assert distance == 0
            else:
                assert 0 < distance < 0.5 * moved(before, after[phase], layer(phase))
    for part in ("mobilebert.embeddings", "cls", *map(layer, range(LAYERS))):
        assert moved(after[-2], after[-1], part) > 0


def test_every_phase_has_a_new_optimiser(tmp_path, monkeypatch):
    made = []
    make_optimizer = loop.make_optimizer

    def watched(settings, groups):
        made.append(make_optimizer(settings, groups))
        assert not made[-1].state
        return made[-1]

    monkeypatch.setattr(loop, "make_optimizer", watched)
    taught(tmp_path, MobileBertTransfer(steps=12, transfer_share=0.5, **FIELDS))
    assert len(set(map(id, made))) == LAYERS + 1
    assert all(one.state for one in made), "each took its steps"


def test_the_teacher_is_left_alone_and_the_student_can_be_trained_on(tmp_path):
    pair = TeacherStudent(student(), teacher())
    before = weights(pair.teacher)
    taught(tmp_path, MobileBertTransfer(steps=12, transfer_share=0.5, **FIELDS), pair)
    assert all(torch.equal(before[name], tensor) for name, tensor in weights(pair.teacher).items())
    assert not any(parameter.requires_grad for parameter in pair.teacher.parameters())
    assert all(parameter.requires_grad for parameter in pair.student.parameters())
    assert not any(name.startswith("_teacher") or "teacher" in name for name in pair.state_dict())


@pytest.mark.parametrize("strategy", ["akt", "jkt", "pkt", "none"])
def test_every_strategy_learns_in_equal_steps_and_says_what_it_did(strategy, tmp_path):
    shown = []
    recipe = MobileBertTransfer(strategy=strategy, steps=30, **FIELDS)
    _, run, notes = taught(
        tmp_path,
        recipe,
        stream=Batches(same=True),
        report=lambda step, metrics: shown.append((step, metrics)),
    )
    assert run.cost.steps == 30 == sum(note["steps"] for note in notes)
    assert run.cost.tokens == 30 * 40
    assert run.cost.flops > 0
    assert [step for step, _ in shown] == list(range(1, 31))
    assert [metrics["phase"] for _, metrics in shown] == sorted(metrics["phase"] for _, metrics in shown)
    plan = phases(strategy, layers=LAYERS, steps=30, share=recipe.transfer_share)
    assert [metrics["learning_rate"] for _, metrics in shown] == pytest.approx(
        [1e-3 * phase.rate(step) for phase in plan for step in range(phase.steps)]
    )
    assert len(notes) == {"akt": 1, "jkt": 2, "pkt": LAYERS + 1, "none": 1}[strategy]
    assert notes[-1]["curve"][-1]["mlm_loss"] < notes[-1]["curve"][0]["mlm_loss"]


@pytest.mark.parametrize("feature_maps", ["mse", "decomposed"])
def test_a_taught_layer_comes_closer_to_the_teachers(feature_maps, tmp_path):
    recipe = MobileBertTransfer(
        strategy="jkt", steps=60, transfer_share=1, feature_maps=feature_maps, **FIELDS
    )
    curve = taught(tmp_path, recipe, stream=Batches(same=True))[2][0]["curve"]
    assert curve[-1]["feature_maps"] < 0.8 * curve[0]["feature_maps"]
    assert curve[-1]["attention"] < curve[0]["attention"]


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_a_batch_without_masked_tokens_teaches_its_pairs_alone(alpha):
    """Sequences of few tokens may have none that is masked."""
    pair, whole = TeacherStudent(student(), teacher()), batch()
    unmasked = replace(whole, masked=whole.masked[:0], targets=whole.targets[:0])
    (phase,) = phases("none", layers=LAYERS, steps=10, share=0.5)
    value, metrics = phase_loss(1, phase, MobileBertTransfer(alpha=alpha))(pair, unmasked)
    assert torch.equal(value, metrics["pair_loss"][0] / len(whole.pairs))
    # It has no weight in a curve's mean over batches.
    assert all(int(metrics[name][1]) == 0 for name in metrics if name.startswith("mlm"))
    value.backward()
    gradients = [each.grad for each in pair.student.parameters() if each.grad is not None]
    assert gradients and all(torch.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("dies_after", [2, 4, 9])
def test_a_killed_transfer_goes_on_to_the_same_weights(dies_after, tmp_path, monkeypatch):
    recipe = MobileBertTransfer(steps=12, transfer_share=0.5, **FIELDS)
    (tmp_path / "resume").mkdir()
    whole, _, expected = taught(tmp_path, recipe)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        taught(tmp_path, recipe, stream=Batches(dies_after=dies_after), resume=tmp_path / "resume")
    taken, reported = Batches(), []
    pair, run, notes = taught(
        tmp_path,
        recipe,
        stream=taken,
        resume=tmp_path / "resume",
        report=lambda step, metrics: reported.append((step, metrics["phase"], metrics["loss"])),
    )
    assert run.cost.steps == 12
    points = [point for note in expected for point in note["curve"]]
    assert [step for step, *_ in reported] == list(range(1, 13)), "of finished phases too"
    assert [shown for _, *shown in reported] == [[point["phase"], point["loss"]] for point in points]
    assert taken.position.batch == 12
    assert [note["curve"] for note in notes] == [note["curve"] for note in expected]
    assert all(
        torch.equal(tensor, pair.student.state_dict()[name])
        for name, tensor in whole.student.state_dict().items()
    )
