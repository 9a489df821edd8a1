"""What a night came to, as an exit code and in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.engine import Result
from benchmark.night.nights import Cell, Finding, Night
from reports.record import Failure, Record
from reports.regression import FRESH_SEEDS, Change, Confirmation
from reports.statistics.verdicts import p_text, signed


@dataclass(frozen=True)
class Outcome:
    """A night that ran to its end."""

    name: str
    output: str
    """Path or URL of the night's folder."""
    result: Result
    earlier: Night | None
    """The last published night."""
    trials: Sequence[Record]
    """Tonight's trials."""
    changes: Sequence[Change]
    """Cells made again, against the last published night."""
    confirmations: Sequence[Confirmation]
    """Suspicious cells that were looked at again."""
    failures: Mapping[str, Failure]
    """Of fresh seeds, by fingerprint; those of the sweep are in `result`."""
    still_lost: tuple[Finding, ...]
    """Regressions of earlier nights that have not been made good."""
    environment: Mapping[str, Any]
    """Commit and libraries."""
    idle: bool
    """Whether no trial was made since the last published night, so that nothing was tested."""
    published: bool

    @property
    def exit_code(self) -> int:
        """3: a confirmed regression; 1: a trial has no result, or nothing was run; 0: neither."""
        if any(confirmation.confirmed for confirmation in self.confirmations):
            return 3
        return 0 if self.published else 1

    def lines(self) -> Iterator[str]:
        """What was done, what changed since the last published night, and what that is worth."""
        yield self._done()
        if self.earlier:
            yield f"Since night {self.earlier.name}: {self._sources(self.earlier)}."
            yield from self._scores(self.earlier)
        elif self.published:
            yield "This is the first night: there is none to compare it with."
        yield self._end()

    def _done(self) -> str:
        planned = len(self.result.manifest.rows())
        if not self.trials:
            return f"Night {self.name}: NOTHING CAME OF IT, all {planned} trials failed."
        if self.earlier is None:
            ran = "" if self.result.ran else "; this command ran none"
            return f"Night {self.name}: {len(self.trials)} of {planned} trials have a result{ran}."
        if self.idle:
            return (
                f"Night {self.name}: NOTHING WAS RUN, so nothing was tested. All {planned} trials were made "
                f"by this code and these libraries before; --refresh all makes them again."
            )
        reused = count_reused(self.earlier, self.trials)
        made = len(self.trials) - reused
        return f"Night {self.name}: {made} of {planned} trials made since the last night, {reused} reused."

    def _sources(self, earlier: Night) -> str:
        """What changed in sources and libraries."""
        parts = []
        was, now = (each.get("git", {}) for each in (earlier.environment, self.environment))
        if was.get("commit") != now.get("commit"):
            parts.append(f"commit {_commit(was)} → {_commit(now)}")
        libraries = earlier.environment.get("libraries", {})
        for name, version in self.environment["libraries"].items():
            if libraries.get(name) != version:
                parts.append(f"{name} {libraries.get(name, 'absent')} → {version}")
        digests = {trial.fingerprint: trial.digest for trial in earlier.trials}
        labels = {r.label for r in self.trials if digests.get(r.fingerprint, r.digest) != r.digest}
        if labels and not any("→" in part and not part.startswith("commit") for part in parts):
            parts.append(f"the code of {', '.join(sorted(labels))}")
        return "; ".join(parts) or "same code, same libraries"

    def _scores(self, earlier: Night) -> Iterator[str]:
        judged = {(c.change.label, c.change.task): c for c in self.confirmations}
        told = False
        for change in self.changes:
            confirmation = judged.get((change.label, change.task))
            if change.suspicious:
                yield _suspicion(change, confirmation)
                told = True
            elif change.real:
                yield f"Better: {_moved(change)}."
                told = True
        if single := [change for change in self.changes if change.p is None]:
            yield f"Not tested, because one seed says nothing about others: {_cells(single)}."
        if self.changes and not told:
            largest = max(self.changes, key=lambda change: abs(change.estimate.mean))
            points, where = signed(largest.estimate.mean), _cells([largest])
            yield (
                f"No change beyond noise in {len(self.changes)} cells made again; "
                f"the largest difference: {points} points, {where}."
            )
        if other := self._not_comparable(earlier):
            yield f"Not compared, because settings, data or a method's version changed: {', '.join(other)}."
        for finding in self.still_lost:
            yield (
                f"Still lost since night {finding.night}: {finding.label} on {finding.task}, "
                f"which was {finding.before:.1f}."
            )

    def _not_comparable(self, earlier: Night) -> list[str]:
        known = {trial.fingerprint for trial in earlier.trials}
        same: set[Cell] = {(r.label, r.task) for r in self.trials if r.fingerprint in known}
        before: set[Cell] = {(trial.label, trial.task) for trial in earlier.trials}
        changed = {(r.label, r.task) for r in self.trials} & before - same
        return [f"{label} on {task}" for label, task in sorted(changed)]

    def _end(self) -> str:
        if self.published:
            return f"Published: {self.output}"
        against = f"; the next night is again compared with {self.earlier.name}" if self.earlier else ""
        missing = self.result.incomplete
        what = f"{missing} of {len(self.result.manifest.rows())} trials have no result"
        if self.idle:
            what = "nothing was run"
        elif not missing:
            what = f"{max(1, len(self.failures))} of the runs with fresh seeds have no result"
        return f"NOT PUBLISHED: {what}{against}."


def count_reused(earlier: Night, trials: Iterable[Record]) -> int:
    """How many trials are the very ones of an earlier night."""
    known = {trial.fingerprint: trial.ended for trial in earlier.trials}
    return sum(known.get(record.fingerprint) == record.ended for record in trials)


def _suspicion(change: Change, confirmation: Confirmation | None) -> str:
    if confirmation is None:
        return f"SUSPICIOUS, fresh seeds failed: {_moved(change)}."
    points = signed(confirmation.estimate.mean)
    again = f"{points} points with {FRESH_SEEDS} fresh seeds, p = {confirmation.p:.3g}"
    if confirmation.confirmed:
        return f"REGRESSION: {_moved(change)}; confirmed: {again}."
    return f"Not confirmed: {_moved(change)}; {again}."


def _moved(change: Change) -> str:
    assert change.p_adjusted is not None
    return (
        f"{change.label} on {change.task}, {change.before:.1f} → {change.now:.1f} "
        f"({signed(change.estimate.mean)} points, {p_text(change.p_adjusted)})"
    )


def _cells(changes: Sequence[Change]) -> str:
    return ", ".join(f"{change.label} on {change.task}" for change in changes)


def _commit(git: Mapping[str, Any]) -> str:
    text = str(git.get("commit") or "unknown")[:10]
    return f"{text} with changes" if git.get("dirty") else text
