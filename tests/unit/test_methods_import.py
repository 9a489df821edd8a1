"""Listing methods must be cheap, and fields are checked before anything runs."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from methods import registry


def test_registry_and_every_method_import_without_torch():
    code = (
        "import sys; from methods import registry\n"
        "for work in map(registry.find, registry.BUILT_IN): work(); work().label; work().prerequisites(); work().cost()\n"
        "import methods.pretrained\n"
        "heavy = {'torch', 'transformers', 'ray', 'mlflow', 'datasets', 'pandas'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", sorted(registry.BUILT_IN))
def test_every_method_runs_with_its_defaults_and_refuses_unknown_fields(name):
    work = registry.find(name)
    assert work().label == name
    needed = {need if isinstance(need, str) else need.name for need in work().prerequisites()}
    assert needed <= set(registry.BUILT_IN)
    with pytest.raises(ValidationError):
        work(no_such_field=1)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("finetune", {"epochs": 0}),
        ("finetune", {"epochs": True}),
        ("finetune", {"batch_size": 1.5}),
        ("finetune", {"learning_rate": "fast"}),
        ("finetune-more", {"steps": 0}),
        ("finetune-more", {"steps": 5, "epochs": 1}),
        ("kd", {"layers": 0}),
        ("kd", {"layers": True}),
        ("kd", {"alpha": 1.5}),
        ("kd", {"temperature": 0}),
        ("kd", {"init": "random"}),
        ("shared-layers", {"groups": 0}),
        ("shared-layers", {"init": "median"}),
        ("shared-layers", {"alpha": -0.1}),
    ],
)
def test_bad_fields_are_refused(name, fields):
    with pytest.raises(ValidationError):
        registry.find(name)(**fields)


def test_rates_as_yaml_reads_them_are_accepted():
    assert registry.find("finetune")(learning_rate="2e-5").learning_rate == 2e-5


def test_label_says_what_differs_from_the_defaults():
    assert registry.find("kd")(layers=3, temperature=5).label == "kd:layers=3,temperature=5"
    assert registry.find("kd")(temperature=10).label == "kd"


def test_only_what_is_used_is_a_prerequisite():
    kd, shared = registry.find("kd"), registry.find("shared-layers")
    assert kd().prerequisites() == ("teacher-outputs",)
    assert kd(init="finetuned").prerequisites() == ("finetune", "teacher-outputs")
    assert kd(alpha=0).prerequisites() == ()
    assert shared().prerequisites() == ("finetune", "teacher-outputs")
    assert shared(alpha=0).prerequisites() == ("finetune",)
    assert registry.find("finetune")().prerequisites() == ()
