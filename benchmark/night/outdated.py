"""Which records a night makes again: those of other code or libraries, and all that started from such."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Literal

from benchmark.digest import digest
from benchmark.plan.plan import Plan
from benchmark.store.store import Store
from reports.record import Record

FILE = "nights/outdated.json"

Refresh = Literal["changed", "all"]


class Outdated:
    """Records that wait to be made again, remembered in the store until a night has made them all.

    A record stays whole until its successor is written over it. What was outdated is kept in a file, because
    after an interrupted night it can no longer be seen: a record of today's code may have started from a
    prerequisite that has been made again since.

    Args:
        store: the output.
        night: the night's name; the same night goes on where it was interrupted.
        refresh: `changed` or `all`.
    """

    def __init__(self, store: Store, night: str, refresh: Refresh) -> None:
        self.store = store
        self.night = night
        self.refresh = refresh
        known = store.read_json(FILE) or {}
        self.same_night = known.get("night") == night
        resumed = self.same_night or not known.get("over", True)
        self.began = known.get("began", time.time()) if resumed else time.time()
        """Of the night, or of a killed one that it resumes after midnight; what ended since is tonight's."""
        self._known: dict[str, dict[str, Any]] = known.get("records", {})

    @property
    def redo(self) -> dict[str, float]:
        """`ended` by fingerprint of the records that do not count, as `sweep.Options.redo` wants it."""
        return {key: entry["ended"] for key, entry in self._known.items()}

    def add(self, plan: Plan, records: Mapping[str, Record]) -> None:
        """Find what of a plan must be made again, and write it down before anything is."""
        if not self.same_night:
            # Records that an earlier, unfinished night has made again are done; the rest still waits.
            self._known = {
                k: e for k, e in self._known.items() if k not in plan.nodes or _waits(e, records, k)
            }
        outdated: set[str] = set()
        for key, node in plan.nodes.items():
            record = records.get(key)
            if record is None:
                continue
            if (
                record.digest != digest(type(node.work).__module__)
                or (self.refresh == "all" and key not in self._known and record.ended < self.began)
                or any(need in outdated for need in node.builds_on)
            ):
                self._known[key] = _entry(record, self._known.get(key))
            if key in self._known and _waits(self._known[key], records, key):
                outdated.add(key)
        self._write()
        # A further plan of tonight, of fresh seeds, shares prerequisites that tonight has made.
        self.same_night = True

    def settle(self, records: Mapping[str, Record]) -> None:
        """Forget what has been made again and remove its earlier payload; what failed waits on.

        Args:
            records: all records of the plans that were added.
        """
        waiting = {}
        for key, entry in self._known.items():
            if key in records and not _waits(entry, records, key):
                self.store.discard(key, entry["attempts"])
            else:
                waiting[key] = entry
        self._known = waiting
        if waiting:
            self._write(over=True)
        elif self.store.fs.exists(self.store.path(*FILE.split("/"))):
            self.store.fs.rm_file(self.store.path(*FILE.split("/")))

    def _write(self, *, over: bool = False) -> None:
        """Write down what waits; a night that is `over` is not resumed by the next one."""
        content = {"night": self.night, "began": self.began, "over": over, "records": self._known}
        self.store.write_json(FILE, content)


def _entry(record: Record, known: Mapping[str, Any] | None) -> dict[str, Any]:
    attempts = {file.attempt for file in record.files.values()}
    return {"ended": record.ended, "attempts": sorted(attempts.union(known["attempts"] if known else ()))}


def _waits(entry: Mapping[str, Any], records: Mapping[str, Record], key: str) -> bool:
    return key in records and records[key].ended == entry["ended"]
