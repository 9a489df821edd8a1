"""Released encoders and students from the Hub, through the project's own way of loading them."""

from __future__ import annotations

import os

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from methods import pretrained
from tasks.registry import task
from tasks.tokens import tokenizer

TEXTS = (
    ["The cat sat on the mat.", "Nobody expected so long a premise, least of all from a test of two lines."],
    ["A cat sat.", "It was short."],
)


@pytest.mark.timeout(1200)
@pytest.mark.skipif(
    os.environ.get("LEANBOARD_HUB") != "1",
    reason="LEANBOARD_HUB=1 is not set; with it up to a gigabyte is fetched from the Hugging Face Hub",
)
@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        ("google/mobilebert-uncased", 24_581_888),
        ("albert/albert-base-v2", 11_683_584),
        ("distilbert-base-uncased", 66_362_880),
        ("huawei-noah/TinyBERT_General_4L_312D", 14_350_248),
    ],
)
def test_a_released_checkpoint_has_its_size_and_the_logits_of_transformers(model, parameters, tmp_path):
    source = pretrained.resolve(model, folder=tmp_path, offline=False)
    pretrained.fetch(source)
    ours = pretrained.classifier(source, task("rte"), seed=1)
    assert sum(parameter.numel() for parameter in ours.base_model.parameters()) == parameters
    theirs = AutoModelForSequenceClassification.from_pretrained(
        source.path, revision=source.revision or "main", dtype=torch.float32, num_labels=2
    )
    # New in both, and drawn from other seeds.
    new = {
        name: tensor
        for name, tensor in ours.state_dict().items()
        if not name.startswith(f"{ours.base_model_prefix}.")
    }
    assert new and not theirs.load_state_dict(new, strict=False).unexpected_keys
    backend = tokenizer(source.path, source.revision).backend
    longest = max(map(len, backend(*TEXTS)["input_ids"]))
    # A [PAD] behind every text: ours always gives MobileBERT's last trigram one, transformers' as it comes.
    batch = backend(*TEXTS, padding="max_length", max_length=longest + 1, return_tensors="pt")
    # In double precision: MobileBERT's activations, which nothing normalises, are too large for 1e-5 in fp32.
    with torch.no_grad():
        logits, expected = (each.double().eval()(**batch).logits for each in (ours, theirs))
    assert (expected[0] - expected[1]).abs().max() > 1e-3
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)
