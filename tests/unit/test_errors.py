"""What an error says in one line."""

from __future__ import annotations

import pytest

from tasks.errors import first_line


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("\n one\ntwo"), "one"),
        (OSError(), "OSError"),
        (RuntimeError(" \n "), "RuntimeError"),
    ],
)
def test_an_error_without_words_says_what_it_is(error, said):
    assert first_line(error) == said
