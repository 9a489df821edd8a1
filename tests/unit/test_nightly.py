"""Nights over synthetic trials: everything is real but Ray, MLflow, the page, and the training."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from boards import predictions as draw
from boards import record as make_record
from rich.console import Console

from benchmark import engine as sweep
from benchmark.cluster import cluster
from benchmark.config.grid import expand
from benchmark.config.load import make_sweep
from benchmark.night import nightly, nights, outdated
from benchmark.plan.context import Context
from benchmark.plan.job import Job
from benchmark.plan.plan import build
from benchmark.publish import Published
from benchmark.store.store import Store
from methods import registry
from methods.pretrained import Source
from methods.settings import Training
from reports import predictions
from reports.record import Failure
from tasks import registry as task_registry

EXAMPLES = 300


@dataclass
class World:
    """What training would bring about: accuracies by cell, code versions by method, broken trials."""

    folder: Path
    accuracy: dict[tuple[str, str], float] = field(default_factory=dict)
    code: dict[str, str] = field(default_factory=dict)
    luck: float = 0.0
    """What tonight's code gains on the sweep's own seeds, and on no others."""
    broken: set[tuple[str, int]] = field(default_factory=set)
    """(label, seed)"""
    ran: list[str] = field(default_factory=list)
    clock: itertools.count = field(default_factory=lambda: itertools.count(1_780_000_000))

    def job(self, seeds: int = 5, limit: int | None = None, kd: object = "kd") -> Job:
        data = {"name": "nights", "model": "tiny", "data": "bundled", "tasks": ["sst2", "rte"]}
        data |= {"methods": ["finetune", "random-heads", kd], "latency": None}
        config = make_sweep(data | {"seeds": seeds, "limit": limit})
        configured, tasks = expand(config), [task_registry.task(name) for name in config.tasks]
        training = Training(device="cpu", precision="fp32")
        context = Context({"id": "tiny"}, {t.name: {"sha256": "0"} for t in tasks}, training, {}, limit, 0.2)
        return Job(
            sweep=config,
            methods=configured,
            tasks=tasks,
            model=Source("tiny", "0" * 40, "tiny"),
            data="bundled",
            plan=build(configured, tasks, config.seeds, context),
            store=Store(str(self.folder)),
            output=str(self.folder),
            offline=True,
        )

    def digest(self, module: str) -> str:
        return self.code.get(module, "1")

    def train(self, job: Job, missing, *rest) -> None:
        for key, node in missing.items():
            self.ran.append(node.name)
            if (node.label, node.seed) in self.broken:
                failure = {"fingerprint": key, "attempt": "a", "label": node.label, "task": node.task}
                now = next(self.clock)
                job.store.fail(
                    Failure(
                        **failure, seed=node.seed, kind="error", message="boom", started=now, ended=now + 0.5
                    )
                )
                continue
            self.write(job, node)

    def write(self, job: Job, node) -> None:
        task = task_registry.task(node.task)
        labels = (np.arange(EXAMPLES) < 0.5 * EXAMPLES).astype(np.int64)
        code = self.digest(type(node.work).__module__)
        rng = np.random.default_rng([node.seed, len(node.label), int(code)])
        wanted = self.accuracy.get((node.label, node.task), 0.8)
        if code != "1" and node.seed <= 5:
            wanted += self.luck
        difficulty = np.random.default_rng(0).normal(size=EXAMPLES)
        saved = draw(labels, wanted + rng.normal(0, 0.008), rng, difficulty)
        file = self.folder / "made.parquet"
        with file.open("wb") as stream:
            predictions.write(saved, stream)
        now = next(self.clock)
        record = make_record(
            node.label,
            node.task,
            node.seed,
            saved,
            task.primary,
            fingerprint=node.fingerprint,
            decides=job.plan.decides(node),
            digest=code,
            started=now,
            ended=now + 0.5,
        )
        job.store.put(record, f"attempt{now}", {"predictions.parquet": file, "result/model": file})


@pytest.fixture
def world(tmp_path, monkeypatch):
    world = World(tmp_path / "out")
    world.folder.mkdir()
    page = tmp_path / "page"
    page.mkdir()
    for name in ("leaderboard.json", "leaderboard.html"):
        (page / name).write_text("{}")
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(outdated, "digest", world.digest)
    monkeypatch.setattr(sweep, "digest", world.digest)
    monkeypatch.setattr(sweep, "run_nodes", world.train)
    monkeypatch.setattr(sweep, "check_data", lambda job: None)
    monkeypatch.setattr(sweep, "publish", lambda *_, **__: Published(None, page, "page", fresh=True))
    monkeypatch.setattr(sweep, "Session", _Deaf)
    monkeypatch.setattr(cluster, "connected", lambda *_, **__: contextlib.nullcontext())
    return world


class _Deaf:
    """Stands for the MLflow session."""

    def __init__(self, *_) -> None:
        self.tracking = SimpleNamespace(shown="nowhere")

    def start(self) -> None: ...
    def links(self, pairs) -> dict: ...
    def finish(self, *_) -> str: ...
    def interrupt(self) -> None: ...


def night(world: World, refresh="changed", **sweep_fields) -> nightly.Outcome:
    world.ran.clear()
    return nightly.run(
        world.job(**sweep_fields), Console(quiet=True), sweep.Options(command="test"), refresh=refresh
    )


def said(outcome) -> str:
    return "\n".join(outcome.lines())


KD = registry.find("kd").__module__
FINETUNE = registry.find("finetune").__module__
TRIALS = 3 * 2 * 5


def test_the_first_night_runs_everything_and_is_published(world):
    outcome = night(world)
    assert outcome.exit_code == 0
    assert len([name for name in world.ran if "teacher" not in name]) >= TRIALS
    assert "first night" in said(outcome)
    found, damaged = nights.last(world.job().store)
    assert (found.name, damaged) == (outcome.name, [])
    assert len(found.trials) == TRIALS
    scored = found.scored(world.job().store, {})
    record = outcome.trials[0]
    was = scored[record.task].points((record.label, record.seed), record.primary)
    assert was == pytest.approx(100 * record.scores[record.primary])


def test_a_night_that_runs_nothing_is_loud(world):
    first = night(world)
    again = night(world)
    assert (again.exit_code, again.published, world.ran) == (1, False, [])
    assert "NOTHING WAS RUN" in said(again)
    assert "--refresh all" in said(again)
    assert "NOT PUBLISHED: nothing was run; the next night is again compared with" in said(again)
    assert nights.last(world.job().store)[0].name == first.name


def test_a_second_night_of_a_date_gets_a_number(world):
    first = night(world)
    again = night(world, refresh="all")
    assert (again.exit_code, again.name) == (0, f"{first.name}.2")
    assert nights.last(world.job().store)[0].name == again.name


def test_changed_code_makes_again_only_what_it_made(world):
    night(world)
    world.code[KD] = "2"
    outcome = night(world)
    assert outcome.exit_code == 0
    assert {name.split(".")[0] for name in world.ran} == {"kd"}
    assert f"10 of {TRIALS} trials made since the last night, 20 reused" in said(outcome)
    assert "the code of kd" in said(outcome)
    assert "No change beyond noise in 2 cells" in said(outcome)


def test_what_starts_from_changed_work_is_made_again_too(world):
    night(world)
    world.code[FINETUNE] = "2"
    night(world)
    assert {name.split(".")[0] for name in world.ran} >= {"finetune", "random-heads", "kd"}


def test_refresh_all_makes_everything_again(world):
    night(world)
    outcome = night(world, refresh="all")
    assert len(outcome.changes) == 6
    assert all(change.estimate.identical for change in outcome.changes)
    assert outcome.exit_code == 0


def test_a_row_written_in_another_way_is_compared_with_itself(world):
    rates = {"learning_rate": 2e-4}, {"learning_rate": {"sst2": 2e-4, "rte": 2e-4}}
    one, other = ({"kd": rate} for rate in rates)
    night(world, kd=one)
    world.code[KD] = "2"
    outcome = night(world, kd=other)
    assert (outcome.exit_code, outcome.published) == (0, True)
    assert {change.label for change in outcome.changes} == {"kd:learning_rate=by-task"}
    assert len(outcome.changes) == 2
    assert "Not compared" not in said(outcome)


def test_a_label_that_names_other_trials_today_is_set_apart(world):
    rates = {"learning_rate": 2e-4}, {"learning_rate": {"sst2": 2e-4, "rte": 2e-4}}
    night(world, kd={"kd": rates[0]})
    found, _ = nights.last(world.job().store)
    other = [t.model_copy(update={"fingerprint": f"o{t.seed}{t.task}", "label": "kd:learning_rate=by-task"})
             for t in found.trials if t.label.startswith("kd")]  # fmt: skip
    both = found.model_copy(update={"trials": (*found.trials, *other)})
    labels = {node.fingerprint: node.label for node in world.job(kd={"kd": rates[1]}).plan.trials()}
    cells = {(trial.label, trial.fingerprint[0] == "o") for trial in both.under(labels).trials}
    assert (f"kd:learning_rate=by-task (until {found.name})", True) in cells
    assert ("kd:learning_rate=by-task", False) in cells
    assert ("kd:learning_rate=by-task", True) not in cells


def test_a_real_loss_is_confirmed_by_fresh_seeds(world):
    night(world)
    world.code[KD], world.accuracy["kd", "sst2"] = "2", 0.70
    outcome = night(world)
    assert outcome.exit_code == 3
    assert "REGRESSION: kd on sst2" in said(outcome)
    assert "rte" not in said(outcome).split("REGRESSION")[1].splitlines()[0]
    # Only the suspicious cell was looked at again, with seeds the sweep does not have.
    fresh = {name for name in world.ran if name.split(".")[2] in {"6", "7", "8", "9", "10"}}
    assert {name for name in fresh if name.startswith("kd.")} == {f"kd.sst2.{s}" for s in range(6, 11)}
    assert not any(".rte." in name or name.startswith("random-heads") for name in fresh)


def test_a_regression_is_reported_once_and_remembered_until_made_good(world):
    night(world)
    world.code[KD], world.accuracy["kd", "sst2"] = "2", 0.70
    regressed = night(world)
    following = night(world, refresh="all")
    assert following.exit_code == 0
    assert f"Still lost since night {regressed.name}: kd on sst2" in said(following)
    world.code[KD], world.accuracy["kd", "sst2"] = "3", 0.80
    mended = night(world)
    assert mended.exit_code == 0
    assert "Better: kd on sst2" in said(mended)
    assert "Still lost" not in said(mended)


def test_a_loss_of_the_sweeps_own_seeds_alone_is_no_regression(world):
    night(world)
    world.code[KD], world.luck = "2", -0.08
    outcome = night(world)
    assert outcome.exit_code == 0
    assert len(outcome.confirmations) == 2
    assert "Not confirmed: kd on sst2" in said(outcome)
    assert outcome.published


def test_a_gain_is_no_regression(world):
    night(world)
    world.code[KD], world.accuracy["kd", "sst2"] = "2", 0.92
    outcome = night(world)
    assert outcome.exit_code == 0
    assert "Better: kd on sst2" in said(outcome)


def test_a_failed_trial_leaves_the_last_night_standing(world):
    first = night(world)
    world.code[KD], world.broken = "2", {("kd", 3)}
    outcome = night(world)
    assert (outcome.exit_code, outcome.published) == (1, False)
    assert "NOT PUBLISHED: 2 of 30 trials have no result" in said(outcome)
    assert nights.last(world.job().store)[0].name == first.name
    # The earlier records are whole still, and count for nothing tonight.
    job = world.job()
    assert job.plan.rows <= job.scan().records.keys()
    world.broken = set()
    mended = night(world)
    assert set(world.ran) == {"kd.sst2.3", "kd.rte.3"}
    assert (mended.exit_code, mended.published) == (0, True)
    # Trials made in the unfinished night are compared as well.
    assert [len(change.seeds) for change in mended.changes] == [5, 5]


def test_a_night_where_all_fails_is_loud(world):
    world.broken = {(label, seed) for label in ("finetune", "random-heads", "kd") for seed in range(1, 6)}
    outcome = night(world)
    assert outcome.exit_code == 1
    assert "NOTHING CAME OF IT, all 30 trials failed" in said(outcome)


def test_fresh_seeds_that_fail_leave_the_night_open(world):
    night(world)
    world.code[KD], world.accuracy["kd", "sst2"], world.broken = "2", 0.70, {("kd", 8)}
    outcome = night(world)
    assert (outcome.exit_code, outcome.published) == (1, False)
    assert "SUSPICIOUS, fresh seeds failed: kd on sst2" in said(outcome)
    world.broken = set()
    assert night(world).exit_code == 3
    assert world.ran == ["kd.sst2.8"]


def test_an_interrupted_night_goes_on_where_it_was(world, monkeypatch):
    night(world)
    world.code[FINETUNE] = "2"
    job, train = world.job(), world.train

    def die(job, missing, *rest) -> None:
        first = {k: n for k, n in missing.items() if n.label == "finetune"}
        train(job, first, *rest)
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep, "run_nodes", die)
    with pytest.raises(KeyboardInterrupt):
        night(world)
    monkeypatch.setattr(sweep, "run_nodes", train)
    # kd's own code and records look like today's, but they started from models that were made again.
    outcome = night(world)
    labels = {name.split(".")[0] for name in world.ran}
    assert "finetune" not in labels
    assert labels >= {"kd", "random-heads"}
    assert (outcome.exit_code, outcome.published) == (0, True)
    assert not job.store.fs.exists(job.store.path("nights", "outdated.json"))


def test_what_was_replaced_takes_no_room(world):
    night(world)
    folders = {path for path in world.folder.glob("records/*/attempt*") if path.is_dir()}
    night(world, refresh="all")
    after = {path for path in world.folder.glob("records/*/attempt*") if path.is_dir()}
    assert len(after) == len(folders)
    assert not after & folders


def test_one_seed_is_never_tested(world):
    night(world, seeds=1)
    world.code[KD], world.accuracy["kd", "sst2"] = "2", 0.5
    outcome = night(world, seeds=1)
    assert outcome.exit_code == 0
    assert "Not tested, because one seed" in said(outcome)


def test_other_settings_are_not_compared(world):
    night(world)
    world.accuracy["kd", "sst2"] = 0.6
    outcome = night(world, limit=100)
    assert (outcome.exit_code, outcome.changes) == (0, [])
    assert "Not compared, because settings, data or a method's version changed" in said(outcome)


def test_a_damaged_night_is_passed_over(world):
    first, second = night(world), night(world, refresh="all")
    (world.folder / "nights" / second.name / "sst2.npz").write_bytes(b"")
    found, damaged = nights.last(world.job().store)
    assert found.name == first.name
    assert "sst2.npz has changed" in damaged[0]


def test_nights_of_one_date_are_ordered_by_number(tmp_path):
    names = ["2026-07-29.10", "2026-07-29.2", "2026-07-29", "2026-07-30"]
    assert sorted(names, key=nights._order) == [
        "2026-07-29",
        "2026-07-29.2",
        "2026-07-29.10",
        "2026-07-30",
    ]


def test_what_tonight_made_is_not_outdated_again_for_a_further_plan(tmp_path, monkeypatch):
    """Fresh seeds share prerequisites that have no seed with the plan that came first."""
    monkeypatch.setattr(outdated, "digest", lambda module: "now")
    store, plan = Store(str(tmp_path)), SimpleNamespace(nodes={"pre": SimpleNamespace(work=0, builds_on=())})

    def records(ended):
        return {"pre": SimpleNamespace(digest="now", ended=ended, files={})}

    found = outdated.Outdated(store, "tonight", "all")
    found.add(plan, records(1.0))
    assert found.redo == {"pre": 1.0}
    found.add(plan, records(2.0))
    assert found.redo == {"pre": 1.0}, "the record of tonight counts"
    found.settle(records(2.0))
    assert found.redo == {}


def test_an_interrupted_night_that_makes_everything_again_keeps_what_it_made(tmp_path, monkeypatch):
    """Also what had no record before, of which nothing is known but when it ended."""
    monkeypatch.setattr(outdated, "digest", lambda module: "now")
    store, plan = Store(str(tmp_path)), SimpleNamespace(nodes={"new": SimpleNamespace(work=0, builds_on=())})
    outdated.Outdated(store, "tonight", "all").add(plan, {})
    made = {"new": SimpleNamespace(digest="now", ended=time.time() + 1, files={})}
    again = outdated.Outdated(store, "tonight", "all")
    again.add(plan, made)
    assert again.redo == {}
    # Midnight has passed: it is still the night that was interrupted, until one has come to its end.
    after_midnight = outdated.Outdated(store, "tomorrow", "all")
    after_midnight.add(plan, made)
    assert after_midnight.redo == {}
    after_midnight.settle(made)
    later = outdated.Outdated(store, "the day after", "all")
    monkeypatch.setattr(later, "began", time.time() + 2)
    later.add(plan, made)
    assert later.redo.keys() == {"new"}


def test_a_night_that_ended_with_a_failure_is_not_resumed_by_the_next_one(tmp_path, monkeypatch):
    monkeypatch.setattr(outdated, "digest", lambda module: "now")
    store, plan = Store(str(tmp_path)), SimpleNamespace(nodes={"bad": SimpleNamespace(work=0, builds_on=())})
    records = {"bad": SimpleNamespace(digest="now", ended=1.0, files={})}
    tonight = outdated.Outdated(store, "tonight", "all")
    tonight.add(plan, records)
    tonight.settle(records)
    assert outdated.Outdated(store, "tonight", "all").began == tonight.began
    assert outdated.Outdated(store, "tomorrow", "all").began > tonight.began
