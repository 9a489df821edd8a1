"""TinyBERT: its losses, its two stages, its augmentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from distilled import VOCABULARY, with_model, with_states, write_tokenizer
from pydantic import ValidationError
from transformers import BertConfig, BertForMaskedLM, BertModel

from methods.distillation import augmentation
from methods.distillation.augmentation import augmented
from methods.distillation.live_teacher import LiveTeacher
from methods.distillation.losses import soft_cross_entropy
from methods.distillation.tinybert import TinyBERT
from methods.distillation.transformer_distillation import (
    attention_loss,
    hidden_loss,
    transformer_distillation,
)
from methods.inference import predict
from tasks.batches import collate, in_order
from tasks.errors import BadInput


@pytest.fixture
def masked():
    """States and scores of two examples of 5 and 3 tokens, with padding that is noise."""
    generator = torch.Generator().manual_seed(0)
    hidden = [torch.randn(2, 3, 5, 8, generator=generator) for _ in range(2)]
    scores = [torch.randn(2, 2, 4, 5, 5, generator=generator) for _ in range(2)]
    return hidden, scores, torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


def test_losses_are_sums_over_layers_of_means_over_real_tokens(masked):
    hidden, scores, mask = masked
    squares = (hidden[0] - hidden[1]).square()
    expected = (squares[0].sum() + squares[1, :, :3].sum()) / (8 * 8)
    assert hidden_loss(*hidden, mask).item() == pytest.approx(expected.item(), rel=1e-5)
    squares = (scores[0] - scores[1]).square()
    expected = (squares[0].sum() + squares[1, :, :, :3, :3].sum()) / (4 * (25 + 9))
    assert attention_loss(*scores, mask).item() == pytest.approx(expected.item(), rel=1e-5)


def test_padding_counts_nowhere_and_equal_states_cost_nothing(masked):
    hidden, scores, mask = masked
    before = hidden_loss(*hidden, mask), attention_loss(*scores, mask)
    hidden[0][1, :, 3:] = 100.0
    scores[0][1, ..., 3:] = scores[0][1, ..., 3:, :] = -100.0
    assert hidden_loss(*hidden, mask) == before[0]
    assert attention_loss(*scores, mask) == before[1]
    assert hidden_loss(hidden[0], hidden[0], mask) == attention_loss(scores[0], scores[0], mask) == 0


def test_prediction_loss_is_soft_cross_entropy_over_examples_and_classes():
    student, teacher = torch.randn(5, 3), torch.randn(5, 3)
    expected = -((teacher / 2).softmax(1) * (student / 2).log_softmax(1)).sum() / 15
    assert soft_cross_entropy(student, teacher, 2).item() == pytest.approx(expected.item(), rel=1e-5)


def test_one_projection_is_shared_learnt_and_taken_off(run):
    method = TinyBERT(inner_epochs=1)
    trial = with_states(run(layers=4), method)
    cached = trial.teacher_states()
    student = trial.start()
    del student.bert.encoder.layer[2:]
    student.config.num_hidden_layers = 2
    names = list(student.state_dict())

    def teach(batch):
        return {kind: cached.read(kind, batch.positions) for kind in cached.parts}

    padded = []
    with transformer_distillation(trial, student, teach, cached.parts) as loss:
        assert set(student.state_dict()) - set(names) == {"projection.weight", "projection.bias"}
        before = student.projection.weight.clone()
        fitted = trial.fit(
            student, lambda model, b: padded.append(b.inputs["input_ids"].numel()) or loss(model, b)
        )
        assert not torch.equal(student.projection.weight, before)
    # 32 x 32, of the embeddings and two layers at every token, there and back.
    projected = 3 * sum(padded) * 3 * 2 * 32 * 32
    assert trial.cost.flops == pytest.approx(fitted.cost.flops + projected, rel=1e-9)
    assert trial.cost.tokens == fitted.cost.tokens
    assert list(student.state_dict()) == names


def test_a_narrower_student_follows_the_mapped_layers_through_the_projection(run, tiny_bert):
    """Layers 1 and 2 of a student half as wide follow 1 and 4 of its teacher, embeddings its embeddings."""
    trial = run(layers=4)
    teacher = trial.start()
    student = tiny_bert(seed=5, num_hidden_layers=2, hidden_size=16, intermediate_size=32)
    live = LiveTeacher(trial, TinyBERT(student="small", layer_map=(1, 4))._states())
    batch = collate(trial.train, np.array([5, 30, 2]))
    mask = batch.inputs["attention_mask"]

    def looked_at(model):
        states = model(**batch.inputs, output_hidden_states=True).hidden_states
        scores = []
        for layer, hidden in zip(model.bert.encoder.layer, states[:-1], strict=True):
            attention = layer.attention.self
            query, key = (
                linear(hidden).unflatten(-1, (4, -1)).transpose(1, 2)
                for linear in (attention.query, attention.key)
            )
            scores.append(query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5)
        return states, scores

    (own, own_scores), (theirs, their_scores) = looked_at(student), looked_at(teacher)
    with transformer_distillation(trial, student, live.states, live.parts) as loss:
        projected = torch.stack([student.projection(state) for state in own], dim=1)
        hidden = hidden_loss(projected, torch.stack([theirs[layer] for layer in (0, 1, 4)], dim=1), mask)
        mapped = torch.stack([their_scores[layer] for layer in (0, 3)], dim=1)
        attention = attention_loss(torch.stack(own_scores, dim=1), mapped, mask)
        assert min(hidden.item(), attention.item()) > 0.01
        assert loss(student, batch).item() == pytest.approx((hidden + attention).item(), rel=1e-5)


def test_the_first_stage_brings_states_nearer_and_the_second_outputs(run, monkeypatch):
    method = TinyBERT(inner_epochs=12, inner_learning_rate=3e-3, epochs=20, learning_rate=3e-3)
    trial = with_states(run(layers=4), method)
    fits = []
    fit = trial.fit

    def probabilities(logits):
        return torch.tensor(np.array(logits)).softmax(dim=1)

    def watch(model, loss, **options):
        fitted = fit(model, loss, **options)
        own = probabilities(predict(model, trial.train))
        fits.append((fitted, options, (own - probabilities(trial.teacher_logits())).abs().mean()))
        return fitted

    trial.fit = watch
    student = method.compress(trial)
    (inner, how, far), (_, then, near) = fits
    assert inner.losses[-1] < 0.7 * inner.losses[0]
    assert near < 0.7 * far
    assert how["schedule"](3, 10, 0.1) == 1.0, "the first stage runs at a constant rate"
    assert "schedule" not in then
    # The second stage has the order and dropout masks of a method that trains once.
    assert (how["draw"], then["draw"]) == (1, 0)
    assert (how["training"].epochs, how["training"].learning_rate) == (12, 3e-3)
    assert not hasattr(student, "projection")
    assert trial.cost.steps == 4 * 32


def test_a_live_teacher_says_what_the_cache_says(run):
    found = {}
    for live in (False, True):
        method = TinyBERT(inner_epochs=2, live=live)
        trial = with_states(run(layers=4), method)
        found[live] = predict(method.compress(trial), trial.train), trial.cost
    np.testing.assert_allclose(found[True][0], found[False][0], atol=0.03)
    assert found[True][1].steps == found[False][1].steps
    assert found[True][1].flops > found[False][1].flops, "the teacher's work counts"


def test_its_states_are_asked_for_by_the_students_depth():
    assert [need if isinstance(need, str) else need.label for need in TinyBERT(layers=3).prerequisites()] == [
        "teacher-outputs",
        "teacher-states:hidden=mapped,attentions=True,layer_map=3",
    ]
    assert TinyBERT(take=(2, 4)).prerequisites()[1].layer_map == 2
    assert TinyBERT(student="x", layer_map=(3, 6)).prerequisites()[1].layer_map == (3, 6)
    assert TinyBERT(augment=2).prerequisites() == ("finetune",)
    assert TinyBERT(live=True).prerequisites() == ("finetune", "teacher-outputs")
    assert TinyBERT(augment=2, augment_model="m").models() == ("m",)
    for wrong in ({"student": "x"}, {"augment_model": "m"}):
        with pytest.raises(ValidationError):
            TinyBERT(**wrong)


@pytest.fixture
def worded(run):
    trial = run(layers=4)
    write_tokenizer(Path(trial.model.path))
    return trial


def words_of(examples, row):
    ids = examples.ids[examples.offsets[row] : examples.offsets[row + 1]]
    return [VOCABULARY[token] for token in ids]


def is_replaceable(words, place):
    following = words[place + 1] if place + 1 < len(words) else ""
    return words[place].startswith("word") and not following.startswith("##")


def test_copies_replace_some_whole_words_and_nothing_else(worded):
    train, more = worded.train, augmented(worded, 30, None)
    n = len(train)
    assert len(more) == 31 * n
    changed = replaceable = 0
    for row in range(n):
        original = words_of(train, train.rows[row])
        assert words_of(more, row) == original
        for copy in range(1, 31):
            words = words_of(more, row + copy * n)
            assert len(words) == len(original)
            for place, (old, new) in enumerate(zip(original, words, strict=True)):
                replaceable += is_replaceable(original, place)
                if old != new:
                    assert is_replaceable(original, place)
                    assert new.startswith("word")
                    changed += 1
    assert changed / replaceable == pytest.approx(0.4, abs=0.03)
    assert np.array_equal(more.labels, np.tile(train.labels, 31))
    again = augmented(worded, 30, None)
    assert np.array_equal(again.ids, more.ids)


def test_neighbours_are_the_nearest_embeddings(worded):
    table = torch.nn.functional.normalize(worded.pretrained().get_input_embeddings().weight.detach(), dim=-1)
    words = [i for i, token in enumerate(VOCABULARY) if token.startswith("word")]
    more, train = augmented(worded, 20, None), worded.train
    for row in range(len(train)):
        ids = train.ids[train.offsets[train.rows[row]] : train.offsets[train.rows[row] + 1]]
        for copy in range(1, 21):
            start = more.offsets[row + copy * len(train)]
            for old, new in zip(ids, more.ids[start : start + len(ids)], strict=True):
                if old != new:
                    order = sorted(words, key=lambda word: -float(table[old] @ table[word]))
                    assert new in [word for word in order if word != old][:15]


def test_a_language_model_proposes_words_in_their_place(run):
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    guesser = BertForMaskedLM(BertConfig(vocab_size=50, max_position_embeddings=64, **shape)).eval()
    with torch.no_grad():  # Whatever it reads, it proposes words 0 to 14.
        guesser.cls.predictions.bias[8:23] = 50.0
    trial = with_model(run(), guesser, "guesser")
    more, train = augmented(trial, 5, "guesser"), trial.train
    n = len(train)
    for row in range(n):
        for copy in range(1, 6):
            old, new = words_of(train, train.rows[row]), words_of(more, row + copy * n)
            assert all(b in VOCABULARY[8:23] for a, b in zip(old, new, strict=True) if a != b)
    assert not np.array_equal(more.ids[: len(more.ids) // 6], more.ids[-len(more.ids) // 6 :])
    assert trial.cost.flops > 0


def test_a_language_model_knows_the_sentences_of_a_pair(run, monkeypatch):
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    guesser = BertForMaskedLM(BertConfig(vocab_size=50, max_position_embeddings=64, **shape))
    trial = with_model(run(), guesser, "guesser")
    trial.train.types[:] = 1
    seen, load = [], augmentation._language_model

    def watched(source):
        model = load(source)
        model.register_forward_pre_hook(lambda model, given, inputs: seen.append(inputs), with_kwargs=True)
        return model

    monkeypatch.setattr(augmentation, "_language_model", watched)
    augmented(trial, 1, "guesser")
    # The rest counts operations, on a text that is none.
    asked = [inputs for inputs in seen if inputs["input_ids"].eq(4).any()]
    assert asked
    for inputs in asked:  # Ones on tokens, zeros on padding.
        assert torch.equal(inputs["token_type_ids"], inputs["attention_mask"])


def test_a_language_model_in_half_precision_is_read_as_fp32(run):
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    guesser = BertForMaskedLM(BertConfig(vocab_size=50, max_position_embeddings=64, **shape)).bfloat16()
    trial = with_model(run(), guesser, "guesser")
    model = augmentation._language_model(trial.models["guesser"])
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_an_encoder_without_a_head_proposes_nothing(run):
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    trial = with_model(
        run(), BertModel(BertConfig(vocab_size=50, max_position_embeddings=64, **shape)), "bare"
    )
    with pytest.raises(BadInput, match="augment_model: 'bare' has no head for masked words"):
        augmented(trial, 1, "bare")


def test_outputs_are_softened_by_its_temperature(run):
    method = TinyBERT(temperature=3, inner_epochs=1)
    trial = with_states(run(layers=4), method)
    losses = []
    fit = trial.fit
    trial.fit = lambda model, loss, **options: losses.append((model, loss)) or fit(model, loss, **options)
    method.compress(trial)
    student, loss = losses[1]
    batch = collate(trial.train, np.array([5, 30, 2]))
    teacher = torch.tensor(np.array(trial.teacher_logits()[[5, 30, 2]]))
    expected = soft_cross_entropy(student(**batch.inputs).logits, teacher, 3)
    assert loss(student, batch).item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_vocabulary_without_parts_of_words_is_refused(run):
    trial = run()
    write_tokenizer(Path(trial.model.path), [token.replace("##", "x") for token in VOCABULARY])
    with pytest.raises(BadInput, match="is not WordPiece"):
        augmented(trial, 1, None)


def test_augmented_texts_are_taught_by_a_live_teacher(worded):
    worded.results = {"finetune": worded.results["finetune"]}
    method = TinyBERT(augment=2, inner_epochs=1, epochs=1)
    method.compress(worded)
    assert worded.cost.examples == 2 * 3 * 32
    live = LiveTeacher(worded, TinyBERT()._states())
    (batch,) = in_order(worded.train, 32)
    expected = predict(worded.start(), worded.train)[batch.positions]
    np.testing.assert_allclose(live.logits(batch).numpy(), expected, atol=1e-6)
    before = worded.cost.flops
    live.states(collate(worded.train, np.arange(4)))
    assert worded.cost.flops > before
