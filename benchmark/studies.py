"""From the store to the tables and figures of studies; made again only when what they show has changed."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.plan.fingerprint import fingerprint
from benchmark.publish import published_state, readable, write
from benchmark.store.manifest import Manifest
from benchmark.store.store import Store
from reports.board import StudyFacts
from reports.record import Record
from tasks.errors import BadInput

if TYPE_CHECKING:
    from reports.studies.content import Report

FOLDER = "studies"


@dataclass(frozen=True)
class PublishedStudy:
    """Where a study's files lie and what it says."""

    label: str
    folder: Path
    """A local folder with its files; a copy where the output is an object store."""
    page: str
    """Path or URL of `index.md`."""
    conclusion: tuple[str, ...]
    """What it found, in sentences."""
    stamp: str
    """Digest of all that it shows."""


def publish_studies(
    store: Store, manifest: Manifest, records: Iterable[Record], *, force: bool = False
) -> list[PublishedStudy]:
    """Write `studies/<label>/` for every study of the manifest that has a record.

    Args:
        store: the output folder.
        manifest: what was to be run.
        records: the whole records of its nodes.
        force: make the files even if nothing has changed.
    """
    by_key = {record.fingerprint: record for record in records}
    found = []
    for study in manifest.studies:
        planned = manifest.reported(study)
        own = [by_key[key] for key in planned if key in by_key]
        if own:
            missing = len(planned) - len(own)
            if study.rows:
                own += [by_key[key] for key in manifest.rows() if key in by_key and key not in planned]
            found.append(_publish(store, manifest, study, own, missing, force))
    return found


def _publish(
    store: Store, manifest: Manifest, study: StudyFacts, records: list[Record], missing: int, force: bool
) -> PublishedStudy:
    name = f"{FOLDER}/{study.label.replace('/', '_')}"
    stamp = _stamp(manifest, study, records, missing)
    folder, state = readable(store, name), published_state(store, name)
    if force or state is None or state["stamp"] != stamp or not (folder / "index.md").exists():
        from reports import decisions, predictions
        from reports.decisions import Decisions
        from reports.studies.content import collapsed_starts, render

        def read(record: Record) -> dict[str, Decisions]:
            if record.kind == "trial":
                own = predictions.read(store.open(record, "predictions.parquet"))
                return {decisions.RESULT: Decisions.of(own)}
            return decisions.read(store.open(record, decisions.FILE))

        findings = find_report(study)(study, manifest.sweep, records, read)
        # Reports of the sweep's methods know of such rows by themselves.
        collapsed = collapsed_starts(manifest.sweep, (one for one in records if one.kind == "study"))
        findings = replace(findings, conclusion=[*collapsed, *findings.conclusion])
        state = {"stamp": stamp, "conclusion": findings.conclusion}
        write(store, name, render(findings, study, manifest.notes, missing), state)
    page = store.address(name, "index.md")
    return PublishedStudy(study.label, folder, page, tuple(state["conclusion"]), stamp)


def find_report(study: StudyFacts) -> Report:
    """Import what reports on a study.

    Raises:
        BadInput: it cannot be imported.
    """
    module, _, function = study.report.partition(":")
    try:
        return getattr(importlib.import_module(module), function)
    except Exception as error:  # A plug-in's module may raise anything.
        raise BadInput(
            f"study {study.label}: its report {study.report!r} cannot be imported: {error!r}; fix its package"
        ) from error


def _stamp(manifest: Manifest, study: StudyFacts, records: list[Record], missing: int) -> str:
    """Digest of all that the study shows, the code of its report included."""
    from benchmark.digest import sources

    content: dict[str, Any] = {
        "study": study.model_dump(mode="json"),
        "sweep": manifest.sweep.model_dump(mode="json", exclude={"command", "config", "methods"}),
        "notes": manifest.notes,
        "records": sorted((record.fingerprint, record.ended) for record in records),
        "missing": missing,
        "code": sources("reports"),
    }
    return fingerprint(content)
