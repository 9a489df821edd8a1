"""The variants that MobileBERT's choices are compared by."""

from __future__ import annotations

import pytest
import torch

from methods.compact.mobilebert import configuration
from methods.compact.mobilebert.mobilebert_transfer import MobileBertTransfer
from methods.compact.mobilebert.model import BottleneckBertModel
from methods.compact.mobilebert.operations import operations, ratio

PAIR = MobileBertTransfer(steps=100)


def test_attention_against_feed_forward_parameters_of_the_released_model():
    found = ratio(configuration.mobilebert())
    assert found.attention == pytest.approx((98_688 + 16_768) / (4 * 131_968))
    assert found.with_bottlenecks == pytest.approx((98_688 + 16_768 + 2 * 65_920) / (4 * 131_968))
    assert 0.4 < found.with_bottlenecks < 0.6
    single = ratio(configuration.mobilebert(num_feedforward_networks=1))
    assert single.attention == pytest.approx(4 * found.attention)


def test_each_operation_changes_one_thing_and_can_be_built():
    found = operations(PAIR)
    assert len(found) == 12
    assert found["no_norm-relu"] == found["ffns-4"] == found["heads-4"] == PAIR
    shapes = set()
    for work in found.values():
        with torch.device("meta"):
            shapes.add(str(BottleneckBertModel(work.configuration(500)).config.to_dict()))
            BottleneckBertModel(work.teacher.configuration(500))
    assert len(shapes) == 10
    assert found["inter-halved"].configuration(500).hidden_size == 64
    assert found["intra-halved"].configuration(500).true_hidden_size == 16
    assert found["heads-16"].configuration(500).num_attention_heads == 16


def test_a_width_that_the_heads_cannot_share_is_refused():
    with pytest.raises(ValueError, match="divisible by"):
        operations(MobileBertTransfer(inner=20))


def test_without_a_bottleneck_blocks_are_as_wide_as_what_lies_between_them():
    assert MobileBertTransfer(bottleneck=False).configuration(500).true_hidden_size == 128
