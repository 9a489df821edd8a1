"""Which rows of Pea-KD's table are compared, and whether they differ in the step alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reports.board import SweepFacts
from reports.studies.pea_kd_parts import PARTS, TEACHER, Cast
from reports.studies.row_changes import Pair

Named = tuple[int, str, str]
"""Layers k, the part of a row, and that of the row it is compared with."""

_BASE = "what it is built on"
_COMPARED = [
    ("kd", "plain"),
    ("patient", "plain"),
    ("paired", _BASE),
    ("sps", "plain"),
    ("sps", _BASE),
    ("sps", "paired"),
    ("ptp", "plain"),
    ("ptp", _BASE),
    ("ptp", "random"),
    ("random", _BASE),
    ("peabert", "sps"),
    ("peabert", "ptp"),
    ("peabert", _BASE),
    ("peabert", "plain"),
    ("peabert", "kd"),
    ("peabert", "tinybert"),
    ("peabert", "distilbert"),
    ("paired", TEACHER),
    ("peabert", TEACHER),
]
_OTHER_RECIPES = {"tinybert", "distilbert", TEACHER}
"""Parts that differ from Pea-KD's rows in more than a step, on purpose."""
_STUDENT = ("init", "take", "epochs", "batch_size")
"""What `plain`, which learns from labels alone, has in common with the others all the same."""
_LOSS = ("temperature", "alpha", "reduction", "beta", "strategy", "normalise", "patience_reduction")
_RECIPE = ("objective", *_LOSS, *_STUDENT)
"""What rows that are a step apart have in common; their rates are tuned, each on its own."""
_THRESHOLDS = ("preset", "t", "t_wrong")


def compared_rows(roles: Cast, sweep: SweepFacts) -> dict[Named, Pair]:
    """Return the labels of all rows that are compared, each pair once."""
    found: dict[Pair, Named] = {}
    params = _params(sweep)
    for k, parts in roles.rows.items():
        rows = parts | ({TEACHER: roles.ceiling} if roles.teacher else {})
        for own, base in _COMPARED:
            if own not in rows:
                continue
            named = _built_on(params[rows[own]], k) if base == _BASE else base
            if named in rows:
                found.setdefault((rows[own], rows[named]), (k, own, named))
    return {named: pair for pair, named in found.items()}


def unlike(compared: Mapping[Named, Pair], sweep: SweepFacts) -> list[str]:
    """Name the pairs that differ in more than the step between them, and in what."""
    sentences, params = [], _params(sweep)
    for (k, own, base), pair in compared.items():
        if {own, base} & _OTHER_RECIPES:
            continue
        one, other = (_recipe(part, params[label]) for part, label in zip((own, base), pair, strict=True))
        differing = [
            f"{name} ({one[name]} and {other[name]})"
            for name in one.keys() & other.keys()
            if one[name] != other[name]
        ]
        if differing:
            names = " and ".join(PARTS[part].called(k).removeprefix("+ ") for part in (own, base))
            fields = ", ".join(sorted(differing))
            sentences.append(f"Not comparable, k = {k}: {names} differ in more than the step: {fields}.")
    return sentences


def _params(sweep: SweepFacts) -> dict[str, Mapping[str, Any]]:
    return {row.label: row.params for row in sweep.methods}


def _built_on(params: Mapping[str, Any], k: int) -> str:
    """The part that a row of Pea-KD adds to: Patient KD, or KD where it is not patient.

    A student that applies one layer cannot be, so there SPS brings patience along.
    """
    patient = params["objective"] == "patient-kd" and params["beta"] > 0
    return "patient" if patient and k > 1 else "kd"


def _recipe(part: str, params: Mapping[str, Any]) -> dict[str, Any]:
    names = list(_STUDENT if part == "plain" else _RECIPE)
    if params.get("ptp"):
        names.append("ptp_epochs")
        # Drawn labels, the control's, have no thresholds.
        names += _THRESHOLDS if params.get("ptp_labels") == "teacher" else ()
    return {name: params[name] for name in names if name in params}
