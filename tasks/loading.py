"""Data from the Hub, a local folder or the bundled sample, and what identifies it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tasks.checks import check
from tasks.errors import BadInput, first_line
from tasks.paths import from_home
from tasks.task import Task

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

BUNDLED = Path(__file__).parent / "bundled" / "data"
"""What the source `bundled` stands for."""

HUB_ID = re.compile(r"(?P<path>[\w.-]+/[\w.-]+?)(@(?P<revision>[0-9a-f]{40}))?")
_NO_DATA = re.compile(r'Instruction "(\w+)" corresponds to no data')
# Written in C where PyYAML was built with it: every trial reads the card.
_SAFE_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_FRONT_MATTER = re.compile(r"---\n(.*?)\n---", re.DOTALL)


def load(task: Task, source: str, offline: bool = False) -> DatasetDict:
    """Load and check the official `train` and `validation` splits of a task, the latter maybe of several.

    Args:
        task: what to load.
        source: `bundled`, a folder laid out as `nyu-mll/glue` is, or a Hub id. The task's own Hub id is read
            at the task's pinned revision, another one names its commit: `name/data@<40 hex digits>`.
        offline: read the Hub's data from the local cache and never touch the network.

    Raises:
        BadInput: the source cannot be read, or is not what the task declares.
    """
    place = _locate(task, source)
    data = _read_folder(task, place) if isinstance(place, Path) else _read_hub(task, place, offline)
    check(task, data, source)
    return type(data)(train=data["train"], validation=_joined([data[name] for name in task.validation]))


def _joined(splits: list[Dataset]) -> Dataset:
    from datasets import concatenate_datasets

    return splits[0] if len(splits) == 1 else concatenate_datasets(splits)


def identity(task: Task, source: str) -> dict[str, str]:
    """Return what identifies the data: `revision` on the Hub, for folders the `sha256` of the task's files.

    Reads files but neither imports the data libraries nor touches the network.

    Raises:
        BadInput: the source is not there, has no such task, or is a Hub id without a commit.
    """
    place = _locate(task, source)
    if isinstance(place, Path):
        return {"sha256": _folder_digest(task, place)}
    return {"revision": place.revision}


@dataclass(frozen=True)
class _Pinned:
    """A data set on the Hub at one commit."""

    path: str
    revision: str


def _locate(task: Task, source: str) -> Path | _Pinned:
    folder = BUNDLED if source == "bundled" else from_home(source)
    if folder.is_dir():
        return folder.resolve()
    match = HUB_ID.fullmatch(source)
    if not match:
        raise BadInput(
            f"data: {source!r} is neither a folder nor a Hub id; give 'bundled', 'nyu-mll/glue' or a folder "
            "laid out like it"
        )
    path = match["path"]
    revision = match["revision"] or (task.revision if path == task.path else None)
    if not revision:
        own = f" Task {task.name!r} is declared for 'data: {task.path}'." if path != task.path else ""
        raise BadInput(
            f"data: {source!r} is no folder, and as a Hub id it must name the commit, so that results stay "
            f"comparable: '{path}@<40 hex digits>' (on the data set's page under Files, History).{own}"
        )
    return _Pinned(path, revision)


def _read_folder(task: Task, folder: Path) -> DatasetDict:
    import datasets

    cache = folder_cache(_folder_digest(task, folder))
    try:
        with quiet(offline=True):
            return datasets.load_dataset(str(folder), task.config, cache_dir=cache)
    except (datasets.exceptions.DatasetsError, ValueError, OSError) as error:
        raise BadInput(
            f"data: {folder} cannot be read as task {task.name!r}: {reason(error)}; compare its layout with "
            "nyu-mll/glue's"
        ) from error


def _read_hub(task: Task, hub: _Pinned, offline: bool) -> DatasetDict:
    import datasets

    try:
        with quiet(offline):
            data = datasets.load_dataset(hub.path, task.config, revision=hub.revision)
    except datasets.exceptions.DatasetNotFoundError as error:
        raise BadInput(f"data: {hub.path!r} at {hub.revision}: {reason(error)}; check the id") from error
    except MemoryError:
        raise
    except Exception as error:  # what the Hub's HTTP client raises depends on the client's version
        advice = (
            "run `leanboard prefetch` once online, or give a folder or 'bundled'"
            if offline
            else "check the network; data that `leanboard prefetch` has fetched is read with `--offline`"
        )
        raise BadInput(
            f"data: task {task.name!r} cannot be read from {hub.path!r}{' offline' * offline}: "
            f"{reason(error)}; {advice}"
        ) from error
    check_revision(data, hub.path, hub.revision)
    return data


def check_revision(data: Mapping[str, Dataset], path: str, revision: str) -> None:
    """Refuse another commit: without the Hub, `load_dataset` takes whatever it cached last.

    Raises:
        BadInput: what was loaded is not `revision`.
    """
    for split in data.values():
        for file in split.cache_files:
            cached = Path(file["filename"]).parent
            if cached.name != revision:
                raise BadInput(
                    f"data: the newest cached copy of {path!r} is commit {cached.name}, "
                    f"not {revision}; remove {cached} and run `leanboard prefetch` once online"
                )


def folder_cache(digest: str) -> str:
    """Where `datasets` keeps its copy of a folder of this content.

    The library's own cache knows folders by their last name alone, and changed files not at all.
    """
    import datasets

    return str(Path(datasets.config.HF_DATASETS_CACHE) / "leanboard" / digest[:32])


@contextmanager
def quiet(offline: bool) -> Iterator[None]:
    """Silence progress bars and log of `datasets`; with `offline`, also its use of the network.

    `datasets` reads HF_HUB_OFFLINE once, when it is imported, so its own switch is turned here.
    """
    import datasets

    bars, level = datasets.are_progress_bars_disabled(), datasets.logging.get_verbosity()
    switch = datasets.config.HF_HUB_OFFLINE
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    datasets.config.HF_HUB_OFFLINE = switch or offline
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = switch
        datasets.logging.set_verbosity(level)
        if not bars:
            datasets.enable_progress_bars()


def reason(error: BaseException) -> str:
    """Return the first line of the innermost cause: `datasets` wraps what went wrong."""
    while error.__cause__ is not None:
        error = error.__cause__
    first = first_line(error)
    empty = _NO_DATA.search(first)
    return f"split {empty[1]!r} is empty" if empty else first


def _folder_digest(task: Task, folder: Path) -> str:
    """Digest of the names and contents of the task's files and of the layout that maps them to splits."""
    digest = hashlib.sha256(json.dumps(_layout(task, folder), sort_keys=True).encode())
    for file in _files(task, folder):
        facts = file.stat()
        content = file_digest(file, facts.st_size, facts.st_mtime_ns)
        digest.update(f"\n{file.relative_to(folder).as_posix()} {content}".encode())
    return digest.hexdigest()


# Without a limit: a corpus may have more files than any, and each trial asks for all of them in turn.
@cache
def file_digest(file: Path, size: int, mtime_ns: int) -> str:
    """Sha256 of a file; size and time are part of the cache's key, so a changed file is read anew."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _files(task: Task, folder: Path) -> list[Path]:
    """Return the task's data files, sorted.

    Raises:
        BadInput: there are none.
    """
    layout = _layout(task, folder)
    patterns = _patterns(layout.get("data_files", f"{layout.get('data_dir', '.')}/**/*"))
    found = {file for pattern in patterns for file in folder.glob(pattern) if file.is_file()}
    files = sorted(file for file in found if file.name != "README.md" and not file.name.startswith("."))
    if not files:
        raise BadInput(
            f"data: {folder} holds no files for task {task.name!r} (looked for {', '.join(patterns)})"
        )
    return files


def _layout(task: Task, folder: Path) -> dict[str, Any]:
    """Return the entry of the folder's README.md that says which files a configuration consists of.

    Raises:
        BadInput: the folder does not have the task's configuration.
    """
    if task.config is None:
        return {}
    configs = _card(folder).get("configs") or []
    for config in configs:
        if config.get("config_name") == task.config:
            return config
    names = ", ".join(str(config.get("config_name")) for config in configs) or "none"
    raise BadInput(
        f"data: {folder} has no task {task.name!r}: its README.md lists no configuration {task.config!r} "
        f"(listed: {names}); lay it out as nyu-mll/glue is"
    )


def _card(folder: Path) -> dict[str, Any]:
    """Return the YAML at the head of the folder's README.md, as the Hub's data set cards have it."""
    readme = folder / "README.md"
    match = _FRONT_MATTER.match(readme.read_text(encoding="utf-8")) if readme.is_file() else None
    try:
        card = yaml.load(match[1], Loader=_SAFE_LOADER) if match else None
    except yaml.YAMLError as error:
        raise BadInput(f"data: the head of {readme} is no YAML: {error}") from error
    return card if isinstance(card, dict) else {}


def _patterns(data_files: Any) -> list[str]:
    """Return the file patterns of a `data_files` entry: one, a list of them, or splits with a `path` each."""
    if isinstance(data_files, str):
        return [data_files]
    if isinstance(data_files, dict):
        return _patterns(data_files["path"])
    return [pattern for item in data_files for pattern in _patterns(item)]
