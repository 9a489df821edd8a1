"""Archives: the records of an output folder in one file small enough to publish, and back again."""

from __future__ import annotations

import io
import re
import shlex
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.store.files import sha256
from benchmark.store.manifest import FILE, Manifest
from benchmark.store.store import Store
from reports.flatten import flatten
from reports.record import Record
from tasks.cache import cache_folder
from tasks.errors import BadInput

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""Every member's time of change: equal records give an equal file."""

_LEADS_THERE = re.compile(r"^(?:file:/*|~?/|[A-Za-z]:[\\/])(?:.*[\\/](?=[^\\/]))?")
"""What stands before the last name of a path from a root, a home or a drive."""

_BETWEEN = re.compile(r"([\[\]{},]\s*|:\s+)")
"""What parts the entries of a list or a mapping in YAML."""


_LATENCY = re.compile(r"latency/[0-9a-f]+\.json")
_INSIDE = re.compile(r"(?!.*(?:^|/)\.{0,2}(?:/|$))[^\\]+")
"""A relative path that stays in its folder."""

_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError)
"""What reading a member raises where bytes of the archive are lost, changed or encrypted."""


@dataclass(frozen=True)
class Packed:
    """What an archive holds."""

    records: int
    bytes: int


def pack(store: Store, manifest: Manifest, target: Path) -> Packed:
    """Write the whole records of a manifest into an archive: predictions and artifacts, no weights.

    Nothing in it says where on this machine files lay, unless a field of a method does.
    A record whose weights are left out is one other nodes cannot start from; its row still counts.

    Args:
        store: the output folder.
        manifest: which records, and what they are the result of.
        target: the archive, written whole or not at all.

    Raises:
        BadInput: there is no record, or the file cannot be written.
    """
    found = manifest.scan(store).records
    if not found:
        raise BadInput(f"{store.url}: no finished trial to export")
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        _add(archive, FILE, _placeless(manifest).model_dump_json(indent=1).encode())
        for key, record in sorted(found.items()):
            bare = _bare(record)
            _add(archive, f"records/{key}/record.json", bare.model_dump_json(indent=1).encode())
            for role in bare.files:
                with store.open(record, role) as file:
                    _add(archive, f"records/{key}/{bare.files[role].path}", file.read())
        for path in sorted(store.fs.glob(store.path("latency", "*.json"))):
            _add(archive, f"latency/{path.rsplit('/', 1)[-1]}", store.fs.cat_file(path))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        Store(str(target.parent.resolve())).write_bytes(target.name, content.getvalue())
    except OSError as error:
        raise BadInput(f"{target}: cannot be written: {error}; choose another file") from None
    return Packed(len(found), target.stat().st_size)


@dataclass(frozen=True)
class Unpacked:
    """What became of an archive's records."""

    new: int
    """Brought into the store."""
    there: int
    """Wanted, and in the store already."""
    total: int
    """In the archive, wanted or not."""


def unpack(archive: Path, store: Store, wanted: Iterable[str] | None = None) -> Unpacked:
    """Bring the records of an archive into a store that has none of that fingerprint.

    Args:
        archive: a file that `pack` wrote.
        store: where they go.
        wanted: fingerprints to bring; all by default.

    Raises:
        BadInput: it is no archive of records, or a file in it is damaged.
    """
    with _opened(archive) as content, tempfile.TemporaryDirectory(prefix="leanboard-") as folder:
        inside = _inside(content)
        keys = inside.keys() if wanted is None else inside.keys() & set(wanted)
        new = sorted(keys - store.scan(keys).records.keys())
        for key in new:
            record = _record(archive, key, _read(content, inside[key]))
            files = {}
            for role, file in record.files.items():
                files[role] = Path(folder, key, file.path)
                files[role].parent.mkdir(parents=True, exist_ok=True)
                files[role].write_bytes(_read(content, f"records/{key}/{file.path}"))
                if sha256(files[role]) != file.sha256:
                    raise BadInput(f"{archive}: {file.path} of record {key[:12]} is damaged; fetch it again")
            attempt = next(iter(record.files.values())).attempt if record.files else "archived"
            store.put(record, attempt, files)
        for name in content.namelist():
            if _LATENCY.fullmatch(name) and not store.fs.exists(store.path(name)):
                store.write_bytes(name, _read(content, name))
    return Unpacked(len(new), len(keys) - len(new), len(inside))


def differences(archive: Path, decides: Mapping[tuple[str, str, int], Mapping[str, Any]]) -> list[str]:
    """Return the parts in which trials of an archive differ from others of their label, task and seed.

    Args:
        archive: a file that `pack` wrote.
        decides: what decides a trial, by label, task and seed.
    """
    found: set[str] = set()
    with _opened(archive) as content:
        for key, name in _inside(content).items():
            record = _record(archive, key, _read(content, name))
            own = decides.get((record.label, record.task, record.seed))
            if own is not None:
                here, there = flatten(own), flatten(record.decides)
                found |= {name for name in here.keys() | there.keys() if here.get(name) != there.get(name)}
    # What a trial starts from differs for one of the other reasons.
    return sorted(name for name in found if name.partition(".")[0] != "needs") or sorted(found)


def _inside(content: zipfile.ZipFile) -> dict[str, str]:
    """Names of the record.json files by fingerprint."""
    names = content.namelist()
    if FILE not in names:
        raise BadInput(f"{content.filename}: is no archive that `leanboard export` wrote: it holds no {FILE}")
    return {name.split("/")[1]: name for name in names if name.endswith("/record.json")}


def open_archive(archive: Path) -> tuple[Store, Manifest]:
    """Unpack an archive into a folder of the cache and open that as an output folder.

    Raises:
        BadInput: it is no archive of records, or of another version.
    """
    with _opened(archive) as content:
        try:
            manifest = Manifest.model_validate_json(_read(content, FILE))
        except (KeyError, ValueError) as error:
            raise BadInput(f"{archive}: holds no {FILE} of this version") from error
    store = Store(str(cache_folder() / "archives" / sha256(archive)[:16]), cache_folder())
    unpack(archive, store)
    manifest.write(store)
    return store, manifest


def _opened(archive: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except (OSError, zipfile.BadZipFile) as error:
        raise BadInput(f"{archive}: is no archive that `leanboard export` wrote: {error}") from None


def _read(content: zipfile.ZipFile, name: str) -> bytes:
    try:
        return content.read(name)
    except _DAMAGE as error:
        raise BadInput(f"{content.filename}: {name} is damaged: {error}; fetch the archive again") from None


def _record(archive: Path, key: str, text: bytes) -> Record:
    """Read a record that may come from anyone: it is of its fingerprint, and no file leaves its folder.

    Raises:
        BadInput: it is damaged, of another version, or leads out of the folder.
    """
    try:
        record = Record.model_validate_json(text)
    except ValueError as error:
        raise BadInput(f"{archive}: record {key[:12]} is damaged or of another version: {error}") from None
    names = [key, *record.files, *(file.path for file in record.files.values())]
    if record.fingerprint != key or not all(map(_INSIDE.fullmatch, names)):
        raise BadInput(f"{archive}: record {key[:12]} is not one that `leanboard export` wrote")
    return record


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, zipfile.ZIP_DEFLATED, compresslevel=9)


def _placeless(manifest: Manifest) -> Manifest:
    """The manifest whose command and settings name files of this machine by their last name."""
    sweep = manifest.sweep
    words = [_last_name(word) for word in shlex.split(sweep.command)]
    changes = {"command": shlex.join(words), "config": _last_names(sweep.config)}
    untimed = " ".join(map(_last_name, manifest.untimed.split()))
    return manifest.model_copy(update={"sweep": sweep.model_copy(update=changes), "untimed": untimed})


def _last_names(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _last_names(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_last_names(each) for each in value]
    return _last_name(value) if isinstance(value, str) else value


def _last_name(word: str) -> str:
    """A word with each path from a root, alone, behind `KEY=` or in a list, as the last name of it."""
    key, equals, value = word.rpartition("=")
    parts = _BETWEEN.split(value) if value[:1] in ("[", "{") else [value]
    return key + equals + "".join(_LEADS_THERE.sub("", part) for part in parts)


def _bare(record: Record) -> Record:
    """The record without weights and without the places of the machine it was made on."""
    source = str(record.data.get("source", ""))
    data = record.data | ({"source": Path(source).name} if Path(source).is_absolute() else {})
    environment = {name: value for name, value in record.environment.items() if name != "host"}
    left_out = record.result_files
    files = {role: file for role, file in record.files.items() if role not in left_out}
    return record.model_copy(update={"data": data, "environment": environment, "files": files})
