from __future__ import annotations

from reports.flatten import flatten


def test_keys_of_mappings_within_mappings_are_joined():
    content = {"a": 1, "b": {"c": 2, "d": {"e": [3, {"f": 4}]}}, "g": {}, "h": None}
    assert flatten(content) == {"a": 1, "b.c": 2, "b.d.e": [3, {"f": 4}], "g": {}, "h": None}
    assert flatten(content, " ").keys() == {"a", "b c", "b d e", "g", "h"}
