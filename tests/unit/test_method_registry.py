"""Methods by name: built-in ones and plug-ins."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint

import pytest

from methods import registry
from methods.method import Method
from tasks.errors import BadInput

PLUG_IN = """
from methods.method import Method

class Mine(Method, name="mine", family="pruning", paper="none"):
    def compress(self, run):
        return run.start()

class Nameless(Method):
    def compress(self, run):
        return run.start()

class Heir(Mine):
    pass

NOT_A_METHOD = 3
"""


@pytest.fixture
def plug_in(tmp_path, monkeypatch):
    """Install an entry point `name = my_plug_in:attribute`."""
    (tmp_path / "my_plug_in.py").write_text(PLUG_IN)
    monkeypatch.syspath_prepend(tmp_path)

    def install(name="mine", value="my_plug_in:Mine"):
        points = [EntryPoint(name, value, registry.GROUP)]
        monkeypatch.setattr(registry, "entry_points", lambda group: points if group == registry.GROUP else [])

    yield install
    sys.modules.pop("my_plug_in", None)


def test_every_built_in_is_found_under_its_own_name():
    for name in registry.BUILT_IN:
        work = registry.find(name)
        assert work.name == name
        assert registry.resolve(registry.address(work)) is work
        assert registry.address(work) == registry.BUILT_IN[name]


def test_methods_are_the_works_that_give_a_model():
    methods = registry.methods()
    assert {"finetune", "finetune-more", "random-heads", "sixteen-heads", "kd", "shared-layers"} <= set(
        methods
    )
    assert "teacher-outputs" not in methods
    assert {method.family for method in methods.values()} == {
        "baseline",
        "pruning",
        "distillation",
        "sharing",
    }


def test_unknown_names_get_a_suggestion():
    with pytest.raises(BadInput, match="unknown method 'sixten-heads'; did you mean 'sixteen-heads'"):
        registry.find("sixten-heads")
    with pytest.raises(BadInput, match=r"known: .*finetune, finetune-more, .*random-heads"):
        registry.find("zzz")


def test_plug_ins_are_found_and_addressed_without_their_entry_point(plug_in, monkeypatch):
    plug_in()
    mine = registry.find("mine")
    assert issubclass(mine, Method)
    assert "mine" in registry.methods()
    monkeypatch.setattr(registry, "entry_points", lambda group: [])
    assert registry.resolve(registry.address(mine)) is mine


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("no_such_module:Mine", "cannot be imported"),
        ("my_plug_in:Other", "cannot be imported"),
        ("my_plug_in:NOT_A_METHOD", "not a subclass"),
        ("my_plug_in:Nameless", r"has no name; add class arguments, e.g. class Nameless\(Method, name="),
        ("my_plug_in:Heir", r"has no name; add class arguments"),
    ],
)
def test_broken_plug_ins_are_explained_and_leave_the_built_ins_alone(plug_in, value, message):
    plug_in(value=value)
    with pytest.raises(BadInput, match=message):
        registry.find("mine")
    assert registry.find("kd").name == "kd"


def test_a_plug_in_cannot_hide_a_built_in(plug_in):
    plug_in(name="kd")
    with pytest.raises(BadInput, match="two methods are called 'kd'"):
        registry.find("kd")
