"""A tiny encoder, GLUE-like data, plug-in methods that misbehave, and the real command line."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import yaml

WORDS = [f"w{number}" for number in range(40)]
LABELS = {"rte": ["entailment", "not_entailment"], "sst2": ["negative", "positive"]}
COLUMNS = {"rte": ["sentence1", "sentence2"], "sst2": ["sentence"]}
SWEEP: dict[str, Any] = {
    "name": "tiny",
    "model": "./model",
    "data": "./data",
    "tasks": ["rte", "sst2"],
    "methods": ["finetune", {"sixteen-heads": {"heads": 0.5}}, {"kd": {"layers": 1}}],
    "seeds": 2,
    "train": {"epochs": 1, "batch_size": 16, "learning_rate": 3e-3, "max_length": 16, "precision": "fp32"},
    "latency": {"batch_sizes": [1], "length": 8, "repeats": 3},
    "timeout": 900,
}
COMMAND = [sys.executable, str(Path(sys.executable).with_name("leanboard"))]


def write_model(folder: Path) -> None:
    """A random BERT of two layers with a WordPiece tokenizer that knows the words of the data."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    torch.manual_seed(0)
    config = BertConfig(vocab_size=5 + len(WORDS), max_position_embeddings=128, **shape)
    BertModel(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=128).save_pretrained(folder)


def write_data(folder: Path, tasks: tuple[str, ...] = ("rte", "sst2")) -> None:
    """Two tasks of random words in the Hub's layout; the first word gives the class away."""
    import datasets

    configs = []
    for number, task in enumerate(tasks):
        rng = np.random.default_rng(number)
        features = {column: datasets.Value("string") for column in COLUMNS[task]}
        features["label"] = datasets.ClassLabel(names=LABELS[task])
        for split, count in (("train", 320), ("validation", 80)):
            labels = np.arange(count) % 2
            rows = {column: [" ".join(rng.choice(WORDS[2:], 6)) for _ in labels] for column in COLUMNS[task]}
            first = COLUMNS[task][0]
            rows[first] = [f"w{label} {text}" for label, text in zip(labels, rows[first], strict=True)]
            file = folder / task / f"{split}-00000-of-00001.parquet"
            table = datasets.Dataset.from_dict(
                {**rows, "label": labels.tolist()}, datasets.Features(features)
            )
            table.to_parquet(file)
        files = [{"split": split, "path": f"{task}/{split}-*"} for split in ("train", "validation")]
        configs.append({"config_name": task, "data_files": files})
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump({'configs': configs})}---\n")


PLUG_IN = '''
import os
import signal
import time
from pathlib import Path

from methods.method import Method, Prerequisite


class _Baseline(Method):
    def compress(self, run):
        raise NotImplementedError


class Raises(_Baseline, name="raises", family="pruning"):
    """Raise, with a message that looks like markup and like several lines."""

    def compress(self, run):
        raise ValueError("planned [/red] failure of /tmp/[x]\\nsecond line")


class Hangs(_Baseline, name="hangs", family="pruning"):
    """Never end and hold the GIL."""

    def compress(self, run):
        import ctypes

        ctypes.PyDLL(None).sleep(3600)


class Eats(_Baseline, name="eats", family="pruning"):
    """Ask for more memory than there is."""

    def compress(self, run):
        import numpy as np

        return np.ones(2**50)


class Diverges(_Baseline, name="diverges", family="pruning"):
    """A loss that is NaN."""

    def compress(self, run):
        from methods.fit import cross_entropy

        model = run.pretrained()
        run.fit(model, lambda model, batch: cross_entropy(model, batch) * float("nan"))
        return model


class Nan(_Baseline, name="nan", family="pruning"):
    """Weights that are NaN."""

    def compress(self, run):
        import torch

        model = run.pretrained()
        with torch.no_grad():
            model.classifier.weight.fill_(float("nan"))
        return model


class Dies(_Baseline, name="dies", family="pruning"):
    """End the process, the first `times` times."""

    times: int = 1

    def compress(self, run):
        deaths = Path(os.environ["LEANBOARD_TEST_DEATHS"], f"{self.times}.{run.task.name}.{run.seeds.order}")
        with deaths.open("a") as file:
            file.write("x")
        if deaths.stat().st_size <= self.times:
            os.kill(os.getpid(), signal.SIGKILL)
        return run.pretrained()


class Broken(Prerequisite, name="broken-outputs", family="prerequisite"):
    """A prerequisite that cannot be made."""

    def produce(self, run, folder):
        raise OSError("no outputs")


class Stranded(_Baseline, name="stranded", family="distillation", needs=("broken-outputs",)):
    """A method whose prerequisite fails."""


class Sleeps(_Baseline, name="sleeps", family="pruning"):
    """Take a while and change nothing."""

    seconds: float = 1.0

    def compress(self, run):
        time.sleep(self.seconds)
        return run.pretrained()
'''
METHODS = {
    "raises": "Raises",
    "hangs": "Hangs",
    "eats": "Eats",
    "diverges": "Diverges",
    "nan": "Nan",
    "dies": "Dies",
    "broken-outputs": "Broken",
    "stranded": "Stranded",
    "sleeps": "Sleeps",
}


def write_plug_in(folder: Path) -> None:
    """An installed package with methods, as far as entry points and imports can tell."""
    folder.mkdir(parents=True)
    (folder / "misbehaving.py").write_text(PLUG_IN)
    facts = folder / "misbehaving-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: misbehaving\nVersion: 1.0\n")
    points = "\n".join(f"{name} = misbehaving:{cls}" for name, cls in METHODS.items())
    (facts / "entry_points.txt").write_text(f"[leanboard.methods]\n{points}\n")


@dataclass
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return f"exit code {self.code}\n{self.out}\n{self.err}"


@dataclass
class World:
    """A folder with a model, data and plug-ins, in which commands are run."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path) -> World:
        """Write model, data and plug-ins into an empty folder."""
        write_model(folder / "model")
        write_data(folder / "data")
        write_plug_in(folder / "plug-in")
        (folder / "deaths").mkdir()
        return cls(folder)

    def sweep(self, name: str = "tiny", **changes: Any) -> Path:
        """Write a sweep file."""
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump({**SWEEP, "name": name, **changes}))
        return path

    def variables(self) -> dict[str, str]:
        """The environment of a user of this folder; nothing of this machine's caches and servers."""
        mine = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MLFLOW_"))}
        return {
            **mine,
            "LEANBOARD_CACHE": str(self.folder / "cache"),
            "LEANBOARD_TEST_DEATHS": str(self.folder / "deaths"),
            "HF_HOME": str(self.folder / "hf"),
            "PYTHONPATH": str(self.folder / "plug-in"),
            "OMP_NUM_THREADS": "1",
            "RAY_worker_niceness": "0",
            "COLUMNS": "200",
            **self.environment,
        }

    def processes(self) -> list[psutil.Process]:
        """Whatever was started here and still runs, Ray's own processes included."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                alive = process.status() != psutil.STATUS_ZOMBIE
                if alive and process.environ().get("LEANBOARD_CACHE") == str(self.folder / "cache"):
                    found.append(process)
        return found

    def workers(self) -> list[psutil.Process]:
        """The processes in which trials run."""
        found = []
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                if process.name().startswith("ray::Trial") or process.cmdline()[0].startswith("ray::Trial"):
                    found.append(process)
        return found

    def await_silence(self, seconds: float = 90) -> None:
        """Wait until nothing that was started here runs any more."""
        until = time.monotonic() + seconds
        while left := self.processes():
            if time.monotonic() > until:
                raise AssertionError(f"still running: {[' '.join(one.cmdline())[:90] for one in left]}")
            time.sleep(0.3)

    def clear(self) -> None:
        """End whatever was started here."""
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()

    def start(
        self, *words: Any, before: tuple[str, ...] = (), cwd: Path | None = None
    ) -> subprocess.Popen[str]:
        """Start `leanboard` with the given words, in a process group of its own."""
        return subprocess.Popen(
            [*before, *COMMAND, *map(str, words)],
            cwd=cwd or self.folder,
            env=self.variables(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def call(self, *words: Any, before: tuple[str, ...] = (), cwd: Path | None = None) -> Done:
        """Run `leanboard` with the given words to its end."""
        return end(self.start(*words, before=before, cwd=cwd))


def end(process: subprocess.Popen[str], timeout: float = 900) -> Done:
    """Wait for a command; whatever it leaves running in its process group is killed."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGABRT)
        out, err = process.communicate()
        raise AssertionError(f"did not end within {timeout} s\n{out}\n{err}") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return Done(process.returncode, out, err)


def records(output: Path) -> dict[str, dict[str, Any]]:
    """Every record.json of an output folder by `label.task.seed`."""
    found = [json.loads(path.read_text()) for path in (output / "records").glob("*/record.json")]
    return {f"{one['label']}.{one['task']}.{one['seed']}": one for one in found}


def attempts(output: Path) -> dict[str, int]:
    """How often each node was begun, by fingerprint."""
    return {
        folder.name: len(list(folder.glob("started-*.json"))) for folder in (output / "records").iterdir()
    }


def failures(output: Path) -> dict[str, dict[str, Any]]:
    """Every failure by `label.task.seed`."""
    found = [json.loads(path.read_text()) for path in (output / "records").glob("*/failure-*.json")]
    return {f"{one['label']}.{one['task']}.{one['seed']}": one for one in found}


def board(output: Path) -> dict[str, Any]:
    """leaderboard.json of an output folder."""
    return json.loads((output / "leaderboard" / "leaderboard.json").read_text())


def cells(output: Path) -> dict[tuple[str, str], list[float]]:
    """Scores by (label, task)."""
    return {(row["label"], row["task"]): row["scores"] for row in board(output)["rows"]}


def await_records(output: Path, count: int, process: subprocess.Popen[str], timeout: float = 600) -> None:
    """Wait until an output folder holds a number of records."""
    until = time.monotonic() + timeout
    while len(list((output / "records").glob("*/record.json"))) < count:
        if process.poll() is not None or time.monotonic() > until:
            raise AssertionError(f"{count} records were never there\n{end(process).text}")
        time.sleep(0.05)
