"""Forest plots show the verdict of every change by fill and shape."""

from __future__ import annotations

from types import SimpleNamespace

from matplotlib.colors import to_hex

from reports.studies.forest import draw


def change(mean, verdict):
    return SimpleNamespace(mean=mean, interval=(mean - 1, mean + 1), verdict=verdict)


def test_a_point_is_filled_where_something_changed_and_a_square_where_nothing_did():
    forests = {
        "first": {"a": change(2, "better"), "b": change(-2, "worse"), "c": change(0.1, "equivalent")},
        "empty": {},
        "second": {"first": change(0.5, "within noise"), "d": change(0.2, "none")},
    }
    (axes,) = draw(forests, "points").axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["first", "a", "b", "c", "second", "first", "d"]
    bold = [label.get_fontweight() == "bold" for label in axes.get_yticklabels()]
    assert bold == [True, False, False, False, True, False, False]
    points = {
        names[int(line.get_ydata()[0])] + f" {line.get_xdata()[0]:g}": (
            line.get_marker(),
            to_hex(line.get_markerfacecolor()) != "#ffffff",
        )
        for line in axes.lines
        if line.get_marker() in ("o", "s")
    }
    assert points == {
        "a 2": ("o", True),
        "b -2": ("o", True),
        "c 0.1": ("s", False),
        "first 0.5": ("o", False),
        "d 0.2": ("o", False),
    }


def test_without_changes_there_is_no_figure():
    assert draw({"first": {}}, "points") is None
