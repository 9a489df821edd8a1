"""Files that are there whole or not at all."""

from __future__ import annotations

import pytest

from tasks.cache import atomic_file


def test_two_who_write_one_file_do_each_other_no_harm(tmp_path):
    """As two drivers that carry out the same node; the last one to finish stands."""
    file = tmp_path / "resume" / "state"
    with atomic_file(file) as first:
        first.write_text("one")
        with atomic_file(file) as second:
            second.write_text("two")
        assert file.read_text() == "two"
    assert file.read_text() == "one"
    assert [path.name for path in file.parent.iterdir()] == ["state"]


def test_what_is_interrupted_leaves_the_old_file(tmp_path):
    file = tmp_path / "state"
    file.write_text("old")
    with pytest.raises(OSError, match="full"), atomic_file(file) as temporary:
        temporary.write_text("ne")
        raise OSError("disk full")
    assert [path.name for path in tmp_path.iterdir()] == ["state"] and file.read_text() == "old"
