"""Published nights: what a later night is compared with, whole or not at all.

Layout below the output::

    nights/<name>/leaderboard.{html,json}   as published
    nights/<name>/<task>.npz                predicted classes of every trial, example by example
    nights/<name>/night.json                written last; names the files with size and sha256

A night holds its own copy of scores and predictions, because its records are replaced when code changes.
Folders of old nights can be deleted at will; only the newest is read.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from benchmark.store.store import Store
from reports import predictions
from reports.record import File, Record
from reports.regression import Scored

FOLDER = "nights"

Cell = tuple[str, str]
"""(label, task)."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Trial(_Frozen):
    """One trial as a night keeps it."""

    fingerprint: str
    label: str
    task: str
    seed: int
    ended: float
    digest: str
    scores: dict[str, float]
    fresh: bool
    """Whether it was run to confirm a suspicion; such seeds stand on no leaderboard."""


class Finding(_Frozen):
    """A suspicion of a regression and what fresh seeds said of it; scores and differences in points."""

    night: str
    """When it was found."""
    label: str
    task: str
    before: float
    now: float
    p_adjusted: float
    fresh_seeds: tuple[int, ...]
    fresh_now: float
    fresh_difference: float
    fresh_p: float
    confirmed: bool


class Night(_Frozen):
    """A published night."""

    format: Literal[1] = 1
    name: str
    published: float
    """Unix time in seconds."""
    refresh: str
    environment: dict[str, Any]
    """Commit and libraries of the driver."""
    compared_with: str | None
    trials: tuple[Trial, ...]
    findings: tuple[Finding, ...] = ()
    still_lost: tuple[Finding, ...] = ()
    """Regressions of earlier nights that have not been made good."""
    files: dict[str, File]

    def scored(self, store: Store, labels: Mapping[str, str]) -> dict[str, Scored]:
        """Predictions by task, from files already verified by `last`, under today's labels as for `under`."""
        found, names = {}, self._todays(labels)
        for name in self.files:
            if name.endswith(".npz"):
                task = name.removesuffix(".npz")
                one = _unpack(store.fs.cat_file(store.path(FOLDER, self.name, name)))
                predicted = {(names[label, task], seed): own for (label, seed), own in one.predicted.items()}
                found[task] = replace(one, predicted=predicted)
        return found

    def under(self, labels: Mapping[str, str]) -> Night:
        """Return the same night under the labels that its trials have today.

        Args:
            labels: today's label by fingerprint. A sweep may write the same trial in another way, a number by
                task for one, and gives it another label then.
        """
        names = self._todays(labels)
        changed = {
            part: tuple(
                one.model_copy(update={"label": names.get((one.label, one.task), one.label)})
                for one in getattr(self, part)
            )
            for part in ("trials", "findings", "still_lost")
        }
        return self.model_copy(update=changed)

    def _todays(self, labels: Mapping[str, str]) -> dict[Cell, str]:
        """Today's label of every cell; one whose label names another cell's trials today is set apart."""
        known = {(t.label, t.task): labels[t.fingerprint] for t in self.trials if t.fingerprint in labels}
        taken = {(label, task) for (_, task), label in known.items()}
        cells = {(trial.label, trial.task) for trial in self.trials}
        apart = {cell: f"{cell[0]} (until {self.name})" for cell in cells & taken}
        return {cell: cell[0] for cell in cells} | apart | known


def next_name(store: Store) -> str:
    """Name of tonight: the date in UTC, and a number where that date has been published already."""
    date = time.strftime("%Y-%m-%d", time.gmtime())
    taken, number = set(_names(store)), 1
    while (name := date if number == 1 else f"{date}.{number}") in taken:
        number += 1
    return name


def last(store: Store) -> tuple[Night | None, list[str]]:
    """Find the newest whole night.

    Returns:
        The night, None where none was published, and a sentence for every damaged one that was passed over.
    """
    damaged: list[str] = []
    for name in sorted(_names(store), key=_order, reverse=True):
        try:
            return _read(store, name), damaged
        except (ValueError, OSError) as error:
            damaged.append(f"night {name} is damaged ({error}) and passed over")
    return None, damaged


def publish(store: Store, night: Night, scored: Mapping[str, Scored], leaderboard: Path) -> Night:
    """Keep a night; `night.json` comes last, so that a night is there whole or not at all.

    Args:
        store: the output.
        night: what is known of it, `files` still empty.
        scored: predictions by task.
        leaderboard: local folder with the leaderboard's files.
    """
    contents = {f"{task}.npz": _pack(own) for task, own in scored.items()}
    contents |= {name: (leaderboard / name).read_bytes() for name in ("leaderboard.json", "leaderboard.html")}
    files = {}
    for name, content in contents.items():
        store.write_bytes(f"{FOLDER}/{night.name}/{name}", content)
        files[name] = File(path=name, size=len(content), sha256=hashlib.sha256(content).hexdigest())
    whole = night.model_copy(update={"files": files})
    store.write_text(f"{FOLDER}/{night.name}/night.json", whole.model_dump_json(indent=1))
    return whole


def score(store: Store, records: Iterable[Record]) -> dict[str, Scored]:
    """Predicted classes of records from the store, by task.

    Raises:
        ValueError: two trials of a task were scored on different examples.
    """
    found: dict[str, Scored] = {}
    for record in records:
        with store.open(record, "predictions.parquet") as file:
            own = predictions.read(file).in_order()
        made = Scored(own.index, own.labels, own.logits.shape[1])
        task = found.setdefault(record.task, made)
        if not task.same_examples(made):
            raise ValueError(f"{record.name}: scored on other examples")
        task.predicted[record.label, record.seed] = own.classes.astype(np.uint16)
    return found


def _names(store: Store) -> list[str]:
    store.fs.invalidate_cache()
    found = store.fs.glob(store.path(FOLDER, "*", "night.json"))
    return [str(path).rsplit("/", 2)[1] for path in found]


def _order(name: str) -> tuple[str, int]:
    date, _, number = name.partition(".")
    return date, int(number) if number.isdigit() else 1


def _read(store: Store, name: str) -> Night:
    text = store.fs.cat_file(store.path(FOLDER, name, "night.json"))
    try:
        night = Night.model_validate_json(text)
    except ValidationError as error:
        raise ValueError(f"night.json: {error.errors()[0]['msg']}") from None
    for file in night.files.values():
        content = store.fs.cat_file(store.path(FOLDER, name, file.path))
        if hashlib.sha256(content).hexdigest() != file.sha256:
            raise ValueError(f"{file.path} has changed since it was written")
    return night


def _pack(scored: Scored) -> bytes:
    keys = list(scored.predicted)
    file = io.BytesIO()
    np.savez_compressed(
        file,
        index=scored.index,
        labels=scored.labels,
        classes=np.int64(scored.classes),
        names=np.array([label for label, _ in keys], dtype=np.str_),
        seeds=np.array([seed for _, seed in keys], dtype=np.int64),
        predicted=np.stack([scored.predicted[key] for key in keys]),
    )
    return file.getvalue()


def _unpack(content: bytes) -> Scored:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        keys = zip(file["names"].tolist(), file["seeds"].tolist(), strict=True)
        predicted = dict(zip(keys, file["predicted"], strict=True))
        return Scored(file["index"], file["labels"], int(file["classes"]), predicted)
