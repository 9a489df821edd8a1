"""DistilBERT's losses: where it starts, what it follows, and its masked words."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from distilled import with_states, write_tokenizer
from pydantic import ValidationError

from methods.distillation import masked_words as masked
from methods.distillation.distilbert import DistilBERT
from methods.distillation.losses import soft_targets
from methods.distillation.masked_words import mask, masked_words
from methods.distillation.student import student_of
from methods.distillation.triple_loss import direction, triple_loss
from tasks.batches import collate
from tasks.tokens import tokenizer


def test_it_starts_from_spread_layers_of_the_teacher(run):
    trial = run(layers=4)
    student, teacher = student_of(trial, DistilBERT()), trial.start()
    for own, layer in zip(student.bert.encoder.layer, (0, 3), strict=True):
        expected = teacher.bert.encoder.layer[layer]
        assert torch.equal(own.output.dense.weight, expected.output.dense.weight)
    assert torch.equal(student.classifier.weight, teacher.classifier.weight)


def test_direction_is_scale_invariant_and_sees_no_padding():
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(2, 5, 8, generator=generator)
    other = torch.randn(2, 5, 8, generator=generator)
    masked = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
    assert direction(states, 4 * states, masked).item() == pytest.approx(0, abs=1e-6)
    assert direction(states, -states, masked).item() == pytest.approx(2)
    before = direction(states, other, masked)
    other[1, 2:] = 9.0
    assert direction(states, other, masked) == before


def test_the_loss_is_the_weighted_sum(run):
    method = DistilBERT(soft=5, labels=2, cosine=3, temperature=2)
    trial = with_states(run(layers=4), method)
    student = student_of(trial, method)
    positions = np.array([9, 1, 20])
    batch = collate(trial.train, positions)
    output = student(**batch.inputs, output_hidden_states=True)
    teacher = trial.teacher_states().read("hidden", batch.positions)[:, 0]
    logits = torch.tensor(np.array(trial.teacher_logits()[positions]))
    expected = (
        5 * soft_targets(output.logits, logits, 2)
        + 2 * torch.nn.functional.cross_entropy(output.logits, batch.labels)
        + 3 * direction(output.hidden_states[-1], teacher, batch.inputs["attention_mask"])
    )
    assert triple_loss(trial, student, method)(student, batch).item() == pytest.approx(
        expected.item(), rel=1e-5
    )


def test_only_what_has_weight_is_a_prerequisite_and_read(run):
    assert [getattr(need, "name", need) for need in DistilBERT().prerequisites()] == [
        "finetune", "teacher-outputs", "teacher-states",
    ]  # fmt: skip
    method = DistilBERT(soft=0, cosine=0, init="pretrained")
    assert method.prerequisites() == ()
    trial = run(layers=4)
    trial.results = {}
    method.compress(trial)
    with pytest.raises(ValidationError, match="nothing is learnt of the task"):
        DistilBERT(soft=0, labels=0, cosine=0, mlm=1)


def test_masking_hides_the_share_of_the_paper_and_no_special_token():
    torch.manual_seed(0)
    ids = torch.randint(5, 50, (200, 50))
    ids[:, 0], ids[:, -1] = 2, 0
    shown, chosen = mask(ids, torch.tensor([0, 1, 2, 3, 4]), 4, 50)
    assert not chosen[:, 0].any()
    assert not chosen[:, -1].any()
    assert torch.equal(shown[~chosen], ids[~chosen])
    assert chosen[:, 1:-1].float().mean().item() == pytest.approx(0.15, abs=0.01)
    assert (shown[chosen] == 4).float().mean().item() == pytest.approx(0.8, abs=0.03)
    assert (shown[chosen] == ids[chosen]).float().mean().item() == pytest.approx(0.1, abs=0.03)


def test_masked_words_train_the_encoder_through_tied_embeddings_and_leave_no_head(run):
    trial = run(layers=4)
    write_tokenizer(Path(trial.model.path))
    student = student_of(trial, DistilBERT())
    names = list(student.state_dict())
    batch = collate(trial.train, np.arange(32))
    with masked_words(trial, student) as guess:
        torch.manual_seed(0)
        guess(student, batch).backward()
        assert student.get_input_embeddings().weight.grad.abs().sum() > 0
        assert student.word_head.bias.grad.abs().sum() > 0
        torch.manual_seed(0)
        before = guess(student, batch).item()
        trial.fit(student, guess, training=trial.training.override(epochs=15, learning_rate=5e-3))
        torch.manual_seed(0)
        assert guess(student, batch).item() < before
    assert list(student.state_dict()) == names
    assert student.classifier.weight.grad is None or student.classifier.weight.grad.abs().sum() == 0


def test_a_batch_without_words_to_guess_has_no_loss_and_no_gradient(run):
    trial = run(layers=4)
    write_tokenizer(Path(trial.model.path))
    student = student_of(trial, DistilBERT())
    batch = collate(trial.train, np.arange(1))
    batch.inputs["input_ids"].fill_(tokenizer(trial.model.path, None).backend.pad_token_id)
    with masked_words(trial, student) as guess:
        value = guess(student, batch)
        value.backward()
        assert value.item() == 0
        assert all(p.grad is None or not p.grad.any() for p in student.parameters())


def test_masked_words_have_their_weight_in_the_loss(run, monkeypatch):
    trial = run(layers=4)
    monkeypatch.setattr(masked, "masked_words", lambda run, student: nullcontext(lambda model, batch: 10.0))
    fitted, losses = trial.fit, []

    def watch(model, loss, **options):
        batch = collate(trial.train, np.arange(4))
        losses.append(loss(model.eval(), batch).item())
        return fitted(
            model.train(), lambda *given: loss(*given) + 0 * model.classifier.weight.sum(), **options
        )

    trial.fit = watch
    for mlm in (0, 3):
        DistilBERT(soft=0, cosine=0, mlm=mlm, init="pretrained", epochs=0.1).compress(trial)
    assert losses[1] - losses[0] == pytest.approx(30, rel=1e-5)


def test_masked_words_cost_a_second_pass_of_the_encoder_and_their_head(run, monkeypatch):
    costs, words = [], []

    def counted(*given):
        shown, chosen = mask(*given)
        words.append(int(chosen.sum()))
        return shown, chosen

    monkeypatch.setattr(masked, "mask", counted)
    for mlm in (0, 1):
        method = DistilBERT(mlm=mlm)
        trial = with_states(run(layers=4), method)
        write_tokenizer(Path(trial.model.path))
        method.compress(trial)
        costs.append(trial.cost)
    one, two = costs
    # Of the masked text the classifier, 32 x 2, reads nothing; the head is 32 x 32 and the table of 50 words.
    encoder = one.flops - 3 * one.examples * 2 * 32 * 2
    head = 3 * sum(words) * 2 * (32 * 32 + 32 * 50)
    assert two.flops == pytest.approx(one.flops + encoder + head, rel=1e-9) and head > 0
    assert (two.steps, two.examples, two.tokens) == (one.steps, one.examples, one.tokens)
