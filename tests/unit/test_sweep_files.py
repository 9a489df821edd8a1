"""The sweeps that come with the project: valid, and every key explained."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from benchmark.config.grid import expand, expand_studies
from benchmark.config.load import load_sweep

SWEEPS = sorted((Path(__file__).parents[2] / "sweeps").glob("*.yaml"))


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_its_methods_studies_and_fields_exist(path):
    sweep = load_sweep(path)
    assert expand(sweep)
    assert len(expand_studies(sweep)) >= len(sweep.studies)


def settings(name: str, layers: tuple[int | None, ...]) -> Counter[str]:
    """How many rows of a sweep, of students so deep, there are but for their rates; None is the teacher's."""
    rows = expand(load_sweep(SWEEPS[0].parent / f"{name}.yaml"))
    kept = [row for row in rows if getattr(row, "layers", None) in layers]
    return Counter(row.model_copy(update={"learning_rate": None}).label for row in kept)


@pytest.mark.parametrize(
    ("evaluated", "layers", "tuned"),
    [
        ("distillation", (None, 3), "distillation-tuning"),
        ("distillation-sizes", (None, 1, 2), "distillation-sizes-tuning"),
    ],
)
def test_every_row_of_the_distillation_sweeps_is_tuned_alike(evaluated, layers, tuned):
    rows = settings(evaluated, layers)
    # The teacher keeps the sweep's rate, so a whole model with a rate of its own may stand beside it.
    assert set((rows - Counter({"finetune": 1})).values()) == {1}
    assert settings(tuned, layers) == Counter(dict.fromkeys(rows, 2))
    assert settings(tuned, layers).total() == len(expand(load_sweep(SWEEPS[0].parent / f"{tuned}.yaml")))


def test_the_largest_students_of_the_size_curve_are_rows_of_the_distillation_sweep():
    assert settings("distillation-sizes", (3,)) <= settings("distillation", (3,))


def test_what_is_tuned_is_tuned_on_a_seed_of_its_own_and_all_else_is_alike():
    sweeps = {path.stem: load_sweep(path) for path in SWEEPS if path.stem.startswith("distillation")}
    tuning = [sweep for name, sweep in sweeps.items() if name.endswith("tuning")]
    assert [sweep.seeds for sweep in tuning] == [(101,)] * 2
    others = [sweep for sweep in sweeps.values() if sweep not in tuning]
    assert all(len(sweep.seeds) == 5 and 101 not in sweep.seeds for sweep in others)
    for common in ("model", "train", "selection", "collapsed_teacher", "baseline"):
        assert len({str(getattr(sweep, common)) for sweep in sweeps.values()}) == 1, common
    for name in ("distillation", "distillation-sizes"):
        assert sweeps[name].limit == sweeps[f"{name}-tuning"].limit
    assert sweeps["distillation-sizes"].limit.items() <= sweeps["distillation"].limit.items()


@pytest.mark.parametrize("name", ["demo", "glue"])
def test_every_key_has_a_comment(name):
    (path,) = (path for path in SWEEPS if path.stem == name)
    keys = [line for line in path.read_text().splitlines() if re.match(r" *[a-z_]+:", line)]
    assert len(keys) > 10
    assert [line for line in keys if "#" not in line] == []
