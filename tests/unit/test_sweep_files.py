"""The sweeps that come with the project: valid, and every key explained."""

from __future__ import annotations

import re
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


@pytest.mark.parametrize("name", ["demo", "glue"])
def test_every_key_has_a_comment(name):
    (path,) = (path for path in SWEEPS if path.stem == name)
    keys = [line for line in path.read_text().splitlines() if re.match(r" *[a-z_]+:", line)]
    assert len(keys) > 10
    assert [line for line in keys if "#" not in line] == []
