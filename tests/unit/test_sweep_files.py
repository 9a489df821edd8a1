"""The sweeps that come with the project: valid, and every key explained."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from benchmark.grid import expand, expand_studies
from benchmark.load import load_sweep

SWEEPS = sorted((Path(__file__).parents[2] / "sweeps").glob("*.yaml"))


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_its_methods_studies_and_fields_exist(path):
    sweep = load_sweep(path)
    assert expand(sweep)
    assert len(expand_studies(sweep)) >= len(sweep.studies)


def test_every_row_of_the_distillation_sweep_is_tuned_alike():
    def rows(name: str) -> Counter[str]:
        sweep = load_sweep(SWEEPS[0].parent / f"{name}.yaml")
        return Counter(method.model_copy(update={"learning_rate": None}).label for method in expand(sweep))

    evaluated, tuned = rows("distillation"), rows("distillation-tuning")
    assert tuned == Counter(dict.fromkeys(evaluated, 2))
    seeds = [set(load_sweep(path).seeds) for path in SWEEPS if path.stem.startswith("distillation")]
    assert sorted(map(len, seeds)) == [1, 5, 5]
    assert {101} in seeds and all(101 not in others for others in seeds if len(others) > 1)


@pytest.mark.parametrize("name", ["demo", "glue"])
def test_every_key_has_a_comment(name):
    (path,) = (path for path in SWEEPS if path.stem == name)
    keys = [line for line in path.read_text().splitlines() if re.match(r" *[a-z_]+:", line)]
    assert len(keys) > 10
    assert [line for line in keys if "#" not in line] == []
