"""The leaderboard's files."""

from __future__ import annotations

from reports.board import Leaderboard
from reports.page import to_html
from reports.plots import scatters, to_png, to_svg
from reports.tables import to_csv, to_json, to_markdown


def render(board: Leaderboard) -> dict[str, bytes]:
    """Render `leaderboard.{html,md,csv,json}` and, in `figures/`, each scatter as SVG and PNG.

    Returns:
        The content of each file by its name, the page first.
    """
    figures = scatters(board)
    drawings = {name: to_svg(figure, name) for name, figure in figures.items()}
    files = {
        "leaderboard.html": to_html(board, drawings).encode(),
        "leaderboard.md": to_markdown(board).encode(),
        "leaderboard.csv": to_csv(board).encode(),
        "leaderboard.json": to_json(board).encode(),
    }
    for name, figure in figures.items():
        files[f"figures/score-by-size-{name}.svg"] = drawings[name].encode()
        files[f"figures/score-by-size-{name}.png"] = to_png(figure)
    return files
