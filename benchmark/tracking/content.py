"""What MLflow shows of a record, a failure and a row of the leaderboard: metrics, params and tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from reports.flatten import flatten
from reports.record import Failure, Record

if TYPE_CHECKING:
    from reports.board import Row


def stamp(outcome: Record | Failure) -> str:
    """What tells attempts at one fingerprint apart."""
    return f"{outcome.ended:.6f}"


def metrics(record: Record) -> dict[str, float]:
    """All numbers of a record, grouped by the part before the slash.

    `score` is the primary metric in points, the one column that compares all runs; metrics under
    `validation/`, `choice/`, `train/`, `stage/` and `variant/` are fractions, as in the record.
    """
    found: dict[str, float] = {}
    if record.primary in record.scores:
        found["score"] = 100 * record.scores[record.primary]
    found |= _under("validation", record.scores)
    found |= _under("choice", record.choice)
    for stage, scores in record.stages.items():
        found |= _under(f"stage/{stage}", scores)
    for variant in record.variants:
        found |= _under(f"variant/{variant.name}", variant.scores)
    if model := record.model:
        found |= _under("parameters", model.parameters.model_dump())
        found |= {"flops/forward": model.flops, "bytes/checkpoint": model.checkpoint_bytes}
        if model.heads:
            found["heads/kept"] = sum(model.heads)
    found |= _under("cost", record.cost.model_dump())
    found |= _under("seconds", record.seconds)
    found["bytes/peak_memory"] = record.peak_memory_bytes
    found |= _under("notes", _numbers(flatten(record.notes)))
    return found


def params(record: Record) -> dict[str, Any]:
    """The method's fields under their names, and the sweep's settings that decided the result."""
    decides = record.decides
    settings = {
        "sweep": {key: decides[key] for key in ("limit", "selection") if key in decides},
        **{key: decides[key] for key in ("train", "data", "model") if isinstance(decides.get(key), Mapping)},
    }
    return flatten(record.params) | flatten(settings)


def identity(outcome: Record | Failure) -> dict[str, Any]:
    """Tags by which runs are found and grouped."""
    tags = {"label": outcome.label, "task": outcome.task, "seed": outcome.seed}
    if isinstance(outcome, Record):
        tags |= {"method": outcome.method, "family": outcome.family, "model": outcome.model_id}
    return tags


def tags(record: Record) -> dict[str, Any]:
    """Facts about a record that are no numbers; absent ones are left out."""
    found: dict[str, Any] = {"primary": record.primary, "digest": record.digest}
    for key, verdict in {
        "collapsed": record.collapse,
        "choice_collapsed": record.choice_collapse,
        "teacher_collapsed": record.teacher_collapse,
    }.items():
        if verdict:
            found[key] = verdict.collapsed
            found[f"{key}.reason"] = verdict.reason
    if record.model:
        found["signature"] = record.model.signature
        found["heads"] = record.model.heads or ""
    git = record.environment.get("git") or {}
    facts = flatten({name: fact for name, fact in record.environment.items() if name != "git"})
    environment = {f"environment.{name}": fact for name, fact in facts.items()}
    found |= {"mlflow.source.git.commit": git.get("commit"), "git.dirty": git.get("dirty")}
    return {key: content for key, content in (found | environment).items() if content not in (None, "")}


def failure_tags(failure: Failure) -> dict[str, Any]:
    """Why an attempt failed."""
    found = {"failure.kind": failure.kind, "failure.message": failure.message, "failure.log": failure.log}
    return {key: content for key, content in found.items() if content}


def row_metrics(row: Row) -> dict[str, float]:
    """The numbers of a row; `score` is the median over seeds, in points like every score and difference."""
    found: dict[str, Any] = {
        "score": row.median,
        "score/mean": row.mean,
        "score/std": row.std,
        "score/min": row.min,
        "score/max": row.max,
        "score/seeds": len(row.seeds),
        "score/collapsed": row.collapsed,
        "delta/mean": row.delta,
        "delta/median": row.median_delta,
        "delta/margin": row.margin,
        "delta/loses_at_most": row.loses_at_most,
        "delta/detectable": row.detectable,
        "rank": row.rank,
        "retained": row.retained,
        "compression": row.compression,
        "parameters/total": row.parameters,
        "parameters/encoder": row.encoder_parameters,
        "flops/forward": row.flops,
        "bytes/checkpoint": row.checkpoint_bytes,
        "bytes/peak_memory": row.peak_memory_bytes,
    }
    if row.ci:
        found |= {"delta/ci_low": row.ci[0], "delta/ci_high": row.ci[1]}
    found |= _under("median", row.other_metrics)
    found |= {f"latency_ms/batch_{size}": value for size, value in (row.latency_ms or {}).items()}
    if row.training:
        found |= _under("cost", {"tokens": row.training.tokens, "flops": row.training.flops})
        found["seconds/total"] = row.training.seconds
    for test, results in row.tests.items():
        found |= _under(f"test/{test}", results)
    return _numbers(found)


def row_tags(row: Row) -> dict[str, Any]:
    """The words of a row."""
    return {
        "label": row.label,
        "task": row.task,
        "method": row.method,
        "family": row.family,
        "primary": row.metric,
        "seeds": ",".join(map(str, row.seeds)),
        "verdict": row.verdict,
        "verdict.strict": row.strict,
        "verdict.reason": row.reason,
        "collapsed": row.collapsed > 0,
    }


def _under(group: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{group}/{key}": value for key, value in values.items()}


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {k: float(v) for k, v in values.items() if isinstance(v, int | float) and not isinstance(v, bool)}
