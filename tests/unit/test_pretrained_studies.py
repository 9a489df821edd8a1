"""Reports on encoders pre-trained in the sweep, from synthetic records with known effects."""

from __future__ import annotations

import csv
import io
import re

import numpy as np
import pytest
from study_records import EXAMPLES, TASK, broken, right, study, sweep

from methods.pretraining.report import wilson
from methods.sharing.albert.albert import Albert
from reports import leaderboard
from reports.board import MethodFacts, TaskFacts
from reports.decisions import RESULT, Decisions
from reports.predictions import Predictions
from reports.record import Model, Parameters, Record
from reports.studies import layer_distance, sentence_objective, sharing_ablation
from reports.studies.content import render
from reports.studies.pretrained import groups, pretrained
from reports.studies.row_changes import compare_pairs
from reports.trials import by_trial

DRAWS = 500
SIZES = {"all": 200_000, "attention": 600_000, "ffn": 400_000, "none": 800_000}


class World:
    """Rows of a sweep that pre-trains, with their predictions."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.saved: dict[str, Predictions] = {}

    def read(self, record: Record) -> dict[str, Decisions]:
        return {RESULT: Decisions.of(self.saved[record.fingerprint])}

    def add(
        self,
        lost=0,
        seeds=(1, 2, 3),
        task: TaskFacts = TASK,
        measured=True,
        tuning=None,
        processor_seconds=None,
        **fields,
    ) -> str:
        """Add a row that gets `lost` more examples wrong than the best, a few more or fewer by seed."""
        method = Albert(pretrained=fields, **(tuning or {}))
        encoder = method.pretrained
        # Left out in records from before it was counted.
        processor = {"processor_seconds": processor_seconds} if processor_seconds else {}
        for seed in seeds:
            rng = np.random.default_rng(seed)
            correct = broken(right(0.8, rng), lost, rng) if lost else right(0.8, rng)
            correct = broken(correct, seed - 2, np.random.default_rng([seed, len(method.label)]))
            labels = np.arange(EXAMPLES) % 2
            logits = np.eye(2, dtype=np.float32)[np.where(correct, labels, 1 - labels)]
            key = f"{method.label}/{task.name}/{seed}"
            self.saved[key] = Predictions(np.arange(EXAMPLES), labels, logits)
            self.records.append(
                Record(
                    fingerprint=key,
                    decides={},
                    kind="trial",
                    label=method.label,
                    method=method.name,
                    family=method.family,
                    params=method.model_dump(mode="json"),
                    task=task.name,
                    seed=seed,
                    model_id="pretrained-encoder",
                    primary=task.primary,
                    scores={"accuracy": float(correct.mean())},
                    model=Model(
                        parameters=Parameters(
                            total=SIZES[encoder.share] + 8000 * encoder.embedding,
                            encoder=SIZES[encoder.share],
                            embeddings=7900 * encoder.embedding,
                        ),
                        flops=1.0,
                        checkpoint_bytes=1,
                        architecture={},
                        signature=method.label,
                    ),
                    notes={"pretraining": notes(encoder, measured) | processor},
                    started=1.0,
                    ended=2.0,
                )
            )
        return method.label

    def facts(self, *tasks: TaskFacts, planned=()):
        labels = {record.label: record for record in self.records}
        methods = [
            MethodFacts(label=label, method=record.method, family=record.family, params=record.params)
            for label, record in labels.items()
        ]
        facts = sweep(*tasks)
        return facts.model_copy(update={"methods": (*methods, *planned)})


def notes(encoder, measured: bool) -> dict:
    """What a pre-training says of itself: accuracies by objective, distances by sharing."""
    # In percent: NSP's question, then SOP's, of a head trained on it.
    pairs = {"mlm+nsp": (90, 51), "mlm+sop": (79, 86)}.get(encoder.objective)
    words = {"all": 30, "ffn": 31, "attention": 33, "none": 34}[encoder.share] + (
        encoder.embedding - 64
    ) // 32

    def figures(number: int) -> dict:
        found = {"mlm_accuracy": words / 100, "mlm_accuracy_n": 10_000}
        if pairs:
            found |= {"pair_accuracy": pairs[number] / 100, "pair_accuracy_n": 1000}
        return found | {
            f"{name}_ci": list(wilson(found[name], found[f"{name}_n"]))
            for name in found
            if name.endswith("y")
        }

    levels = {"all": (4.0, 4.5, 4.0, 4.5)}.get(encoder.share, (4.0, 8.0, 2.0, 10.0))
    facts = {
        "steps": encoder.total_steps,
        "tokens": 60 * encoder.total_steps * encoder.batch_size,
        "tokens_per_second": 12_000.0 if encoder.share == "all" else 10_000.0,
        "unigram_entropy": 7.0,
        "held_out": {"mlm_loss": 7.5 if encoder.embedding == 32 else 6.5},
    }
    if measured:
        facts["objectives"] = {"nsp": figures(0), "sop": figures(1)}
        facts["layers"] = [{"l2": l2, "cosine": 1 - l2 / 100, "degrees": 2 * l2} for l2 in levels]
    return facts


def rows(findings) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(findings.table.to_csv())))


def page_of(findings, name: str) -> str:
    files = render(findings, study(name))
    assert files.keys() == {"index.md", "table.md", "table.csv", "figure.svg", "figure.png"}
    assert len({line.count("|") for line in files["table.md"].decode().splitlines()}) == 1
    return files["index.md"].decode()


def ablate(world, *tasks, planned=()):
    facts = world.facts(*tasks, planned=planned)
    return sharing_ablation.report(
        study("sharing-ablation"), facts, world.records, world.read, replicates=DRAWS
    )


# -- which rows are compared ------------------------------------------------------------------------------


def test_rows_are_compared_where_nothing_but_what_is_studied_differs():
    world = World()
    alike = [world.add(share=share) for share in ("all", "none")]
    smoke = [world.add(preset="smoke", embedding=width) for width in (32, 128)]
    written_out = world.add(tokens=2_000_000, embedding=64)
    for other in ({"hidden": 256}, {"objective": "mlm"}, {"seed": 2}, {"warm_start": True}, {"length": 32}):
        world.add(share="ffn", **other)
    world.add(share="attention", tuning={"epochs": 9})
    found = groups(
        pretrained(world.records, world.facts()), ("share", "embedding"), lambda e: e.fields["embedding"]
    )
    assert [[e.label for e in group.encoders] for group in found] == [
        alike,
        [smoke[0], written_out, smoke[1]],
    ]
    assert [group.name for group in found] == ["18.7 M tokens", "1.9 M tokens (smoke)"]


def test_rows_whose_rates_differ_on_one_task_are_not_alike():
    """Records hold the rate of their own task."""

    def found(*rates):
        world = World()
        for share, rate in zip(("all", "none"), rates, strict=True):
            world.add(share=share, tuning={"learning_rate": rate})
        facts = world.facts()
        for record in world.records:
            record.params["learning_rate"] = record.params["learning_rate"][TASK.name]
        given = [m.model_copy(update={"params": m.params | {"learning_rate": rate}})
                 for m, rate in zip(facts.methods, rates, strict=True)]  # fmt: skip
        facts = facts.model_copy(update={"methods": tuple(given)})
        return groups(pretrained(world.records, facts), ("share",), lambda e: e.label)

    same = {TASK.name: 1e-4, "other": 1e-4}
    assert len(found(same, same)) == 1
    assert found(same, {**same, "other": 1e-3}) == []


def test_groups_of_one_budget_are_told_apart_by_what_differs():
    world = World()
    for epochs, steps in ((1.0, 1000), (2.0, 1001)):
        for share in ("all", "none"):
            world.add(share=share, steps=steps, tuning={"epochs": epochs, "learning_rate": 1e-3})
    found = groups(pretrained(world.records, world.facts()), ("share",), lambda e: e.label)
    assert [group.name for group in found] == [
        "7.7 M tokens, fine-tuning epochs 1.0, steps 1,000",
        "7.7 M tokens, fine-tuning epochs 2.0, steps 1,001",
    ]


# -- scores on the tasks ----------------------------------------------------------------------------------


def changes(world, *pairs):
    """What pairs of rows change on the task."""
    facts = world.facts()
    trials = by_trial(world.records, facts)
    compared = compare_pairs(trials, facts, pairs, lambda record: world.read(record)[RESULT], DRAWS)
    return [compared.changes[pair][TASK.name] for pair in pairs]


def test_changes_are_those_of_a_leaderboard_with_that_baseline():
    world = World()
    base = world.add(share="none")
    others = [world.add(lost=40, share="all"), world.add(lost=4, share="ffn")]
    facts = world.facts().model_copy(update={"baseline": base})
    board = leaderboard.build(world.records, lambda r: world.saved[r.fingerprint], facts, replicates=DRAWS)
    found = changes(world, *((label, base) for label in others))
    for label, change in zip(others, found, strict=True):
        (row,) = [row for row in board.rows if row.label == label]
        combined = row.tests["combined"]
        expected = [row.delta, *row.ci, combined["p"], combined["p_adjusted"]]
        assert change.tested == [*map(pytest.approx, expected), row.verdict, row.reason]
    assert found[0].verdict == "worse"


def test_a_seed_that_is_missing_leaves_an_interval_and_no_verdict():
    world = World()
    base, own = world.add(share="none", seeds=(2,)), world.add(lost=40, share="all", seeds=(1, 2))
    (change,) = changes(world, (own, base))
    assert change.mean == pytest.approx(-8) and change.interval[0] < -8 < change.interval[1]
    assert (change.p, change.judged, change.verdict) == (None, None, "none")
    assert change.in_words() == f"{change.in_short()}, no verdict (incomplete: seed 3 (no result) missing)"


# -- sharing-ablation -------------------------------------------------------------------------------------


def test_sharing_is_compared_with_none_and_widths_with_the_widest():
    world = World()
    other = TASK.model_copy(update={"name": "rte", "title": "RTE", "short": "RTE"})
    for task in (TASK, other):
        for share, lost in (("all", 60), ("ffn", 40), ("none", 0)):
            world.add(lost=lost, share=share, task=task)
        for width in (32, 64, 128):
            world.add(preset="smoke", embedding=width, task=task)
    findings = ablate(world, TASK, other)
    page = page_of(findings, "sharing-ablation")
    assert (
        "18.7 M tokens, E 64, parameters of the layers: all 200,000; ffn 400,000; none 800,000. Operations as a "
        "multiple of those of none: all 1.00, ffn 1.00; processor time: not counted." in page
    )
    assert "times the training speed" not in page and "1.20" not in page
    assert "18.7 M tokens, E 64, masked words (%): all 30.0 (29.1-30.9); ffn 31.0" in page
    assert "sentence order (%): all 86.0 (83.7-88.0)" in page
    assert re.search(r"E 64, CoLA, points against none: all -12\.\d \[-\S+, -\S+\], worse; ffn -8\.", page)
    assert "1.9 M tokens (smoke), share all, masked words (%): E 32 29.0" in page
    assert "share all, RTE, points against E 128: E 32" in page
    assert "18.7 M tokens: no row with share attention at E 64." in page
    assert "1.9 M tokens (smoke): no row with share attention, ffn, none at E 32, 64, 128." in page
    table = rows(findings)
    own = [
        row for row in table if (row["share"], row["task"], row["block"]) == ("all", "rte", "18.7 M tokens")
    ]
    assert [row["seed"] for row in own] == ["1", "2", "3", "median"]
    assert (own[0]["parameters"], own[0]["encoder_parameters"]) == (str(200_000 + 8000 * 64), "200000")
    assert float(own[-1]["change"]) == pytest.approx(-12, abs=0.5) and own[-1]["against"].endswith(
        "share=none"
    )
    assert float(own[-1]["score"]) == pytest.approx(68, abs=0.5)
    assert (own[0]["sop_n"], float(own[0]["sop_low"])) == (
        "1000",
        pytest.approx(wilson(0.86, 1000)[0], rel=1e-4),
    )
    assert {row["relative_flops"] for row in table if row["block"].startswith("18.7")} == {"1"}
    assert {row["relative_flops"] for row in table if row["block"].startswith("1.9")} == {""}
    assert {row["tokens_per_second"] for row in table if row["share"] == "none"} == {"10000"}
    lines = {(row[1], row[2]): row for row in findings.summary.rows}
    assert lines["none", 64][-1] is None and lines["ffn", 64][-1] == "none, E 64"
    assert lines["all", 32][-1] == "all, E 128" and lines["all", 128][-1] is None
    assert len(findings.figure.axes) == 4


def test_processor_time_is_compared_where_both_rows_have_it_and_wall_time_never():
    """Wall time says twelve to ten here, as what ran beside them differed."""
    world = World()
    for share, seconds in (("all", 95.0), ("ffn", None), ("none", 100.0)):
        world.add(share=share, processor_seconds=seconds)
    findings = ablate(world)
    found = {row["share"]: row["relative_processor_time"] for row in rows(findings)}
    assert found == {"all": "0.95", "ffn": "", "none": "1"}
    page = page_of(findings, "sharing-ablation")
    assert "multiple of those of none: all 1.00, ffn 1.00; processor time: all 0.95." in page
    head = findings.summary.columns.index("tokens/s, wall")
    assert [row[head] for row in findings.summary.rows] == ["12,000", "10,000", "10,000"]
    assert "wall times of rows are not comparable" in page


def test_every_width_is_compared_both_ways_where_the_grid_is_full():
    world = World()
    labels = {
        (share, width): world.add(share=share, embedding=width)
        for share in ("all", "none")
        for width in (32, 64)
    }
    table = rows(ablate(world))
    found = {(row["label"], row["against"]) for row in table if row["against"]}
    assert found == {
        (labels["all", 32], labels["none", 32]),
        (labels["all", 64], labels["none", 64]),
        (labels["all", 32], labels["all", 64]),
        (labels["none", 32], labels["none", 64]),
    }


# -- sentence-objective -----------------------------------------------------------------------------------


def test_each_objective_answers_both_questions_and_none_has_no_head():
    world = World()
    for objective, lost in (("mlm", 30), ("mlm+nsp", 20), ("mlm+sop", 0)):
        world.add(lost=lost, objective=objective)
    findings = sentence_objective.report(
        study("sentence-objective"), world.facts(), world.records, world.read, replicates=DRAWS
    )
    page = page_of(findings, "sentence-objective")
    assert (
        "trained on NSP answers NSP's question in 90.0 (88.0-91.7) % of pairs and SOP's in 51.0 (47.9-54.1) %; "
        "SOP not above chance." in page
    )
    assert "trained on SOP answers NSP's question in 79.0 (76.4-81.4) % of pairs and SOP's in 86.0" in page
    assert "trained on none" not in page
    assert re.search(r"CoLA, points against none: NSP \+2\.\d \[.*\], .*; SOP \+6\.", page)
    assert re.search(r"CoLA, points against NSP: SOP \+4\.", page)
    table = {row["objective"]: row for row in rows(findings) if row["seed"] == "median"}
    assert table["none"]["nsp"] == table["none"]["sop_n"] == table["none"]["against"] == ""
    assert float(table["none"]["mlm"]) == pytest.approx(0.3)
    (none,) = [row for row in findings.summary.rows if row[1] == "none"]
    assert none[2:5] == ["30.0 (29.1-30.9)", None, None]


def test_objectives_that_no_row_has_are_named():
    world = World()
    world.add(objective="mlm+nsp")
    world.add(objective="mlm+sop")
    findings = sentence_objective.report(
        study("sentence-objective"), world.facts(), world.records, world.read, replicates=DRAWS
    )
    assert findings.conclusion[-1] == "18.7 M tokens: no row with the objective none."


# -- layer-distance ---------------------------------------------------------------------------------------


def test_distances_are_lined_up_with_those_without_sharing():
    world = World()
    world.add(share="all")
    base = world.add(share="none")
    findings = layer_distance.report(study("layer-distance"), world.facts(), world.records, world.read)
    page = page_of(findings, "layer-distance")
    assert (
        "share all: smoother than not shared; from layer to layer it changes by 0.50 against 6.00 (L2 distance) "
        "and 1.00 against 12.00 (angle in degrees). The last layer still moves its input by 4.50 and 9.0 degrees."
        in page
    )
    own = [row for row in rows(findings) if row["label"] == base]
    assert [(row["layer"], float(row["l2"])) for row in own] == [("1", 4), ("2", 8), ("3", 2), ("4", 10)]
    assert float(own[1]["cosine"]) == pytest.approx(0.92)
    assert [len(axes.lines) for axes in findings.figure.axes] == [2, 2]


def test_what_is_as_smooth_or_has_one_layer_is_not_called_smoother():
    world = World()
    world.add(share="ffn")
    world.add(share="none")
    findings = layer_distance.report(study("layer-distance"), world.facts(), world.records, world.read)
    assert "share ffn: neither smoother nor less smooth than not shared" in findings.conclusion[0]
    for record in world.records:
        del record.notes["pretraining"]["layers"][1:]
    findings = layer_distance.report(study("layer-distance"), world.facts(), world.records, world.read)
    assert findings.conclusion == ["18.7 M tokens, share ffn: a single layer says nothing about smoothness."]
    page_of(findings, "layer-distance")


def test_sharing_without_a_row_to_compare_with_is_shown_and_said():
    world = World()
    world.add(share="all")
    world.add(share="ffn")
    findings = layer_distance.report(study("layer-distance"), world.facts(), world.records, world.read)
    assert findings.conclusion == ["18.7 M tokens: no row with share none to compare with."]
    assert len(findings.summary.rows) == 2


# -- what is missing --------------------------------------------------------------------------------------

REPORTS = {
    "sharing-ablation": sharing_ablation.report,
    "sentence-objective": sentence_objective.report,
    "layer-distance": layer_distance.report,
}


@pytest.mark.parametrize("name", REPORTS)
def test_a_sweep_without_rows_to_compare_is_told_what_to_add(name):
    world = World()
    world.add()
    findings = REPORTS[name](study(name), world.facts(), world.records, world.read)
    assert findings.conclusion[0].startswith("Nothing to compare: no two encoders of this sweep")
    assert "albert: {pretrained: {" in findings.conclusion[0]
    assert findings.figure is None and findings.table.rows == []
    assert render(findings, study(name)).keys() == {"index.md", "table.md", "table.csv"}


@pytest.mark.parametrize("name", REPORTS)
def test_rows_without_a_measure_or_a_result_are_named(name):
    world = World()
    old = world.add(share="all", measured=False)
    planned = Albert(pretrained={"share": "none"})
    facts = MethodFacts(
        label=planned.label, method="albert", family="sharing", params=planned.model_dump(mode="json")
    )
    findings = REPORTS[name](study(name), world.facts(planned=(facts,)), world.records, world.read)
    assert f"before it measured this: {old}." in findings.conclusion[1]
    assert findings.conclusion[2] == f"Without a result yet: {planned.label}."
