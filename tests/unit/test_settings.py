from __future__ import annotations

import shlex
from typing import Any

import pytest
from pydantic import Field, ValidationError

from methods.method import Method
from methods.settings import Settings, Training


class Mixed(Settings):
    share: float = 0.5
    count: int = 1
    flag: bool = False
    word: str = "a"
    pair: tuple[int, ...] = (1, 2)
    rates: tuple[float, ...] = (0.1,)


class Own(Method, name="own", family="pruning", version=3, needs=("finetune",)):
    heads: float = Field(0.3, gt=0, lt=1)
    orders: tuple[str, ...] = ()
    epochs: float | None = None

    def compress(self, run):
        raise NotImplementedError


@pytest.mark.parametrize(
    "wrong",
    [
        {"share": True},
        {"count": True},
        {"count": 1.0},
        {"count": "1"},
        {"share": "0.5"},
        {"share": float("nan")},
        {"share": float("inf")},
        {"flag": 1},
        {"flag": "yes"},
        {"word": 1},
        {"pair": [1, 2.5]},
        {"pair": [1, True]},
        {"unknown": 1},
    ],
)
def test_wrong_types_are_refused(wrong):
    with pytest.raises(ValidationError):
        Mixed(**wrong)


def test_what_yaml_gives_is_accepted():
    mixed = Mixed(share=1, pair=[3, 4], rates=["2e-5", 1])
    assert mixed.share == 1.0
    assert mixed.pair == (3, 4)
    assert mixed.rates == (2e-5, 1.0)


def test_settings_are_frozen():
    with pytest.raises(ValidationError):
        Mixed().share = 0.1


def test_defaults_are_checked_too():
    class Wrong(Settings):
        share: float = Field(2.0, lt=1)

    with pytest.raises(ValidationError):
        Wrong()


def test_json_comes_back_equal():
    mixed = Mixed(pair=(7,), rates=(1e-5,))
    assert Mixed(**mixed.model_dump(mode="json")) == mixed


def test_override_leaves_what_is_not_given():
    training = Training(epochs=5).override(epochs=None, batch_size=8)
    assert (training.epochs, training.batch_size) == (5, 8)


@pytest.mark.parametrize(
    ("fields", "label"),
    [
        ({}, "own"),
        ({"heads": 0.3}, "own"),
        ({"heads": 0.5}, "own:heads=0.5"),
        ({"heads": 0.50, "epochs": 2}, "own:heads=0.5,epochs=2"),
    ],
)
def test_a_label_is_the_name_and_what_is_not_at_its_default(fields, label):
    assert Own(**fields).label == label


class Odd(Method, name="odd", family="pruning"):
    value: Any = None
    made: dict[str, int] = Field(default_factory=lambda: {"a": 1})

    def compress(self, run):
        raise NotImplementedError


ODD = {
    "kd:layers=3": "kd:layers=3",
    "a b": "a%20b",
    "$(rm -r ~)": "%24%28rm%20-r%20%7E%29",
    "a,heads=2": "a%2Cheads=2",
    "a+b": "a%2Bb",
    ("a", "b"): "a+b",
    (1, 2, 3): "1+2+3",
    ((1, 2), (3,)): "%5B%5B1%2C2%5D%2C%5B3%5D%5D",
    ((1,), (2, 3)): "%5B%5B1%5D%2C%5B2%2C3%5D%5D",
    (): "%5B%5D",
    0.1234567: "0.1234567",
    0.1234568: "0.1234568",
    1e-05: "1e-05",
}


@pytest.mark.parametrize(("value", "shown"), ODD.items())
def test_whatever_a_plug_ins_field_holds_its_label_is_safe_in_a_shell(value, shown):
    label = Odd(value=value).label
    assert label == f"odd:value={shown}"
    assert shlex.quote(label) == label


def test_labels_of_dicts_tell_them_apart_whatever_their_order():
    shown = [
        Odd(value=value).label
        for value in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": (1, 2)}, {"a": "1+b:2"})
    ]
    assert shown[:2] == ["odd:value=a:1+b:2"] * 2
    assert len(set(shown)) == 3
    assert all(shlex.quote(label) == label for label in shown)


def test_a_default_that_is_made_anew_is_a_default():
    assert Odd().label == "odd"
    assert Odd(made={"a": 2}).label == "odd:made=a:2"


def test_class_arguments_are_facts_of_the_class_not_fields():
    assert (Own.name, Own.family, Own.version, Own.needs) == ("own", "pruning", 3, ("finetune",))
    assert set(Own.model_fields) == {"heads", "orders", "epochs"}
