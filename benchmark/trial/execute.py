"""One node on a worker: data, prerequisites, the method, the one final scoring, measurements, the record."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import random
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from benchmark import environment
from benchmark.digest import digest
from benchmark.store.origins import result_digest
from benchmark.store.store import Store
from benchmark.trial import measure
from benchmark.trial.assignment import Assignment, Outcome
from benchmark.trial.failing import PrerequisiteFailed, device_is_lost, write_failure
from benchmark.trial.log import trial_log
from benchmark.trial.resuming import Resuming
from benchmark.trial.scoring import score_model, score_variants
from benchmark.trial.scratch import scratch
from methods import checkpoint, registry
from methods.fit import Report
from methods.method import Method, Prerequisite, SweepPrerequisite
from methods.pretrained import Source
from methods.run import Run, SweepRun
from methods.study import Experiment
from reports import decisions
from reports.record import Collapse, Record
from tasks.cache import cache_folder
from tasks.corpus.access import CorpusAccess
from tasks.prepare import Prepared, prepare
from tasks.seeds import Seeds
from tasks.task import Task


def execute(assignment: Assignment, report: Report = lambda step, metrics: None) -> Outcome:
    """Carry out one node and leave a record or a failure in the store.

    Whatever goes wrong is written down and returned, so that only a dead process reaches the scheduler; a
    lost accelerator ends this one, and the scheduler hands the node out again.
    A node that outlives its timeout is ended together with its process; the log then holds the stack.
    """
    store = Store(assignment.store, cache_folder())
    started = time.time()
    with trial_log(assignment, store) as log:
        facts = {"started": started, "deadline": started + assignment.timeout, "host": socket.gethostname()}
        store.begin(assignment.fingerprint, assignment.attempt, facts)
        faulthandler.dump_traceback_later(assignment.timeout, exit=True, file=log)
        try:
            with scratch() as folder:
                _Trial(assignment, store, folder, report, started).carry_out()
            return Outcome(assignment.fingerprint, assignment.attempt, "done", seconds=time.time() - started)
        except BaseException as error:
            traceback.print_exc()
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            outcome = write_failure(assignment, store, error, started, log.name)
            if device_is_lost(error):
                # Tune would give this worker, fast as it fails now, one trial after the other.
                raise SystemExit(f"the accelerator failed: {error}") from error
            return outcome
        finally:
            faulthandler.cancel_dump_traceback_later()
            _free_memory()


class _Trial:
    """The phases of one node; each phase's wall time goes into the record."""

    def __init__(
        self, assignment: Assignment, store: Store, folder: Path, report: Report, started: float
    ) -> None:
        self.assignment = assignment
        self.store = store
        self.folder = folder
        self.report = report
        self.started = started
        self.seconds: dict[str, float] = {}
        self.work = registry.resolve(assignment.work)(**assignment.params)
        self.device = torch.device(assignment.training.device)
        self.model = assignment.model.on_this_machine()
        self.teacher: Collapse | None = None
        self.origins: dict[str, str] = {}
        self.resuming = Resuming(store, assignment.fingerprint)

    def carry_out(self) -> Record:
        torch.set_num_threads(max(1, int(self.assignment.cpu)))
        if self.device.type == "cuda" and 0 < self.assignment.gpu < 1:
            # Ray counts fractions of a GPU but does not enforce them.
            torch.cuda.set_per_process_memory_fraction(self.assignment.gpu)
        measure.reset_peak_memory()
        with self._phase("prerequisites"):
            common = self._common()
        with self.resuming.copied():
            run, files, outcome = self._work(common)
        files |= _files(self.folder, "artifacts")
        record = self.store.put(self._record(run, outcome), self.assignment.attempt, files)
        self.resuming.clear()
        return record

    def _work(self, common: dict[str, Any]) -> tuple[SweepRun, dict[str, Path], dict[str, Any]]:
        if not isinstance(self.work, SweepPrerequisite):
            return self._on_task(self.assignment.task, common)
        run = SweepRun(**common)
        outcome = {"data": {"corpus": self.assignment.decides["corpus"]}}
        return run, self._produce(partial(self.work.produce, run)), outcome

    def _on_task(
        self, task: Task | None, common: dict[str, Any]
    ) -> tuple[Run, dict[str, Path], dict[str, Any]]:
        assert task is not None
        with self._phase("data"):
            prepared = self._prepare(task)
        run = Run(
            **common,
            task=task,
            train=prepared.train,
            reward=prepared.reward,
            choice=prepared.choice,
            redraws=self.assignment.decides.get("redraws", 0),
        )
        outcome: dict[str, Any] = {"data": prepared.facts, "primary": task.primary}
        if isinstance(self.work, Prerequisite):
            return run, self._produce(partial(self.work.produce, run)), outcome
        self._seed()
        if isinstance(self.work, Experiment):
            return run, *self._study(self.work, run, prepared, outcome)
        assert isinstance(self.work, Method)
        with self._phase("compress"):
            model = self.work.compress(run)
        with self._phase("score"):
            outcome |= score_model(model, run, prepared, self.folder / "predictions.parquet")
        with self._phase("measure"):
            outcome["model"] = measure.measure(model, self.folder / "measured")
        files = {"predictions.parquet": self.folder / "predictions.parquet"}
        if self.assignment.keep:
            checkpoint.save(model, self.folder / "result" / "model")
            files |= _files(self.folder, "result")
        return run, files, outcome

    def _study(
        self, experiment: Experiment, run: Run, prepared: Prepared, outcome: dict[str, Any]
    ) -> tuple[dict[str, Path], dict[str, Any]]:
        with self._phase("study"):
            # All are declared before any is scored.
            variants = tuple(experiment.variants(run))
        file = self.folder / decisions.FILE
        with self._phase("score"):
            scored = score_variants(variants, run, prepared.validation, file)
        return {file.name: file} if scored else {}, {**outcome, "variants": scored}

    @property
    def _kind(self) -> Literal["trial", "prerequisite", "study"]:
        if isinstance(self.work, Experiment):
            return "study"
        return "trial" if isinstance(self.work, Method) else "prerequisite"

    def _produce(self, produce: Callable[[Path], None]) -> dict[str, Path]:
        (self.folder / "result").mkdir()
        self._seed()
        with self._phase("produce"):
            produce(self.folder / "result")
        return _files(self.folder, "result")

    def _seed(self) -> None:
        """Whatever a method draws outside `fit` must not depend on what ran earlier in this process."""
        seed = Seeds.derive(self.assignment.seed).init
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 - for methods that use the global state

    def _prepare(self, task: Task) -> Prepared:
        a = self.assignment
        return prepare(
            task,
            a.data,
            self.model.path,
            revision=self.model.revision,
            max_length=a.training.max_length,
            limit=a.limit,
            selection=a.selection,
            seeds=Seeds.derive(a.seed),
            cache=cache_folder(),
            offline=a.offline,
        )

    def _common(self) -> dict[str, Any]:
        """What a run has whether it belongs to a task or to the whole sweep."""
        a = self.assignment
        results: dict[str, Path] = {}
        ended: dict[str, float] = {}
        for name, key in a.needs.items():
            record = self._record_of(name, key, fetching="result")
            ended[name] = record.ended
            self.origins[key] = result_digest(record)
            results[name] = self.store.fetch(record, "result")
            self.teacher = record.choice_collapse or record.teacher_collapse or self.teacher
        if self.teacher and self.teacher.collapsed and a.collapsed_teacher == "fail":
            raise PrerequisiteFailed(f"the start model collapsed: {self.teacher.reason}")
        models = {name: source.on_this_machine() for name, source in a.models.items()}
        if encoder := self.work.encoder():
            made = results.get(encoder)
            self.model = Source(encoder, None, str(made / "model")) if made else models[encoder]
        (self.folder / "artifacts").mkdir()
        return {
            "training": a.training,
            "seeds": Seeds.derive(a.seed),
            "device": self.device,
            "model": self.model,
            "models": models,
            "results": results,
            "folder": self.folder / "artifacts",
            "corpus": CorpusAccess(a.corpus, cache_folder(), a.offline) if a.corpus else None,
            "notes_of": {name: self._record_of(name, key).notes for name, key in a.reads.items()},
            "resume": self.resuming.open(type(self.work).__module__, ended),
            "report": self.report,
        }

    def _record_of(self, name: str, key: str, fetching: str = "") -> Record:
        record = self.store.read(key, fetching=fetching)
        if record is None:
            raise PrerequisiteFailed(f"{name} ({key[:12]}) has no whole record; run the sweep again")
        return record

    def _record(self, run: SweepRun, outcome: dict[str, Any]) -> Record:
        a = self.assignment
        self.seconds["total"] = time.time() - self.started
        return Record(
            fingerprint=a.fingerprint,
            decides=a.decides,
            kind=self._kind,
            label=a.label,
            method=self.work.name,
            family=self.work.family,
            params=self.work.model_dump(mode="json"),
            task=a.task_name,
            seed=a.seed,
            model_id=self.model.id,
            teacher_collapse=self.teacher,
            notes=run.notes,
            cost=run.cost,
            seconds={phase: round(value, 3) for phase, value in self.seconds.items()},
            peak_memory_bytes=measure.peak_memory(self.device),
            environment=self._environment(run),
            digest=digest(type(self.work).__module__),
            origins=self.origins,
            started=self.started,
            ended=time.time(),
            **outcome,
        )

    def _environment(self, run: SweepRun) -> dict[str, Any]:
        gpu = torch.cuda.get_device_name() if self.device.type == "cuda" else None
        training = self.assignment.training
        precision = (isinstance(run, Run) and run.fitted_in) or training.precision
        return environment.facts() | {
            "gpu": gpu,
            "device": training.device,
            "precision": f"{training.device}-{precision}",
            "threads": torch.get_num_threads(),
            "attention": "eager" if self.device.type == "cpu" else "sdpa",
        }

    @contextlib.contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - begun


def _files(folder: Path, part: str) -> dict[str, Path]:
    return {
        str(path.relative_to(folder)): path for path in sorted((folder / part).rglob("*")) if path.is_file()
    }


def _free_memory() -> None:
    """Give back the trial's memory; models hold cycles that only the collector frees."""
    gc.collect()
    # What is left are modules, half a million objects that every later collection would visit again.
    gc.freeze()
    if torch.cuda.is_available():
        # A GPU that is lost says so here once more; the trial's own failure is written down already.
        with contextlib.suppress(RuntimeError):
            torch.cuda.empty_cache()
