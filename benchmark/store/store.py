"""The store: records whole or absent, in a folder or an object store, safe against a kill at any instant.

Layout below the store's root::

    records/<fingerprint>/<attempt>/...              payload: predictions, results other nodes start from
    records/<fingerprint>/record.json                written last; names every file with size and sha256
    records/<fingerprint>/started-<attempt>.json     an attempt began: time, deadline, host
    records/<fingerprint>/failure-<attempt>.json     an attempt failed: kind, message, traceback

Only a record.json whose files verify counts. Two writers of one fingerprint each have an attempt folder of
their own, so the last record.json wins and both are whole.
"""

from __future__ import annotations

import contextlib
import errno
import json
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from benchmark.plan.fingerprint import fingerprint
from benchmark.store.fetched import fetch
from benchmark.store.files import Root, sha256
from benchmark.store.verification import Verifier
from reports.record import Failure, File, Record

# An object store answers one request after the other slowly, and many at once quickly.
_READERS = 16


@dataclass
class Scan:
    """What a look into the store found."""

    records: dict[str, Record] = field(default_factory=dict)
    """Whole records by fingerprint."""
    damaged: dict[str, str] = field(default_factory=dict)
    """Why a record.json that is there does not count, by fingerprint."""

    def results(self) -> dict[str, bool]:
        """For every whole record, whether it holds a result other nodes can start from."""
        return {key: has_result(record) for key, record in self.records.items()}

    def under(self, labels: Mapping[str, str]) -> Scan:
        """The same records under the labels that a sweep has for these fingerprints.

        One trial may stand under several: a label shows a number given by task as `by-task`, and the same
        number given for all tasks as itself. A record's own label is the one it was written under.
        """
        records = {
            key: record
            if labels.get(key, record.label) == record.label
            else record.model_copy(update={"label": labels[key]})
            for key, record in self.records.items()
        }
        return Scan(records, self.damaged)


def has_result(record: Record) -> bool:
    """Whether the record holds files other nodes start from, such as weights."""
    return bool(record.result_files)


class Store(Root):
    """Records under one root.

    Args:
        root: a folder or an fsspec URL such as `s3://bucket/sweep`.
        cache: local folder for what is fetched from a remote store.
    """

    def __init__(self, root: str, cache: Path | None = None) -> None:
        super().__init__(root)
        self.cache = cache
        self._verifier = Verifier(self)

    # -- reading ---------------------------------------------------------------------------------------

    def scan(self, fingerprints: Iterable[str] | None = None) -> Scan:
        """Find whole records, all or those named; sizes and hashes are verified.

        A file's hash is computed once and remembered with its size and time of change, so a second scan
        of an unchanged store reads only the record.json files.
        """
        listing = self._listing()
        wanted = None if fingerprints is None else set(fingerprints)
        keys = [
            key
            for key in sorted({path.split("/", 1)[0] for path in listing})
            if (wanted is None or key in wanted) and f"{key}/record.json" in listing
        ]
        self._verifier.recall()
        found = Scan()
        with ThreadPoolExecutor(_READERS) as pool:
            for key, text in zip(keys, pool.map(self._text, keys), strict=True):
                try:
                    found.records[key] = self._verified(key, text, listing)
                except ValueError:
                    self._look_again(key, found)
        self._verifier.remember()
        return found

    def _look_again(self, key: str, found: Scan) -> None:
        """Tell damage from a record that another process wrote after the files were listed."""
        try:
            found.records[key] = self._verified(key, self._text(key), self._listing(key))
        except ValueError as error:
            found.damaged[key] = str(error)

    def read(self, key: str, *, fetching: str = "") -> Record | None:
        """The record of one fingerprint if it is whole, else None.

        Args:
            key: the fingerprint.
            fetching: the role that `fetch` is asked for next. Of a remote store its files are compared by
                size alone here: `fetch` hashes what arrives, and reading them twice takes twice as long.
        """
        try:
            trusted = "" if self.local else fetching
            return self._verified(key, self._text(key), self._listing(key), trusted)
        except ValueError:
            return None

    def holds(self, key: str, *, replaced: float | None = None) -> bool:
        """Whether there is a record of a fingerprint other than the one that ended at `replaced`.

        Its files are unchecked.
        """
        text = self._text(key)
        return bool(text) and (replaced is None or self.parse(key).ended != replaced)

    def parse(self, key: str) -> Record:
        """The record of a fingerprint, its files unchecked: for one that was written just now."""
        return Record.model_validate_json(self._text(key))

    def failure(self, key: str, attempt: str) -> Failure | None:
        """The failure of one attempt; None if it could not be written down."""
        content = self.read_json(f"records/{key}/failure-{attempt}.json")
        return None if content is None else Failure.model_validate(content)

    def open(self, record: Record, role: str) -> Any:
        """Open one file of a record for reading, e.g. role `predictions.parquet`."""
        return self.fs.open(self.path("records", record.fingerprint, record.files[role].path), "rb")

    def place(self, record: Record, role: str) -> str:
        """Path or URL of the folder that holds the record's files under `role`/."""
        inside = next(file for name, file in record.files.items() if name.startswith(f"{role}/"))
        return self.address("records", record.fingerprint, inside.attempt, role)

    def fetch(self, record: Record, role: str) -> Path:
        """A local folder with the record's files under `role`/ (e.g. `result`); downloads when remote."""
        inside = [file for name, file in record.files.items() if name.startswith(f"{role}/")]
        if not inside:
            raise FileNotFoundError(f"record {record.fingerprint[:12]} of {record.label} holds no {role}")
        attempt = inside[0].attempt
        if self.local:
            return Path(self.path("records", record.fingerprint, attempt, role))
        assert self.cache is not None
        target = self.cache / "fetched" / record.fingerprint / attempt
        fetch(self, record.fingerprint, inside, target)
        return target / role

    def failures(self, fingerprints: Iterable[str]) -> dict[str, Failure]:
        """The latest failure of each fingerprint that has one."""
        wanted = set(fingerprints)
        latest: dict[str, Failure] = {}
        for path in sorted(self._listing()):
            key, _, name = path.partition("/")
            if key in wanted and name.startswith("failure-") and name.endswith(".json"):
                try:
                    failure = Failure.model_validate_json(self.fs.cat_file(self.path("records", path)))
                except ValidationError:  # Half a file tells nothing; the node is run again anyway.
                    continue
                if key not in latest or failure.ended > latest[key].ended:
                    latest[key] = failure
        return latest

    def attempts(self, keys: Collection[str]) -> dict[str, set[str]]:
        """Names of the attempts that have left payload, by fingerprint."""
        found: dict[str, set[str]] = {}
        for path in self._listing():
            key, *inside = path.split("/")
            if key in keys and len(inside) > 1:
                found.setdefault(key, set()).add(inside[0])
        return found

    def started(self, key: str, attempt: str) -> dict[str, Any] | None:
        """What an attempt wrote down when it began; None if it never got that far."""
        path = self.path("records", key, f"started-{attempt}.json")
        return json.loads(self.fs.cat_file(path)) if self.fs.exists(path) else None

    # -- writing ---------------------------------------------------------------------------------------

    def begin(self, key: str, attempt: str, facts: Mapping[str, Any]) -> None:
        """Write down that an attempt began."""
        self.write_json(f"records/{key}/started-{attempt}.json", facts)

    def put(self, record: Record, attempt: str, files: Mapping[str, Path]) -> Record:
        """Write a record with its payload: the files first, record.json last.

        Args:
            record: the record, its `files` still empty.
            attempt: names this attempt's folder.
            files: local path of each role's file; the role is also the path below the attempt's folder.

        Returns:
            The record as written.

        Raises:
            OSError: a file cannot be written; nothing of this attempt is left to fill the disk.
        """
        described = {}
        folder = self.path("records", record.fingerprint, attempt)
        for role, source in files.items():
            try:
                self.put_file(source, f"{folder}/{role}")
            except OSError as error:
                with contextlib.suppress(OSError):
                    if self.fs.exists(folder):
                        self.fs.rm(folder, recursive=True)
                size = source.stat().st_size / 1e6
                full = error.errno in (errno.ENOSPC, errno.EDQUOT)
                raise OSError(
                    f"{role} of {record.label} ({size:.0f} MB) cannot be kept in {self.url}: {error}; "
                    f"{'make room and ' if full else ''}run the same command again"
                ) from error
            described[role] = File(
                path=f"{attempt}/{role}", size=source.stat().st_size, sha256=sha256(source)
            )
        whole = record.model_copy(update={"files": described})
        whole = whole.model_copy(update={"sha256": _seal(whole.model_dump_json())})
        self.write_text(f"records/{record.fingerprint}/record.json", whole.model_dump_json(indent=1))
        return whole

    def fail(self, failure: Failure) -> None:
        """Write down a failed attempt."""
        path = f"records/{failure.fingerprint}/failure-{failure.attempt}.json"
        self.write_text(path, failure.model_dump_json(indent=1))

    def discard(self, key: str, attempts: Iterable[str]) -> None:
        """Remove the payload of attempts that no record names."""
        for attempt in attempts:
            for path in (
                self.path("records", key, attempt),
                self.path("records", key, f"started-{attempt}.json"),
            ):
                if self.fs.exists(path):
                    self.fs.rm(path, recursive=True)

    # -- verification ----------------------------------------------------------------------------------

    def _listing(self, key: str = "") -> dict[str, dict[str, Any]]:
        """Every file below records/ (or one record's folder) with its info, by path below records/."""
        base = self.path("records")
        folder = f"{base}/{key}" if key else base
        if not self.fs.exists(folder):
            return {}
        self.fs.invalidate_cache()
        found = self.fs.find(folder, detail=True)
        return {path.removeprefix(base).lstrip("/"): info for path, info in found.items()}

    def _text(self, key: str) -> bytes:
        """The bytes of one record.json; empty where there is none, or a local one cannot be read: damage too.

        Raises:
            OSError: a remote store does not answer as it should, which says nothing of the record.
        """
        try:
            return self.fs.cat_file(self.path("records", key, "record.json"))
        except OSError as error:
            if self.local or isinstance(error, FileNotFoundError):
                return b""
            raise

    def _verified(
        self, key: str, text: bytes, listing: Mapping[str, Mapping[str, Any]], trusted: str = ""
    ) -> Record:
        """Parse and check one record, hashes of a trusted role aside; raises ValueError with the damage."""
        try:
            record = Record.model_validate_json(text)
        except ValidationError as error:
            raise ValueError(f"record.json is not a record: {error.errors()[0]['msg']}") from None
        if record.fingerprint != key or fingerprint(record.decides) != key:
            raise ValueError("record.json does not belong to this fingerprint")
        if _seal(text) != record.sha256:
            raise ValueError("record.json has changed since it was written")
        for role, file in record.files.items():
            path = f"{key}/{file.path}"
            hashed = not (trusted and role.startswith(f"{trusted}/"))
            self._verifier.check(path, file, listing.get(path), hashed=hashed)
        return record


def _seal(text: str | bytes) -> str:
    """Digest of a record.json without its own `sha256`."""
    return fingerprint({key: value for key, value in json.loads(text).items() if key != "sha256"})
