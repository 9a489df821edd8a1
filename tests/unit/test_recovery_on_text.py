"""Recovery on text: steps that learn something from the few tokens it is given."""

from __future__ import annotations

import math

import pytest
from test_shared_layers import with_corpus
from tiny_corpus import VOCABULARY, access

from methods.sharing import recovery
from methods.sharing.recovery import recover_on_text
from methods.sharing.ties import share_layers


def shared(trial):
    return share_layers(trial.start(), 1, "mean")


def test_its_steps_are_many_and_adamw_s_in_parts_as_small_as_those_of_fine_tuning(run, tmp_path, monkeypatch):
    trial = with_corpus(run(), tmp_path / "text")
    trial.training = trial.training.override(max_length=128)
    asked = []

    def pretrain(run, model, loss, stream, settings, **named):
        asked.append((settings, stream))
        raise KeyboardInterrupt

    monkeypatch.setattr(recovery, "pretrain", pretrain)
    with pytest.raises(KeyboardInterrupt):
        recover_on_text(trial, shared(trial), 1_000_000, batch_size=32)
    ((settings, stream),) = asked
    assert (settings.optimizer, settings.learning_rate) == ("adamw", 1e-3)
    assert settings.total_steps == round(1_000_000 / (32 * 128))
    assert stream.batch_size * stream.length <= 2048


def test_a_few_thousand_tokens_teach_which_words_are_frequent(run, tmp_path):
    """Few large steps leave the loss at that of guessing among all entries."""
    # Of more examples than a batch has.
    access(tmp_path / "text", documents=200)
    trial = with_corpus(run(), tmp_path / "text", layers=2)
    recover_on_text(trial, shared(trial), 40 * 32 * 32, batch_size=32)
    notes = trial.notes["recovery"]
    assert notes["steps"] == trial.cost.steps == 40
    assert notes["held_out"]["mlm_loss"] < math.log(VOCABULARY) - 0.2
