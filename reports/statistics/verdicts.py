"""From p-values to words. The order is fixed: equivalent, better or worse, within noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from reports.statistics import combined, power
from reports.statistics.families import Correction, adjust
from reports.statistics.paired import Estimate

Verdict = Literal["better", "worse", "equivalent", "within noise", "none"]
LEVEL = 0.05
MARKS: dict[Verdict, str] = {
    "better": "▲",
    "worse": "▼",
    "equivalent": "=",
    "within noise": "~",
    "none": "·",
}
"""What stands for a verdict where there is room for one letter."""


@dataclass(frozen=True)
class Case:
    """One comparison of a family.

    Attributes:
        estimate: the difference to the baseline, at least two seeds.
        margin: equivalence margin in points.
        median: median paired difference in points.
        steady: the estimate without collapsed runs; None where none collapsed or too few runs would remain.
        where: what the evidence is, e.g. `277 examples and 5 seeds`.
    """

    estimate: Estimate
    margin: float
    median: float
    steady: Estimate | None = None
    where: str = ""

    @property
    def reachable(self) -> bool:
        """Whether any mean could be called equivalent: the 90 % interval fits into the margin."""
        return combined.half_width(self.estimate, LEVEL) <= self.margin


@dataclass(frozen=True)
class Judged:
    """The verdict on a case and the adjusted p-values it follows from."""

    verdict: Verdict
    reason: str
    p_adjusted: float
    p_equivalent_adjusted: float


def decide(mean: float, p: float, p_equivalent: float) -> Verdict:
    """Return the verdict for adjusted p-values of a difference and of equivalence."""
    if p_equivalent <= LEVEL:
        return "equivalent"
    if p <= LEVEL:
        return "better" if mean > 0 else "worse"
    return "within noise"


def judge(family: Sequence[Case], correction: Correction) -> list[Judged]:
    """Judge the cases of one family together.

    A verdict that a collapsed run decides (it changes without that run, or mean and median difference have
    opposite signs) becomes `within noise` and says so.
    """
    differs = [combined.p_value(case.estimate) for case in family]
    equals = [combined.equivalence(case.estimate, case.margin) for case in family]
    p, q = adjust(differs, correction), adjust(equals, correction)
    judged = []
    for i, case in enumerate(family):
        verdict = decide(case.estimate.mean, p[i], q[i])
        depends = ""
        if verdict in ("better", "worse") and case.estimate.mean * case.median < 0:
            run = "a collapsed run" if case.steady else "one run"
            depends = f"depends on {run}: mean and median difference have opposite signs"
        elif case.steady and (other := _without(case, i, differs, equals, correction)) != verdict:
            depends = f"depends on a collapsed run: {verdict} with it, {other} without it"
        if depends:
            verdict = "within noise"
        reason = _reason(case, verdict, p[i], q[i])
        judged.append(Judged(verdict, f"{depends}; {reason}" if depends else reason, p[i], q[i]))
    return judged


def _without(
    case: Case, i: int, differs: Sequence[float], equals: Sequence[float], correction: Correction
) -> Verdict:
    """Return the verdict for case i without its collapsed runs, the rest of the family unchanged."""
    assert case.steady is not None
    p, q = list(differs), list(equals)
    p[i], q[i] = combined.p_value(case.steady), combined.equivalence(case.steady, case.margin)
    return decide(case.steady.mean, adjust(p, correction)[i], adjust(q, correction)[i])


def _reason(case: Case, verdict: Verdict, p: float, q: float) -> str:
    e = case.estimate
    if e.identical:
        return "identical: no draw of seeds or examples shows a difference"
    half = combined.half_width(e, LEVEL / 2)
    low, high = signed(e.mean - half), signed(e.mean + half)
    if verdict == "equivalent":
        real = f"; real but below {case.margin:g}" if p <= LEVEL else ""
        return f"within {case.margin:g} points of the baseline, {p_text(q)}{real}"
    if verdict in ("better", "worse"):
        return f"{signed(e.mean)} points, 95 % interval {low}...{high}, {p_text(p)}"
    text = f"could be {low}...{high}; detectable by one comparison: {power.detectable(e):.1f}"
    if abs(e.mean) > half and p > LEVEL:
        text += f"; the interval leaves out zero, the corrected test does not ({p_text(p)})"
    if not case.reachable:
        text += f"; equivalence within {case.margin:g} points is not reachable with {case.where}"
    return text


def signed(points: float) -> str:
    """Format a difference in points with its sign; a rounded zero has none."""
    text = f"{points:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text


def rounded_p(p: float) -> str:
    """Format a p-value for a column: `0.012`, `< 0.001`."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def p_text(p: float) -> str:
    """Format an adjusted p-value for a sentence: `adjusted p = 0.012`."""
    return f"adjusted p {'' if p < 0.001 else '= '}{rounded_p(p)}"
