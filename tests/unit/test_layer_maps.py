"""Which layer teaches which, as the papers and their codes have it."""

from __future__ import annotations

import pytest

from methods.distillation.maps import patience_slots, spread, uniform
from tasks.errors import BadInput


@pytest.mark.parametrize(
    ("kept", "layers", "expected"),
    [(6, 12, [0, 2, 4, 7, 9, 11]), (3, 6, [0, 2, 5]), (1, 6, [0]), (6, 6, list(range(6))), (2, 12, [0, 11])],
)
def test_distilbert_spreads_its_layers(kept, layers, expected):
    assert spread(kept, layers) == expected


@pytest.mark.parametrize("layers", range(1, 25))
def test_spread_layers_are_distinct_and_rise(layers):
    for kept in range(1, layers + 1):
        chosen = spread(kept, layers)
        assert chosen == sorted(set(chosen))
        assert set(chosen) <= set(range(layers))


@pytest.mark.parametrize(
    ("student", "expected"),
    [
        (2, [5]),
        (3, [3, 7]),
        (4, [2, 5, 8]),
        (6, [1, 3, 5, 7, 9]),
        (9, [0, 2, 3, 4, 6, 7, 8, 10]),
        (12, list(range(11))),
    ],
)
def test_patience_skips_through_a_teacher_of_twelve(student, expected):
    assert patience_slots(student, 12, "skip") == expected


@pytest.mark.parametrize(("student", "expected"), [(6, [6, 7, 8, 9, 10]), (3, [9, 10]), (2, [10])])
def test_patience_follows_the_last_layers(student, expected):
    assert patience_slots(student, 12, "last") == expected


@pytest.mark.parametrize("strategy", ["skip", "last"])
@pytest.mark.parametrize("teacher", range(2, 25))
def test_slots_are_layers_of_the_teacher_below_its_last(strategy, teacher):
    for student in range(2, teacher + 1):
        slots = patience_slots(student, teacher, strategy)
        assert slots == sorted(set(slots))
        assert len(slots) == student - 1
        assert 0 <= slots[0] <= slots[-1] < teacher - 1


@pytest.mark.parametrize(("student", "teacher"), [(1, 6), (7, 6)])
def test_layers_that_cannot_be_paired_are_refused(student, teacher):
    with pytest.raises(BadInput, match="cannot be paired"):
        patience_slots(student, teacher, "skip")


@pytest.mark.parametrize(
    ("students", "teacher", "expected"),
    [
        (4, 12, (3, 6, 9, 12)),
        (6, 12, (2, 4, 6, 8, 10, 12)),
        (3, 6, (2, 4, 6)),
        (None, 6, (2, 4, 6)),
        ((1, 6), 6, (1, 6)),
    ],
)
def test_tinybert_maps_evenly_or_as_told(students, teacher, expected):
    assert uniform(students, teacher) == expected


@pytest.mark.parametrize("students", [4, 7, None, (0, 3), (3, 2), (2, 2), (3, 8), ()])
def test_a_map_that_does_not_fit_is_refused(students):
    with pytest.raises(BadInput, match="layer_map"):
        uniform(students, 5 if students is None else 6)
