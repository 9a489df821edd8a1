from __future__ import annotations

import pytest

from benchmark.config.yaml_source import parse, read
from tasks.errors import BadInput

SWEEP = """\
name: first
train:
  epochs: 2
  learning_rate: 2e-5
methods:
  - finetune
  - kd: {layers: 3}
"""


def test_every_key_knows_its_line():
    source = parse(SWEEP, "s.yaml")
    assert source.data["methods"] == ["finetune", {"kd": {"layers": 3}}]
    assert source.where(("name",)) == "s.yaml:1"
    assert source.where(("train", "learning_rate")) == "s.yaml:4"
    assert source.where(("methods", 1, "kd", "layers")) == "s.yaml:7"


def test_an_absent_key_stands_where_its_parent_does():
    source = parse(SWEEP, "s.yaml")
    assert source.where(("train", "warmup")) == "s.yaml:2"
    assert source.where(("methods", 0, "nothing", "here")) == "s.yaml:6"
    assert source.where(("nothing",)) == "s.yaml:1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\nname: b\n", r"s\.yaml:2: key 'name' appears twice \(first on line 1\)"),
        (
            "train:\n  epochs: 1\n  warmup: 0\n  epochs: 2\n",
            r"s\.yaml:4: key 'epochs' appears twice .*line 2",
        ),
        ("methods:\n- kd:\n    layers: 1\n    layers: 2\n", r"s\.yaml:4: key 'layers' appears twice"),
        ("name: a\ntasks: [rte\nseeds: 3\n", r"s\.yaml:\d+: not valid YAML"),
        ("name: a\n  tasks: b\n", r"s\.yaml:2: not valid YAML"),
        ("name: 'a\n", r"s\.yaml:\d+: not valid YAML"),
        ("\tname: a\n", r"s\.yaml:1: not valid YAML"),
        ("a: 1\n---\nb: 2\n", r"s\.yaml:\d+: not valid YAML"),
        ("? [a, b]\n: 1\n", r"s\.yaml:1: not valid YAML"),
        ("name: !!python/object:os.system x\n", r"s\.yaml:1: not valid YAML"),
        ("name: a\x00b\n", r"s\.yaml: not valid YAML"),
    ],
)
def test_bad_yaml_is_refused_with_the_line(text, message):
    with pytest.raises(BadInput, match=message):
        parse(text, "s.yaml")


def test_the_same_key_in_two_places_is_no_duplicate():
    parse("methods:\n- kd: {layers: 1}\n- kd: {layers: 2}\n", "s.yaml")


def test_a_mapping_that_holds_itself_is_refused():
    with pytest.raises(BadInput, match=r"s\.yaml: .* holds itself"):
        parse("name: &x\n  inner: *x\n", "s.yaml")


def test_an_anchor_may_be_used_twice():
    source = parse("a: &x {b: 1}\nc: *x\n", "s.yaml")
    assert source.data == {"a": {"b": 1}, "c": {"b": 1}}


def test_an_empty_file_is_no_error_here():
    assert parse("", "s.yaml").data is None


def test_a_missing_file_says_how_to_make_one(tmp_path):
    with pytest.raises(BadInput, match=r"none\.yaml: no such file; `leanboard init`"):
        read(tmp_path / "none.yaml")


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: path.write_bytes(b"name: \xff\n")])
def test_what_cannot_be_read_is_named(tmp_path, make):
    path = tmp_path / "s.yaml"
    make(path)
    with pytest.raises(BadInput, match=r"s\.yaml: cannot be read"):
        read(path)
