from __future__ import annotations

import functools
import io
import json
import uuid

import pytest
from published_sweep import SWEEP, Output, fail, forget, model, row_keys

from benchmark import tracking
from benchmark.cli import looking
from benchmark.config.load import make_sweep
from benchmark.latency import latency
from benchmark.plan.job import resolve
from benchmark.plan.plan import NO_TASK
from benchmark.publish import publish
from benchmark.store.manifest import ManifestNode
from benchmark.store.store import Store
from reports import leaderboard, tables
from reports.record import Latency, Parameters


@pytest.fixture(params=["folder", "memory"])
def output(request, tmp_path, monkeypatch) -> Output:
    monkeypatch.setenv("LEANBOARD_CACHE", str(tmp_path / "cache"))
    root = str(tmp_path / "out") if request.param == "folder" else f"memory://{uuid.uuid4().hex}"
    return Output(root, tmp_path)


@pytest.fixture
def local(tmp_path) -> Output:
    return Output(str(tmp_path / "out"), tmp_path)


@pytest.fixture
def plain(monkeypatch):
    """Pages of JSON alone, from few draws: whether a page is built again does not depend on how it looks."""
    monkeypatch.setattr(leaderboard, "build", functools.partial(leaderboard.build, replicates=100))
    content = {"leaderboard.html": tables.to_json, "leaderboard.json": tables.to_json}
    monkeypatch.setattr(
        "reports.render.render", lambda board: {name: to(board).encode() for name, to in content.items()}
    )


def test_the_first_time_every_file_is_written(output):
    published = output.publish()
    assert published.fresh
    names = {path.rsplit("/", 1)[1] for path in output.files()}
    assert names >= {"leaderboard.html", "leaderboard.md", "leaderboard.csv", "leaderboard.json"}
    assert (published.folder / "leaderboard.html").is_file()
    assert published.board.complete
    assert {row.label for row in published.board.rows} == {"finetune", "kd:layers=3"}
    content = json.load(
        io.BytesIO(output.store.fs.cat_file(output.store.path("leaderboard/leaderboard.json")))
    )
    assert len(content["rows"]) == 2
    assert [len(row["scores"]) for row in content["rows"]] == [3, 3]


def test_a_copy_of_an_earlier_page_is_not_taken_for_the_new_one(tmp_path, plain, monkeypatch):
    """Two machines publish into one object store, each with a copy of its own."""
    output = Output(f"memory://{uuid.uuid4().hex}", tmp_path)
    gone = row_keys(output)[0]
    copies = {}
    for machine in ("b", "a", "b"):
        monkeypatch.setenv("LEANBOARD_CACHE", str(tmp_path / machine))
        records = output.store.scan(output.job.plan.nodes).records
        if not copies:
            records.pop(gone)
        found = publish(output.store, output.manifest, records.values())
        copies[machine] = json.loads((found.folder / "leaderboard.json").read_bytes())
        assert copies[machine] == json.loads(found.board.model_dump_json())
    assert copies["b"]["complete"]


def test_models_are_compared_in_size_with_the_start_model_whatever_the_baseline(local, plain):
    """A row says how much smaller it is than the model it was made from."""
    half = Parameters(total=5, encoder=2, embeddings=3)
    for key in row_keys(local):
        if local.job.plan.nodes[key].label != "finetune":
            local.leave(key, model=model("kd").model_copy(update={"parameters": half}))
    sweep = local.manifest.sweep.model_copy(update={"baseline": "kd:layers=3"})
    local.manifest = local.manifest.model_copy(update={"sweep": sweep})
    found = {row.label: row.compression for row in local.publish().board.rows}
    assert found == {"finetune": 1.0, "kd:layers=3": 2.0}


def test_nothing_changed_nothing_is_written(output, plain, monkeypatch):
    first = output.publish()
    before = output.files()

    def refuse(*args):
        raise AssertionError("written though nothing had changed")

    monkeypatch.setattr(Store, "write_bytes", refuse)
    second = output.publish()
    assert not second.fresh
    assert second.board == first.board
    assert output.files() == before


def test_building_twice_gives_the_same_bytes(local):
    local.publish()
    before = local.files()
    assert local.publish(force=True).fresh
    assert local.files() == before


def time_it(output: Output, milliseconds: float = 1.0, signature: str = "finetune") -> None:
    batch = {"median_ms": milliseconds, "q1_ms": 0.9, "q3_ms": 1.1, "repeats": 3}
    found = Latency(signature=signature, machine="here", precision="fp32", length=8, batches={"1": batch})
    latency.save(output.store, [found], output.job.sweep.latency, "here")


def test_whatever_the_page_shows_has_changed_it_is_built_again(local, plain):
    changes = {
        "a record made again": lambda: local.leave(row_keys(local)[0], ended=9.0),
        "a latency": lambda: time_it(local),
        "another latency": lambda: time_it(local, 1.05),
        "the page gone": lambda: local.store.fs.rm_file(local.store.path("leaderboard/leaderboard.html")),
        "a record gone": lambda: forget(local, row_keys(local)[1]),
        "a failure": lambda: fail(local),
        "another failure": lambda: fail(local, "g", 4.0),
        "another manifest": lambda: setattr(
            local, "manifest", local.manifest.model_copy(update={"notes": ("another note",)})
        ),
    }
    local.publish()
    for name, change in changes.items():
        change()
        assert local.publish().fresh, name
        assert not local.publish().fresh, name


def test_the_spelling_of_the_command_is_no_news(local, plain):
    local.publish()
    sweep = local.manifest.sweep.model_copy(update={"command": "leanboard run ./first.yaml -o out"})
    local.manifest = local.manifest.model_copy(update={"sweep": sweep, "night": "2026-07-30"})
    assert not local.publish().fresh


def test_links_are_part_of_the_page(local):
    local.publish()
    links = {("finetune", "rte"): "http://server/#/experiments/1/runs/2"}
    assert local.publish(links=links).fresh
    assert not local.publish(links=links).fresh
    assert (
        b"http://server/#/experiments/1/runs/2"
        in local.files()[local.store.path("leaderboard/leaderboard.html")]
    )


def test_new_code_of_the_reports_builds_the_page_again(local, plain, monkeypatch):
    local.publish()
    monkeypatch.setattr("benchmark.digest.sources", lambda package: "another")
    assert local.publish().fresh


def test_a_failed_trial_makes_the_board_incomplete(local):
    fail(local)
    board = local.publish().board
    assert not board.complete
    page = local.files()[local.store.path("leaderboard/leaderboard.html")].decode()
    assert "timeout" in page


def test_records_of_other_sweeps_in_the_folder_stay_out(local, plain):
    other = resolve(make_sweep({**SWEEP, "limit": 64}), output=local.store.url)
    key = next(iter(other.plan.rows))
    local.job.plan.nodes[key] = other.plan.nodes[key]
    made = local.leave(key, decides=other.plan.decides(other.plan.nodes[key]))
    assert made.fingerprint in local.store.scan().records
    assert [len(row.scores) for row in local.publish().board.rows] == [3, 3]


@pytest.mark.parametrize("night", [None, "2026-07-30"])
def test_after_a_night_its_own_runs_are_found(local, plain, night, monkeypatch):
    local.manifest.model_copy(update={"night": night}).write(local.store)
    asked = []

    def listen(where, identity, *rest):
        asked.append(identity.night)
        return tracking.Synced(0, 0, 0)

    monkeypatch.setattr(tracking, "sync", listen)
    monkeypatch.setattr(
        tracking.state, "links", lambda store, where, identity: asked.append(identity.night) or {}
    )
    looking.report(local.store.url, as_json=True)
    looking.sync(local.store.url)
    assert asked == [night, night]


def test_the_page_says_that_encoders_were_pre_trained_once(output):
    assert not any("pre-trained once" in note for note in output.publish().board.notes)
    made = ManifestNode(fingerprint="e", label="pretrained-encoder", task=NO_TASK, seed=0, row=False)
    output.manifest = output.manifest.model_copy(update={"nodes": (*output.manifest.nodes, made)})
    (said,) = (note for note in output.publish().board.notes if "pre-trained once" in note)
    assert "not another pre-training" in said


def test_the_page_names_trials_of_a_start_model_that_came_out_different(output):
    key = next(node.fingerprint for node in output.job.plan.trials() if node.label == "kd:layers=3")
    start = next(need for _, need in output.job.plan.nodes[key].needs)
    while output.job.plan.nodes[start].needs:
        start = next(need for _, need in output.job.plan.nodes[start].needs)
    output.leave(key, origins={start: "another"})
    weights = output.folder / "weights"
    weights.write_text("weights")
    made = output.store.read(start)
    files = {"predictions.parquet": output.folder / f"{start}.parquet", "result/model": weights}
    output.store.put(made.model_copy(update={"files": {}}), "b", files)
    (said,) = (note for note in output.publish().board.notes if "came out different" in note)
    assert "Started from a finetune" in said


def test_the_page_says_which_texts_stand_in_two_parts(local, plain):
    assert not any("stand in two parts" in note for note in local.publish().board.notes)
    for key in row_keys(local):
        seed = local.job.plan.nodes[key].seed
        counts = {"train+validation": seed, "reward+choice": 0}
        local.leave(key, data={"texts_in_train_and_validation": 3, "texts_in_two_parts": counts})
    (said,) = (note for note in local.publish().board.notes if "stand in two parts" in note)
    assert "3 in the official train and validation splits, 1 to 3 in train′ and validation;" in said
    assert "reward" not in said


def test_the_page_says_why_there_is_no_latency_until_there_is_one(local, plain):
    local.manifest = local.manifest.model_copy(update={"untimed": "other work holds CPUs of every node."})
    published = local.publish()
    assert published.board.notes[-1] == "Latency was not measured: other work holds CPUs of every node."
    assert json.loads((published.folder / "leaderboard.json").read_bytes())["notes"][-1].startswith("Latency")
    time_it(local)
    assert local.publish().board.notes[-1].startswith("Latency was not measured of every row: other work")
    time_it(local, signature="kd:layers=3")
    published = local.publish()
    assert published.fresh and not any("Latency" in note for note in published.board.notes)
    # Another reason that nobody reads is no news.
    local.manifest = local.manifest.model_copy(update={"untimed": "no node with a GPU is left"})
    assert not local.publish().fresh
