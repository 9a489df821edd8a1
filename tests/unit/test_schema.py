from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml

import benchmark
from benchmark.config.grid import expand
from benchmark.config.load import load_sweep, make_sweep
from benchmark.config.schema import sweep_schema
from methods import registry
from methods.settings import _from_yaml

ROOT = Path(benchmark.__file__).resolve().parent.parent
FILES = [ROOT / "benchmark" / "config" / "starter.yaml", *sorted((ROOT / "sweeps").glob("*.yaml"))]
LEAST = {"name": "a", "model": "minilm", "tasks": ["rte"], "methods": ["finetune"]}


@pytest.fixture(scope="module")
def schema() -> dict:
    return sweep_schema()


def plain(content):
    """As an editor reads YAML 1.2, where 2e-5 is a number."""
    if isinstance(content, dict):
        return {key: plain(value) for key, value in content.items()}
    if isinstance(content, list):
        return [plain(value) for value in content]
    return _from_yaml(content)


def errors(schema: dict, sweep: dict) -> list[str]:
    return [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(sweep)]


def test_it_is_a_schema(schema):
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_sweep_that_comes_along_is_valid(schema, file):
    content = yaml.safe_load(file.read_text())
    assert errors(schema, plain(content)) == []
    expand(load_sweep(file))


@pytest.mark.parametrize("name", sorted(registry.methods()))
def test_every_method_is_in_it_with_its_fields(schema, name):
    fields = registry.methods()[name].model_fields
    described = schema["properties"]["methods"]["items"]["anyOf"][1]["properties"][name]
    assert set(described["properties"]) == set(fields)
    assert all(field["description"] for field in described["properties"].values())
    assert errors(schema, {**LEAST, "methods": [name, {name: None}, {name: {}}]}) == []


@pytest.mark.parametrize(
    "change",
    [
        {"methods": [{"kd": {"layers": {"grid": [2, 3]}, "alpha": 0.2}}]},
        {"methods": [{"random-heads": {"budget": {"flops": 0.2}}}, {"sixteen-heads": {"heads": [0.2, 0.4]}}]},
        {"methods": [{"random-heads": {"budget": {"grid": [{"flops": 0.2}, {"heads": 0.2}]}}}]},
        {"tasks": ["SST-2", "cola"]},
        {"seeds": [4, 7]},
        {"seeds": 5},
        {"limit": None},
        {"limit": {"rte": 100}},
        {"latency": None},
        {"train": {"epochs": 1}},
        {"resources": {"cpu": 1, "methods": {"kd": {"gpu": 0.5}}}},
    ],
    ids=str,
)
def test_what_the_engine_takes_the_schema_takes(schema, change):
    sweep = {**LEAST, **change}
    expand(make_sweep(sweep))
    assert errors(schema, sweep) == []


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 3},
        {"methods": ["finetun"]},
        {"methods": [{"kd": {"layer": 3}}]},
        {"methods": [{"kd": {"layers": 0}}]},
        {"methods": [{"random-heads": {"budget": {"neurons": 0.2}}}]},
        {"methods": [{"random-heads": {"heads": [0.2, 1.4]}}]},
        {"methods": [{"kd": {"layers": {"grid": []}}}]},
        {"methods": ["teacher-outputs"]},
        {"tasks": ["imagenet"]},
        {"tasks": []},
        {"seeds": 0},
        {"train": {"epoch": 3}},
        {"train": {"precision": "fp16"}},
        {"latency": {"batch_sizes": [0]}},
        {"name": "a/b"},
    ],
    ids=str,
)
def test_what_the_engine_refuses_the_schema_refuses(schema, change):
    assert errors(schema, {**LEAST, **change})


@pytest.mark.parametrize("key", ["name", "model", "tasks", "methods"])
def test_a_missing_key_is_refused_like_in_the_engine(schema, key):
    sweep = {other: value for other, value in LEAST.items() if other != key}
    # Without a name a sweep is called after its file.
    assert bool(errors(schema, sweep)) == (key != "name")


def test_every_key_is_described(schema):
    assert all(key.get("description") for key in schema["properties"].values())


def test_fields_of_a_pretraining_are_checked_and_may_be_grids(schema):
    def found(pretrained):
        return errors(
            schema, {**LEAST, "corpus": "texts", "methods": [{"albert": {"pretrained": pretrained}}]}
        )

    assert found("albert/albert-base-v2") == []
    assert found({"share": {"grid": ["all", "none"]}, "layers": 2}) == []
    assert found({"share": "some"}) and found({"sharing": "all"})
