"""The study of operations: what it times, and what its report says of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from study_records import TASK, Made, check_files, rows, study, sweep
from tiny_runs import tiny_run

from methods import encoders, onnx_runtime
from methods.compact.mobilebert.mobilebert_transfer import MobileBertTransfer
from methods.compact.mobilebert.model import BottleneckBertForSequenceClassification
from methods.compact.mobilebert.operations import operations, ratio
from methods.studies.operations import Operations
from reports.board import MethodFacts
from reports.studies import operations as reporting

TEACHER = {"vocabulary": 100, "layers": 1, "hidden": 32, "inner": 64, "embedding": 16}
PAIR = {"vocabulary": 100, "inner": 16, "teacher": TEACHER}
STUDY = Operations.model_validate({"pair": PAIR, "length": 8, "repeats": 6})


def run(tmp_path):
    return tiny_run(None, None, None, tmp_path, seed=1)


def logits_of(model, ids, *, threads):
    assert threads == torch.get_num_threads()
    return lambda: model(input_ids=ids).logits.numpy()


def measured(tmp_path, monkeypatch, missing=()):
    monkeypatch.setattr(onnx_runtime, "missing", lambda: list(missing))
    monkeypatch.setattr(onnx_runtime, "compiled", logits_of)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1.0")
    made = run(tmp_path)
    assert list(STUDY.variants(made)) == []
    return made.notes


# -- what is timed -------------------------------------------------------------------------------------


def test_every_variant_is_counted_and_timed_in_both_engines(tmp_path, monkeypatch):
    notes = measured(tmp_path, monkeypatch)
    works = operations(STUDY.pair)
    assert list(notes["operations"]) == list(works)
    assert notes["onnxruntime"] == {"version": "1.0"}
    for name, each in notes["operations"].items():
        assert each["shape"] == works[name].shape
        model = BottleneckBertForSequenceClassification(works[name].configuration(100))
        assert each["parameters"]["total"] == sum(p.numel() for p in model.parameters())
        assert each["parameters"] == encoders.parameters(model).model_dump()
        assert each["ratio"]["attention"] == pytest.approx(ratio(model.config).attention)
        assert {each[engine]["repeats"] for engine in ("torch", "onnxruntime")} == {6}
        assert each["difference"] == 0
    made = notes["operations"]
    # One model: not twice the noise.
    assert made["no_norm-relu"] == made["ffns-4"] == made["heads-4"]
    assert np.diff([made[f"ffns-{count}"]["flops"] for count in (1, 2, 3, 4)]).min() > 0
    assert made["layer_norm-gelu"]["flops"] == made["no_norm-relu"]["flops"]
    assert made["inter-halved"]["flops"] < made["no_norm-relu"]["flops"]


def test_without_onnxruntime_torch_is_timed_alone(tmp_path, monkeypatch):
    notes = measured(tmp_path, monkeypatch, missing=["onnxruntime"])
    assert notes["onnxruntime"] == {"missing": ["onnxruntime"]}
    assert all("torch" in each and "onnxruntime" not in each for each in notes["operations"].values())


def test_onnxruntime_computes_the_same_function():
    for package in onnx_runtime.PACKAGES:
        pytest.importorskip(package)
    torch.manual_seed(0)
    ids = torch.randint(100, (2, 8))
    for norm, activation in (("layer_norm", "gelu"), ("no_norm", "relu")):
        pair = STUDY.pair.model_copy(update={"norm": norm, "activation": activation})
        model = BottleneckBertForSequenceClassification(pair.configuration(100)).eval()
        with torch.inference_mode():
            call = onnx_runtime.compiled(model, ids, threads=1)
            assert np.allclose(call(), model(input_ids=ids).logits, atol=1e-5)


def test_a_pair_whose_variants_cannot_be_built_is_refused():
    with pytest.raises(ValidationError, match=r"not every variant can be built.*divisible"):
        Operations(pair=MobileBertTransfer(inner=20))


# -- the report ----------------------------------------------------------------------------------------


def times(median: float) -> dict[str, float]:
    return {"median_ms": median, "q1_ms": 0.98 * median, "q3_ms": 1.02 * median, "repeats": 51}


def notes(with_onnx: bool = True) -> dict:
    made = {}
    for number, (name, work) in enumerate(operations(STUDY.pair).items()):
        milliseconds = {"layer_norm-gelu": 6.0, "no_norm-relu": 2.0}.get(name, 3.0 + 0.01 * number)
        made[name] = {
            "shape": work.shape,
            "parameters": {"total": 24_581, "encoder": 20_000, "embeddings": 4000},
            "flops": 1e6,
            "ratio": {"attention": 0.2, "with_bottlenecks": 0.5 if name == "ffns-4" else 0.9},
            "torch": times(milliseconds),
        }
        if with_onnx:
            made[name] |= {"onnxruntime": times(milliseconds / 4), "difference": 2e-6}
    return {
        "operations": made,
        "onnxruntime": {"version": "1.31"} if with_onnx else {"missing": ["onnxruntime", "onnxscript"]},
    }


def reported(with_onnx: bool = True, **fields):
    """The report of a measurement and, given fields of a pair, of a row of the sweep too."""
    made, methods = Made(), ()
    environment = {"processor": "a CPU", "threads": 1, "libraries": {"torch": "2"}}
    made.add(1, {}, notes=notes(with_onnx), environment=environment)
    if fields:
        pair = MobileBertTransfer.model_validate({**PAIR, **fields})
        held_out = {"mlm_accuracy": 0.2, "mlm_accuracy_ci": [0.19, 0.21], "mlm_accuracy_n": 6000}
        facts = {"shape": pair.shape, "steps": 10, "held_out": {"student": held_out}}
        params = {"start": "pair", "pair": pair.model_dump(mode="json")}
        for seed, score in ((1, 0.5), (2, 0.7), (3, 0.6)):
            row = {"kind": "trial", "label": "mobilebert:x", "method": "mobilebert", "params": params}
            result = {
                "scores": {"accuracy": score},
                "notes": {"pretraining": facts},
                "fingerprint": f"r{seed}",
            }
            made.add(seed, {}, **row, **result)
        methods = (
            MethodFacts(label="mobilebert:x", method="mobilebert", family="distillation", params=params),
        )
    facts = study("operations", **STUDY.model_dump(mode="json"))
    return reporting.report(
        facts, sweep(TASK).model_copy(update={"methods": methods}), made.records, made.read
    )


def test_the_report_compares_the_choices_and_says_what_is_unknown():
    findings = reported()
    page = check_files(findings, "operations")
    assert "both 3.00 times as fast (6.00 to 2.00 ms)" in page
    assert "both 3.00 times as fast (1.50 to 0.50 ms)" in page
    assert "4 heads instead of 16 1.00 times as fast (3.08 to 3.09 ms, quartiles overlap)" in page
    assert "so counted: 4." in page
    assert "No phone was measured" in page
    assert "Quality was not measured for any of them" in page
    assert len(findings.figure.axes) == 2
    assert "a CPU, 1 thread(s), torch 2, onnxruntime 1.31 (whose logits differ by at most 2e-06)" in page
    table = rows(findings.table)
    assert len(table) == 2 * 12
    assert {row["quality"] for row in rows(findings.summary)} == {"not measured"}
    assert next(row for row in table if row["operation"] == "heads-16")["heads"] == "16"


def test_the_column_says_that_onnxruntime_is_not_installed():
    findings = reported(with_onnx=False)
    page = check_files(findings, "operations")
    assert "onnxruntime was not measured: onnxruntime and onnxscript not installed" in page
    assert {row["onnxruntime (ms)"] for row in rows(findings.summary)} == {"not installed"}
    assert {row["engine"] for row in rows(findings.table)} == {"torch"}


def test_quality_is_that_of_rows_of_the_same_shape_taught_in_the_same_way():
    findings = reported(norm="layer_norm", tokens=90_000)
    page = check_files(findings, "operations")
    seen = {row["operation"]: row["quality"] for row in rows(findings.summary)}
    assert {name for name, quality in seen.items() if quality == "see below"} == {"layer_norm-relu"}
    assert "20.0 (19.0-21.0)" in page
    quality = next(line for line in page.splitlines() if "| mobilebert:x |" in line)
    assert [cell.strip() for cell in quality.split("|")[1:-1]] == [
        *("layer_norm-relu", "mobilebert:x", "10", "tokens by default", "20.0 (19.0-21.0)", "60.00"),
    ]
    assert "Quality was not measured for no_norm-relu, " in page
    *timed, known = findings.figure.axes
    (point,) = known.lines
    assert len(timed) == 2 and point.get_label() == "10 steps, teacher: tokens by default"
    assert point.get_xdata() == [20] and point.get_ydata() == [
        list(notes()["operations"]).index("layer_norm-relu")
    ]
    other = reported(norm="layer_norm", strategy="akt")
    assert {row["quality"] for row in rows(other.summary)} == {"not measured"}
