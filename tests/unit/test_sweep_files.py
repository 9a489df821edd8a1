"""The sweeps that come with the project: valid, and every key explained."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmark.grid import expand
from benchmark.load import load_sweep

SWEEPS = sorted((Path(__file__).parents[2] / "sweeps").glob("*.yaml"))


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_its_methods_and_fields_exist(path):
    assert expand(load_sweep(path))


@pytest.mark.parametrize("name", ["demo", "glue"])
def test_every_key_has_a_comment(name):
    (path,) = (path for path in SWEEPS if path.stem == name)
    keys = [line for line in path.read_text().splitlines() if re.match(r" *[a-z_]+:", line)]
    assert len(keys) > 10
    assert [line for line in keys if "#" not in line] == []
