"""From the store to the leaderboard's files; built again only when what it shows has changed."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark import shared_texts
from benchmark.latency import latency
from benchmark.plan.fingerprint import fingerprint
from benchmark.store import origins
from benchmark.store.manifest import Manifest
from benchmark.store.store import Store
from reports.board import START_MODEL, Leaderboard
from reports.record import Failure, Latency, Record
from tasks.cache import cache_folder

FOLDER = "leaderboard"
_STATE = "state.json"

# Manifest fields that do not affect the page; `machines` is left out because the latencies themselves are
# compared, and `untimed` because it is among the notes where it is shown.
_NO_NEWS: Any = {"sweep": {"command"}, "night": True, "machines": True, "untimed": True}

_PRETRAINED_ONCE = (
    "Encoders made in this sweep were pre-trained once each: intervals and verdicts of rows that start from "
    "them cover other seeds of fine-tuning and other examples, not another pre-training."
)


@dataclass(frozen=True)
class Published:
    """Where the leaderboard lies and whether it was built now."""

    board: Leaderboard
    folder: Path
    """A local folder with its files; a copy where the output is an object store."""
    page: str
    """Path or URL of the HTML page."""
    fresh: bool


def publish(
    store: Store,
    manifest: Manifest,
    records: Iterable[Record],
    *,
    links: Mapping[tuple[str, str], str] | None = None,
    force: bool = False,
) -> Published:
    """Write leaderboard.{html,md,csv,json} and figures into the output folder.

    Args:
        store: the output folder.
        manifest: what was to be run.
        records: the whole records of its nodes.
        links: MLflow runs by (label, task).
        force: build even if nothing has changed.
    """
    records = list(records)
    manifest = _with_start_models(manifest, records)
    rows = manifest.rows()
    trials = [record for record in records if record.fingerprint in rows]
    failures = store.failures(rows.keys() - {record.fingerprint for record in trials})
    timed = latency.newest(store, trials, manifest.latency, manifest.machines) if manifest.latency else {}
    notes = (*warnings(manifest, records), *_untimed(manifest, trials, timed))
    manifest = manifest.model_copy(update={"notes": notes})
    state = _state(manifest, trials, failures, timed, links or {})
    page = store.address(FOLDER, "leaderboard.html")
    folder = readable(store, FOLDER)
    content = store.read_json(f"{FOLDER}/leaderboard.json")
    known = None if force else published_state(store, FOLDER)
    if known == state and content is not None and (folder / "leaderboard.html").exists():
        return Published(Leaderboard.model_validate(content), folder, page, fresh=False)

    from reports import leaderboard, predictions
    from reports.render import render

    @functools.cache
    def read(key: str) -> predictions.Predictions:
        return predictions.read(store.open(by_key[key], "predictions.parquet"))

    by_key = {record.fingerprint: record for record in trials}
    board = leaderboard.build(
        trials,
        lambda record: read(record.fingerprint),
        manifest.sweep,
        failures=list(failures.values()),
        latencies=list(timed.values()),
        links=links,
        notes=manifest.notes,
    )
    write(store, FOLDER, render(board), state)
    return Published(board, folder, page, fresh=True)


def warnings(manifest: Manifest, records: Iterable[Record]) -> tuple[str, ...]:
    """Say what must be known before a verdict is believed; `records` are those of rows and start models."""
    records, rows = list(records), manifest.rows()
    trials = [record for record in records if record.fingerprint in rows]
    return (
        *manifest.notes,
        *((_PRETRAINED_ONCE,) if manifest.pretrains else ()),
        *shared_texts.notes(trials, manifest.sweep.tasks),
        *origins.changed_start_models(records),
    )


def _untimed(manifest: Manifest, trials: Iterable[Record], timed: Mapping[str, Latency]) -> list[str]:
    """Say why rows have no latency, if it was to be measured and could not be."""
    if not manifest.latency or not manifest.untimed or latency.architectures(trials).keys() <= timed.keys():
        return []
    every = " of every row" if timed else ""
    return [f"Latency was not measured{every}: {manifest.untimed.rstrip('.')}."]


def _with_start_models(manifest: Manifest, records: Iterable[Record]) -> Manifest:
    """Say how large the start models are, which rows are compared with whatever the baseline is."""
    sizes = {
        record.task: record.model.parameters.total
        for record in records
        if record.label == START_MODEL and record.model
    }
    tasks = [
        task.model_copy(update={"teacher_parameters": sizes.get(task.name)}) for task in manifest.sweep.tasks
    ]
    return manifest.model_copy(update={"sweep": manifest.sweep.model_copy(update={"tasks": tuple(tasks)})})


def readable(store: Store, name: str) -> Path:
    """A folder of the output as a local path; of an object store it is a copy that `write` fills."""
    if store.local:
        return Path(store.path(name))
    return cache_folder() / "published" / fingerprint(store.url)[:16] / name


def published_state(store: Store, name: str) -> Any:
    """Return what `write` was last given as the state of a folder; None where the local copy is of another.

    Another machine may have published into the same object store since.
    """
    state, copy = store.read_json(f"{name}/{_STATE}"), readable(store, name) / _STATE
    if not store.local and not (copy.exists() and json.loads(copy.read_bytes()) == state):
        return None
    return state


def write(store: Store, name: str, files: Mapping[str, bytes], state: Any) -> None:
    """Write files into a folder of the output, its state last, and into its local copy if it has one."""
    written = {**files, _STATE: json.dumps(state, indent=1).encode()}
    for path, content in written.items():
        store.write_bytes(f"{name}/{path}", content)
        if not store.local:
            copy = readable(store, name) / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content)


def _state(
    manifest: Manifest,
    trials: Iterable[Record],
    failures: Mapping[str, Failure],
    timed: Mapping[str, Latency],
    links: Mapping[tuple[str, str], str],
) -> dict[str, str]:
    """Digest of all that the page says, its own templates and code included.

    The command that wrote it is left out: another spelling of it is no news.
    """
    from benchmark.digest import sources

    return {
        "digest": fingerprint(
            {
                "manifest": manifest.model_dump(mode="json", exclude=_NO_NEWS),
                "records": sorted((record.fingerprint, record.ended) for record in trials),
                "failures": sorted((failure.fingerprint, failure.attempt) for failure in failures.values()),
                "latencies": [timed[key].model_dump(mode="json") for key in sorted(timed)],
                "links": sorted((*key, url) for key, url in links.items()),
                "code": sources("reports"),
            }
        )
    }
