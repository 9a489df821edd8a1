"""The report of `pretraining-curves`, from synthetic records of pre-trainings, and which records it is given."""

from __future__ import annotations

import pytest
from study_records import check_files, rows, study, sweep
from tiny_corpus import write_corpus

from benchmark.config.load import make_sweep
from benchmark.plan.job import resolve
from benchmark.store.manifest import describe
from benchmark.studies import publish_studies
from methods.compact.mobilebert.ib_bert_teacher import IbBertTeacher
from methods.compact.mobilebert.mobilebert_transfer import MobileBertTransfer
from methods.pretraining.encoder import PretrainedEncoder
from methods.pretraining.report import wilson
from reports.record import Cost, Record
from reports.studies import pretraining_curves

ENTROPY = 7.0


def held_out(loss: float, pairs: float | None = None) -> dict:
    found = {"mlm_loss": loss}
    for name, share in (("mlm", 0.15), ("pair", pairs)):
        if share is not None:
            figure = f"{name}_accuracy"
            found |= {figure: share, f"{figure}_ci": list(wilson(share, 500)), f"{figure}_n": 500}
    return found


def record(work, notes: dict, steps: int, seconds: float = 20.0) -> Record:
    return Record(
        fingerprint=work.label,
        decides={},
        kind="prerequisite",
        label=work.label,
        method=work.name,
        family=work.family,
        params=work.model_dump(mode="json"),
        task="-",
        seed=0,
        model_id="tiny",
        notes=notes,
        cost=Cost(steps=steps, examples=steps * 10, tokens=steps * 500),
        seconds={"produce": seconds, "total": seconds},
        started=1.0,
        ended=2.0,
    )


def encoder(loss: float, steps: int = 200, **fields) -> Record:
    """An encoder whose loss falls in a line from 9 to `loss`."""
    curve = [
        {"step": step, "mlm_loss": 9 + (loss - 9) * step / steps, "pair_accuracy": 0.7, "learning_rate": 1e-3}
        for step in range(50, steps + 1, 50)
    ]
    notes = {"steps": steps, "curve": curve, "held_out": held_out(loss, 0.7), "unigram_entropy": ENTROPY}
    notes |= {"tokens": steps * 500, "tokens_per_second": 2000.0}
    return record(PretrainedEncoder(**fields), {"pretraining": notes}, steps)


def student(loss: float, **fields) -> Record:
    """A student of one taught layer, 20 steps, and 180 of words."""
    phases = [
        {
            "phase": "layer-1",
            "steps": 20,
            "seconds": 10.0,
            "curve": [{"step": 20, "feature_maps": 0.5, "attention": 2.0}],
        },
        {
            "phase": "words",
            "steps": 180,
            "seconds": 40.0,
            "curve": [{"step": 90, "mlm_loss": 7.5}, {"step": 180, "mlm_loss": loss}],
        },
    ]
    found = {"student": held_out(loss), "teacher": held_out(6.0)}
    notes = {"strategy": "pkt", "phases": phases, "held_out": found, "unigram_entropy": ENTROPY}
    return record(MobileBertTransfer(**fields), {"transfer": notes}, 200)


def report(*records: Record):
    return pretraining_curves.report(study("pretraining-curves"), sweep(), records, lambda record: {})


def test_what_has_learnt_no_more_than_frequencies_is_said():
    findings = report(encoder(6.5), encoder(7.2, share="none"))
    assert findings.conclusion == [
        "pretrained-encoder, 0.1 M tokens: loss on masked words kept from training 6.50 (pretrained-encoder) "
        "to 7.20 (share=none); unigram entropy 7.00.",
        "pretrained-encoder, 0.1 M tokens: no better than word frequencies: share=none.",
    ]
    learnt, idle = findings.summary.rows
    below = findings.summary.columns.index("below entropy by")
    assert (learnt[below], idle[below]) == (pytest.approx(0.5), pytest.approx(-0.2))
    check_files(findings, "pretraining-curves")


def test_what_a_fitted_head_has_read_is_no_training():
    begun = encoder(6.5)
    read = begun.model_copy(update={"cost": begun.cost.model_copy(update={"tokens": 150_000})})
    assert [row["tokens"] for row in rows(report(read).table)] == ["25000", "50000", "75000", "100000"]


def test_steps_and_tokens_are_counted_through_all_phases():
    table = rows(report(student(6.4)).table)
    assert [(row["phase"], row["step"], row["tokens"]) for row in table] == [
        ("layer-1", "20", "10000"),
        ("words", "110", "55000"),
        ("words", "200", "100000"),
    ]
    assert [row["mlm_loss"] for row in table] == ["", "7.5", "6.4"]
    assert [row["feature_maps"] for row in table] == ["0.5", "", ""]


def test_speed_counts_the_time_of_killed_attempts_too():
    """The last attempt of these took 20 of the 50 seconds, as the record has it."""
    speeds = {row[1]: row[-1] for row in report(encoder(6.5), student(6.4)).summary.rows}
    assert speeds == {"pretrained-encoder": "2,000", "mobilebert-transfer": "2,000"}


def test_only_pretrainings_of_one_kind_and_length_stand_together():
    teacher = record(IbBertTeacher(), encoder(6.0).notes, 200)
    findings = report(encoder(6.5), encoder(6.9, steps=100), student(6.4), teacher)
    groups = [row[0] for row in findings.summary.rows]
    assert groups == [
        "pretrained-encoder, 0.1 M tokens",
        "pretrained-encoder, 0.1 M tokens",
        "IB-BERT and MobileBERT, 0.1 M tokens",
        "IB-BERT and MobileBERT, 0.1 M tokens",
    ]
    # Words alone for encoders; a student's maps and attention too.
    titles = [axes.get_ylabel() for axes in findings.figure.axes]
    assert titles.count("masked words (loss)") == 3
    assert titles.count("feature-map transfer (loss)") == titles.count("attention transfer (loss)") == 1


def test_a_teacher_and_a_student_that_differ_in_the_same_field_are_both_there():
    teachers = [record(IbBertTeacher(seed=seed), encoder(6.0).notes, 200) for seed in (1, 2)]
    findings = report(*teachers, student(6.4), student(6.3, seed=2))
    assert [row[1] for row in findings.summary.rows] == [
        *("ib-bert-teacher", "ib-bert-teacher:seed=2"),
        *("mobilebert-transfer", "mobilebert-transfer:seed=2"),
    ]


def test_every_one_of_many_pretrainings_is_drawn():
    findings = report(*(encoder(6.5, seed=seed) for seed in range(1, 31)))
    assert len([line for line in findings.figure.axes[0].lines if len(line.get_xdata()) > 2]) == 30


def test_records_of_other_works_are_left_out():
    other = encoder(6.5).model_copy(update={"notes": {}, "method": "teacher-outputs"})
    findings = report(other)
    assert findings.conclusion == ["No encoder was pre-trained in this sweep."]
    assert findings.figure is None


def test_the_study_is_made_of_what_belongs_to_the_whole_sweep(tmp_path):
    write_corpus(tmp_path / "corpus")
    content = {
        "name": "first",
        "model": "minilm",
        "data": "bundled",
        "corpus": str(tmp_path / "corpus"),
        "tasks": ["cola"],
        "methods": ["finetune", {"kd": {"layers": 3}}, {"albert": {"pretrained": {"vocabulary": 110}}}],
        "studies": ["pretraining-curves"],
        "train": {"max_length": 64},
        "seeds": 1,
    }
    job = resolve(make_sweep(content), output=str(tmp_path / "out"))
    manifest = describe(job, "")
    (planned,) = manifest.studies
    (node,) = manifest.reported(planned).values()
    assert node.label == "pretrained-encoder:vocabulary=110"
    made = encoder(6.5, vocabulary=110).model_copy(update={"fingerprint": node.fingerprint})
    (published,) = publish_studies(job.store, manifest, [made])
    assert "masked words kept from training 6.50" in published.conclusion[0]
    # No row has a result yet: the curves are there before anything is fine-tuned.
    assert "Incomplete" not in (published.folder / "index.md").read_text()
