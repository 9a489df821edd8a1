import math
import os
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from types import SimpleNamespace

import mirrored
import pytest

from benchmark.store.remote import ConnectionLost
from benchmark.store.store import Store
from benchmark.tracking import (
    Mirror,
    RunIdentity,
    TrackingStore,
    content,
    description,
    in_sync,
    links,
    mirror,
    state,
    ui_command,
    ui_environment,
)
from benchmark.tracking.client import TAG_LENGTH, _settle, name, one_line, value
from benchmark.tracking.mirror import LIMIT, LIVE_LIMIT, _Event, gather
from benchmark.tracking.runs import Runs
from benchmark.tracking.session import Session
from benchmark.trial.assignment import Outcome


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("validation/f1", "validation/f1"),
        ("/a//b/", "a/b"),
        ("../a/./b", "a/b"),
        ("50%(x)=1", "50__x__1"),
        ("größe", "größe"),
        ("///", "_"),
        ("x" * 300, "x" * 250),
    ],
)
def test_names_are_what_mlflow_takes(text, expected):
    assert name(text) == expected


def test_values_are_strings_or_json():
    assert value("a") == "a"
    assert value(True) == "true"
    assert value([1, {"a": None}]) == '[1, {"a": null}]'
    assert value(Path("x")) == '"x"'


def test_metrics_of_a_record_hold_every_number(tmp_path):
    sweep = mirrored.sweep(tmp_path, trials=3)
    record = sweep.records[2].model_copy(
        update={"stages": {"half": {"f1": 0.5}}, "notes": {"kept": 3, "order": [1, 2], "done": True}}
    )
    found = content.metrics(record)
    assert found["score"] == 100 * record.scores["f1"]
    assert found["validation/accuracy"] == record.scores["accuracy"]
    assert found["choice/accuracy"] == 0.75
    assert found["stage/half/f1"] == 0.5
    assert found["parameters/encoder"] == 600
    assert found["bytes/peak_memory"] == 10**9
    assert found["seconds/total"] == 90
    assert found["notes/kept"] == 3
    assert not {"notes/order", "notes/done"} & set(found)


def test_params_and_tags_of_a_record_say_what_decided_it(tmp_path):
    record = mirrored.sweep(tmp_path, trials=5).records[4]
    params = content.params(record)
    assert params["layers"] == 3
    assert params["train.learning_rate"] == 1e-4
    assert params["model.id"] == "minilm"
    tags = content.tags(record)
    assert tags["collapsed"] is False
    assert tags["mlflow.source.git.commit"] == "0" * 40
    assert tags["environment.processor"] == "a CPU"
    assert "teacher_collapsed" not in tags


def test_metrics_of_a_row_leave_out_what_is_unknown(tmp_path):
    sweep = mirrored.sweep(tmp_path)
    row = next(row for row in sweep.board().rows if row.label != "finetune" and row.task == "mrpc")
    assert row.missing == [2]
    found = content.row_metrics(row)
    assert found["score"] == row.median
    assert found["score/seeds"] == 1
    assert ("score/std" in found) == (row.std is not None)
    assert all(math.isfinite(number) for number in found.values())
    assert content.row_tags(row)["verdict"] == "none"


def test_long_descriptions_end_at_a_whole_line():
    text = description._fit([f"line {number}" for number in range(5000)])
    assert len(text) <= TAG_LENGTH
    assert text.splitlines()[-1].startswith("…")
    assert text.splitlines()[-2].startswith("line ")


def test_default_place_is_a_file_in_the_output_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert TrackingStore.of("runs/a") == TrackingStore(
        f"sqlite:///{tmp_path}/runs/a/mlflow.db", f"{tmp_path}/runs/a/mlartifacts"
    )
    assert TrackingStore.of("s3://bucket/sweeps/a/").file == tmp_path / "runs/a/mlflow.db"
    assert TrackingStore.of("runs/a").address("1", "r").startswith("sqlite")


def test_place_of_the_environment_wins(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@mlflow.example/x/")
    found = TrackingStore.of("runs/a")
    assert found.served
    assert found.artifacts is None
    assert found.shown == "https://mlflow.example/x/"
    assert found.address("3", "r") == (
        "https://mlflow.example/x/#/experiments/3/runs/r?workflowType=machine_learning"
    )


def test_ui_command_names_the_store(monkeypatch):
    command = ui_command(TrackingStore("sqlite:////x/mlflow.db", "/x/mlartifacts"), port=5001)
    assert command[:4] == [sys.executable, "-m", "mlflow", "ui"]
    assert "sqlite:////x/mlflow.db" in command
    assert command[-1] == "5001"
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
    assert ui_environment()["MLFLOW_DISABLE_TELEMETRY"] == "false"


def test_experiment_is_the_sweep_unless_the_user_says_otherwise(monkeypatch):
    assert RunIdentity("a").experiment == "a"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "team")
    assert RunIdentity("a").experiment == "team"
    assert RunIdentity("a", night="2026-01-02").name == "a 2026-01-02"


def test_live_metrics_of_an_attempt_are_gathered_and_those_of_the_next_are_not():
    def live(key, step):
        return _Event(Runs.curve, (key, [(step, {"loss": 1.0}, 0.0)]))

    begin_again = _Event(Runs.started, ("a", "kd", "rte", 1, {}, 0.0))
    queue = deque([live("b", 1), live("a", 2), begin_again, live("a", 3)])
    reports = [(1, {"loss": 1.0}, 0.0)]
    gather("a", reports, queue)
    assert [step for step, *_ in reports] == [1, 2]
    assert [event.arguments[0] for event in queue] == ["b", "a", "a"]


def test_a_paused_mirror_writes_nothing_and_then_all(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmark.tracking.mirror._GATHER_SECONDS", 0.0)
    monkeypatch.setattr(Mirror, "_connected", lambda self: None)
    monkeypatch.setattr(Runs, "begin", lambda runs: None)
    mirror, written = Mirror(TrackingStore("unused", None), RunIdentity("s"), Store(str(tmp_path))), []
    mirror.start()
    with mirror.paused():
        for number in range(3):
            mirror._put(lambda runs, number=number: written.append(number))
        time.sleep(0.2)
        assert written == []
    assert mirror.close(10).lost == 0
    assert written == [0, 1, 2]


def test_queue_is_bounded_and_live_metrics_go_first(tmp_path):
    idle = Mirror(TrackingStore("http://127.0.0.1:1", None), RunIdentity("s"), Store(str(tmp_path)))
    record = mirrored.sweep(tmp_path, trials=1).records[0]
    for step in range(LIVE_LIMIT + 5):
        idle.metrics("a", [(step, {"loss": 1.0}, 0.0)])
    for _ in range(LIMIT):
        idle.finished(record)
    assert len(idle._queue) == LIMIT
    report = idle.close(1)
    assert report.points_lost == LIVE_LIMIT + 5
    assert report.lost == LIMIT
    assert "`leanboard sync` repairs" in report.warning


def test_a_curve_told_again_in_one_burst_loses_no_point(tmp_path):
    """A node that goes on after a kill tells its points so far at once; with two nodes they may alternate."""
    session = Session(Store(str(tmp_path)), RunIdentity("s"))
    session.mirror = Mirror(TrackingStore("http://127.0.0.1:1", None), RunIdentity("s"), session.store)
    messages = [(key, step, {"loss": 1.0}, 0.0) for step in range(LIVE_LIMIT) for key in ("a", "b")]
    session.metrics(messages)
    assert [event.arguments[0] for event in session.mirror._queue] == ["a", "b"]
    assert [len(event.arguments[1]) for event in session.mirror._queue] == [LIVE_LIMIT, LIVE_LIMIT]
    assert session.mirror._queue[0].arguments[1][:2] == [(0, {"loss": 1.0}, 0.0), (1, {"loss": 1.0}, 0.0)]
    report = session.mirror.close(1)
    assert report.points_lost == 2 * LIVE_LIMIT, "each is counted"
    assert report.warning.endswith(f"has lost {2 * LIVE_LIMIT} points of live curves for good")


@pytest.mark.parametrize("status", ["done", "failed"])
def test_an_outage_when_a_node_ends_is_left_to_the_end_of_the_sweep(tmp_path, monkeypatch, status):
    """Tune would take an exception here for a worker that died, and hand the node out again."""

    def gone(*names):
        raise ConnectionLost("the store does not answer")

    session = Session(Store(str(tmp_path)), RunIdentity("s"))
    session.mirror = Mirror(TrackingStore("http://127.0.0.1:1", None), RunIdentity("s"), session.store)
    monkeypatch.setattr(session.store, "parse", gone)
    monkeypatch.setattr(session.store, "failure", gone)
    session.ended(SimpleNamespace(fingerprint="a"), Outcome("a", "b", status))
    assert not session.mirror._queue


def test_what_the_store_remembers_answers_without_mlflow(tmp_path):
    sweep = mirrored.sweep(tmp_path)
    where, board = TrackingStore("http://127.0.0.1:1", None), sweep.board()
    assert not in_sync(sweep.store, where, sweep.identity, sweep.outcomes)
    runs = SimpleNamespace(
        client=SimpleNamespace(experiment="7"),
        parent="p",
        board=state.board_stamp(board),
        whole={o.fingerprint: {content.stamp(o): f"run{n}"} for n, o in enumerate(sweep.outcomes)},
        summaries={("finetune", "rte"): "s"},
    )
    state.remember(sweep.store, where, sweep.identity, runs)
    assert in_sync(sweep.store, where, sweep.identity, sweep.outcomes, board)
    assert links(sweep.store, where, sweep.identity) == {("finetune", "rte"): where.address("7", "s")}

    later = sweep.records[0].model_copy(update={"ended": 2e9})
    assert not in_sync(sweep.store, where, sweep.identity, [later])
    assert not in_sync(sweep.store, where, sweep.identity, [], board.model_copy(update={"trials": 1}))
    assert not in_sync(sweep.store, TrackingStore("http://127.0.0.1:2", None), sweep.identity, sweep.outcomes)
    assert not in_sync(sweep.store, where, RunIdentity("small", night="2026-01-02"), sweep.outcomes)
    assert "127.0.0.1" not in (tmp_path / "mirror.json").read_text()


def test_a_deleted_database_is_not_in_sync(tmp_path):
    sweep = mirrored.sweep(tmp_path, trials=1)
    where = TrackingStore.of(str(tmp_path))
    runs = SimpleNamespace(
        client=SimpleNamespace(experiment="1"), parent="p", board="", whole={}, summaries={}
    )
    state.remember(sweep.store, where, sweep.identity, runs)
    assert not in_sync(sweep.store, where, sweep.identity, [])
    Path(tmp_path, "mlflow.db").touch()
    assert in_sync(sweep.store, where, sweep.identity, [])


def test_errors_are_told_in_one_line():
    try:
        try:
            raise ConnectionRefusedError(111, "Connection refused")
        except OSError as error:
            raise RuntimeError("wrapped\nlong") from error
    except RuntimeError as error:
        assert one_line(error) == "ConnectionRefusedError: [Errno 111] Connection refused"


def test_nothing_imports_mlflow_before_it_must():
    code = (
        "import sys, benchmark.tracking; sys.exit(any(m in sys.modules for m in ('mlflow', 'torch', 'ray')))"
    )
    root = Path(mirror.__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0


@pytest.mark.parametrize("wish", [None, "false"])
def test_mlflow_reports_nothing_unless_the_user_lets_it(monkeypatch, wish):
    environment = {"MLFLOW_DISABLE_TELEMETRY": wish} if wish else {}
    monkeypatch.setattr(os, "environ", environment)
    _settle()
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == (wish or "true")
    assert environment["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "1"
