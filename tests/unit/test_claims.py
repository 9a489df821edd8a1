"""Every claim of the papers has a command, a result and an answer."""

from __future__ import annotations

from pathlib import Path

ANSWERS = ("held", "did not hold", "within noise", "not run: ")
CLAIMS = Path(__file__).parents[2] / "docs" / "claims.md"


def test_no_row_of_the_claims_is_empty():
    lines = [line for line in CLAIMS.read_text().splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    claims = [row for row in rows if row[0].isdigit()]
    assert [int(row[0]) for row in claims] == list(range(1, 32))
    for number, *cells in claims:
        assert len(cells) == 4 and all(cells), f"claim {number} has an empty cell"
        assert cells[-1].startswith(ANSWERS), f"claim {number}: {cells[-1]!r} begins with none of {ANSWERS}"
