from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from boards import METHODS, TASKS, make
from matplotlib.backends.backend_agg import FigureCanvasAgg

from reports.leaderboard import build
from reports.names import short_names
from reports.page import MOST_SENTENCES, minus, to_html
from reports.plots import scatters, to_png, to_svg
from reports.render import render
from reports.sparks import Scale, change_scale, forest, score_scale, strip

LINK = "http://127.0.0.1:5000/#/experiments/1/runs/abc"


class Page(HTMLParser):
    """Collects tags, attributes and visible text."""

    VOID = frozenset({"meta", "link", "input", "br", "wbr", "path", "circle", "line", "rect", "use", "col"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.errors: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag in self.VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.errors.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data


@pytest.fixture(scope="module")
def board():
    made = make(faults=True)
    links = {("kd:layers=3", "sst2"): LINK}
    return build(
        made.records,
        made.predictions,
        made.sweep,
        failures=made.failures,
        latencies=made.latencies,
        links=links,
        notes=["The data are <generated> & small."],
        replicates=500,
    )


@pytest.fixture(scope="module")
def folder(board, tmp_path_factory):
    folder = tmp_path_factory.mktemp("leaderboard")
    for name, content in render(board).items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def html(folder):
    return (folder / "leaderboard.html").read_text()


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_well_formed(page):
    assert page.errors == []
    assert page.open == []
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    targets = {a["href"][1:] for _, a in page.tags if (a.get("href") or "").startswith("#")}
    assert targets <= set(ids)


def test_every_row_is_there(page):
    rows = [attrs["data-label"] for tag, attrs in page.tags if tag == "tr" and "data-label" in attrs]
    shown = 1 + len(TASKS)  # overall and the tasks; the table of changes has all but the baseline
    assert {label: rows.count(label) for label in METHODS} == {
        label: shown + (label != "finetune") for label in METHODS
    }


def test_loads_nothing(page, html):
    for tag, attrs in page.tags:
        assert "src" not in attrs, (tag, attrs)
        href = attrs.get("href") or ""
        if tag == "a":
            assert href == LINK or href.startswith(("#", "leaderboard.")), href
        else:
            assert href.startswith(("#", "data:")) or not href, (tag, href)
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)
    assert LINK in html


def test_says_what_must_be_said(page, board):
    text = " ".join(page.text.split())
    assert "incomplete" in text
    assert "148 of 150 trials" in text
    assert "The data are <generated> & small." in text, "notes are escaped, and visible"
    assert "training loss is NaN at step 113 of 300" in text
    assert "RTE is left out: the start model collapsed (seed 4)" in text
    assert "start model collapsed, seed 4" in text
    assert "1 collapsed run" in text
    assert "leanboard report sweeps/demo.yaml" in text
    for word in ("How to read this", "Loses at most", "seeds and examples", "McNemar"):
        assert word.lower() in text.lower()
    for row in (*board.overall, *board.rows):
        assert f"{row.median:.1f}" in text


@pytest.mark.parametrize("rows", [4, 5])
def test_many_rows_within_noise_share_a_sentence(rows):
    methods = {"finetune": METHODS["finetune"]}
    methods |= {f"random-heads:heads=0.{row}": ("pruning", {}, 0.0, 9.0) for row in range(1, rows + 1)}
    methods["kd:layers=1"] = ("distillation", {}, -0.2, 5.3)
    made = make(faults=False, tasks={"sst2": TASKS["sst2"]}, methods=methods)
    board = build(made.records, made.predictions, made.sweep, replicates=500)
    assert [row.verdict for row in board.overall].count("within noise") == rows
    text = " ".join(Page(to_html(board, {})).text.split())
    apart = text.count("cannot be told from finetune: the change could be")
    assert apart == (0 if rows > MOST_SENTENCES else rows)
    assert (f"{rows} rows cannot be told from finetune" in text) == (rows > MOST_SENTENCES)
    assert text.count("kd:layers=1 loses") == 1


def test_user_text_cannot_break_out():
    made = make(faults=False, tasks={"sst2": TASKS["sst2"]})
    made.sweep = made.sweep.model_copy(
        update={"name": "<script>alert(1)</script>", "config": {"x": "</pre><b>"}}
    )
    found = build(made.records, made.predictions, made.sweep, replicates=100)
    html = to_html(found, {})
    assert "<script>alert" not in html
    assert "</pre><b>" not in html


def test_empty_board_renders():
    made = make(faults=False)
    assert "no result" in to_html(build([], made.predictions, made.sweep, replicates=10), {})


def test_figures(board):
    drawn = scatters(board)
    assert set(drawn) == {"overall", *TASKS}
    svg = to_svg(drawn["overall"], "overall")
    assert all(name in svg for name in short_names(METHODS).values())
    assert svg == to_svg(scatters(board)["overall"], "overall"), "the same board gives the same bytes"
    assert to_png(drawn["rte"])[:4] == b"\x89PNG"


def test_labels_do_not_cover_each_other(board):
    for figure in scatters(board).values():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        boxes = [text.get_window_extent(canvas.get_renderer()) for text in figure.axes[0].texts]
        assert len(boxes) == len(METHODS)
        for i, a in enumerate(boxes):
            for b in boxes[:i]:
                width, height = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
                shared = max(width, 0) * max(height, 0)
                assert shared < 0.15 * min(a.width * a.height, b.width * b.height)


def test_signs_are_set_as_minus_but_labels_are_left_alone():
    assert minus("could be -1.2...-0.3") == "could be −1.2 … −0.3"
    assert minus("shared-layers-2, 2026-05-28") == "shared-layers-2, 2026-05-28"


def test_sparks(board):
    rows = board.of("cola")
    collapsed = next(r for r in rows if r.label == "shared-layers:groups=2")
    drawing = strip(collapsed, score_scale(rows))
    assert drawing.count("<circle") == 5
    assert drawing.count('class="hollow"') == 1
    wide = forest(collapsed, change_scale(rows))
    assert wide.count('class="arrow"') >= 1, "an interval beyond the scale shows that it goes on"
    scale = Scale(0.0, 10.0)
    assert scale(-5) == scale(0) < scale(5) < scale(10) == scale(99)
    assert forest(next(r for r in rows if r.label == "finetune"), scale) == ""
