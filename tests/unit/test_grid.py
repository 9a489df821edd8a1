from __future__ import annotations

import re

import pytest

from benchmark.config.grid import expand
from benchmark.config.load import make_sweep
from benchmark.config.yaml_source import parse
from methods.distillation.kd import KnowledgeDistillation
from tasks.errors import BadInput


def labels(methods: str) -> list[str]:
    text = f"name: first\nmodel: minilm\ntasks: [rte]\nmethods:\n{methods}"
    source = parse(text, "s.yaml")
    return [method.label for method in expand(make_sweep(source.data, source))]


def test_names_fields_and_empty_fields():
    assert labels("- finetune\n- kd:\n- sixteen-heads: {heads: 0.5}\n- finetune-more: {}\n") == [
        "finetune",
        "kd",
        "sixteen-heads:heads=0.5",
        "finetune-more",
    ]


def test_one_entry_may_hold_two_methods():
    assert labels("- {finetune: {}, kd: {layers: 3}}\n") == ["finetune", "kd:layers=3"]


def test_a_grid_is_written_out_in_order():
    assert labels("- finetune\n- sixteen-heads: {heads: {grid: [0.25, 0.5]}}\n") == [
        "finetune",
        "sixteen-heads:heads=0.25",
        "sixteen-heads:heads=0.5",
    ]


def test_two_grids_are_multiplied():
    found = labels("- kd: {layers: {grid: [2, 3]}, alpha: {grid: [0.2, 0.7]}, temperature: 5}\n")
    assert found == [
        KnowledgeDistillation(layers=layers, temperature=5, alpha=alpha).label
        for layers in (2, 3)
        for alpha in (0.2, 0.7)
    ]


def test_a_grid_reads_exponents():
    assert labels("- finetune: {learning_rate: {grid: [2e-5, 1e-4]}}\n") == [
        "finetune:learning_rate=2e-05",
        "finetune:learning_rate=0.0001",
    ]


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ("- finetun\n", "s.yaml:5: unknown method 'finetun'; did you mean 'finetune'?"),
        ("- finetune\n- sixteen_heads: {heads: 0.3}\n", "s.yaml:6: unknown method 'sixteen_heads'; did you"),
        ("- nothing-like-it\n", "s.yaml:5: unknown method 'nothing-like-it'; known: "),
        (
            "- kd:\n    layer: 3\n",
            "s.yaml:6: methods.0.kd.layer: unknown key; did you mean 'layers'?",
        ),
        ("- kd: {layers: 0}\n", "s.yaml:5: methods.0.kd.layers: input should be greater than or equal to 1"),
        (
            "- kd: {layers: true}\n",
            "s.yaml:5: methods.0.kd.layers: input should be a valid integer, not True",
        ),
        ("- kd: {layers: [2, 3]}\n", "s.yaml:5: methods.0.kd.layers: input should be a valid integer"),
        (
            "- kd: {init: random}\n",
            "s.yaml:5: methods.0.kd.init: input should be 'pretrained' or 'finetuned'",
        ),
        ("- kd: {layers: {grid: []}}\n", "s.yaml:5: layers: a grid is a list"),
        ("- kd: {layers: {grid: 3}}\n", "s.yaml:5: layers: a grid is a list"),
        (
            "- kd: {layers: {grid: [2, x]}}\n",
            "s.yaml:5: methods.0.kd.layers: input should be a valid integer",
        ),
        ("- kd: {layers: {gird: [2]}}\n", "s.yaml:5: methods.0.kd.layers: input should be a valid integer"),
        ("- kd: {layers: {grid: [2, 2]}}\n", "s.yaml:5: kd:layers=2 appears twice"),
        ("- finetune\n- kd\n- finetune\n", "s.yaml:7: finetune appears twice"),
        ("- sixteen-heads\n- sixteen-heads: {heads: 0.3}\n", "s.yaml:6: sixteen-heads appears twice"),
        ("- kd: 3\n", "s.yaml:5: "),
        ("- {}\n", "s.yaml:5: an empty entry"),
        ("- teacher-outputs\n", "s.yaml:5: teacher-outputs is a prerequisite"),
        (
            "- finetune-more: {epochs: 1, steps: 5}\n",
            "s.yaml:5: methods.0.finetune-more: give epochs or steps",
        ),
    ],
)
def test_a_mistake_is_named_with_line_and_advice(methods, message):
    with pytest.raises(BadInput, match=re.escape(message)):
        labels(methods)
