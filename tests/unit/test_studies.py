"""Studies on tiny random models: what they declare, and that each model is scored once."""

from __future__ import annotations

import copy
import io
import math
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from head_pruning_runs import head_pruning_run
from pydantic import ValidationError
from tiny_encoders import HEADS, KINDS, LAYERS, PER_HEAD, encoder, examples, share_layers

from benchmark.trial import scoring
from benchmark.trial.scoring import score_variants
from methods import checkpoint, encoders, registry
from methods.fit import fit, steps_of
from methods.inference import predict
from methods.pruning.magnitude import head_magnitude
from methods.pruning.masked_predictions import predict_without
from methods.pruning.order import by_layer, surviving_heads
from methods.pruning.surgery import prune_heads
from methods.settings import Training
from methods.studies.curve import curve
from methods.studies.head_ablation import HeadAblation
from methods.studies.layerwise import Layerwise
from methods.studies.one_head import OneHead
from methods.studies.pruning_curve import PruningCurve
from methods.studies.pruning_speed import PruningSpeed
from methods.studies.training_dynamics import TrainingDynamics
from methods.studies.transfer import Transfer
from methods.study import Variant
from reports import decisions
from reports.decisions import Decisions
from reports.metrics import cross_entropy, score
from tasks.errors import BadInput
from tasks.glue import COLA, MNLI, RTE
from tasks.seeds import Seeds

ALL = [(layer, head) for layer in range(LAYERS) for head in range(HEADS)]


@pytest.fixture
def run(tmp_path):
    return head_pruning_run(tmp_path)


# -- the registry ----------------------------------------------------------------------------------------


def test_studies_are_listed_without_torch():
    code = (
        "import sys; from methods import registry\n"
        "for study in registry.studies().values(): study(); study().label; study().experiment(); study().cost()\n"
        "heavy = {'torch', 'transformers', 'ray', 'mlflow', 'datasets', 'pandas'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", sorted(registry.STUDIES))
def test_every_study_has_defaults_described_fields_and_a_report(name):
    study = registry.find_study(name)
    assert study().label == study.name == name
    assert study.family == "study"
    assert all(field.description for field in study.model_fields.values())
    module, _, function = study.report.partition(":")
    assert callable(getattr(__import__(module, fromlist=[function]), function))
    with pytest.raises(ValidationError):
        study(no_such_field=1)


def test_unknown_studies_get_a_suggestion():
    with pytest.raises(BadInput, match="unknown study 'head-ablatoin'; did you mean 'head-ablation'"):
        registry.find_study("head-ablatoin")


@pytest.mark.parametrize(
    ("study", "fields"),
    [
        (PruningCurve, {"step": 0}),
        (PruningCurve, {"draws": 0}),
        (TrainingDynamics, {"percents": (2, 1)}),
        (TrainingDynamics, {"percents": (0, 50)}),
        (TrainingDynamics, {"percents": (50, 101)}),
        (PruningSpeed, {"shares": (0.2, 0.5)}),
        (PruningSpeed, {"shares": (0, 1)}),
        (PruningSpeed, {"warm_up": 19}),
        (Transfer, {"first": 0}),
    ],
)
def test_bad_fields_are_refused(study, fields):
    with pytest.raises(ValidationError):
        study(**fields)


def test_transfer_wants_two_domains_and_takes_the_ablation_of_heads():
    Transfer().check(COLA, layers=6)
    Transfer().check(MNLI, layers=6)
    Transfer(first=100).check(RTE, layers=6)
    with pytest.raises(BadInput, match="rte has no two domains; take cola or mnli"):
        Transfer().check(RTE, layers=6)
    assert Transfer(first=100).experiment() == HeadAblation()
    assert Layerwise().experiment() is None


# -- models without heads --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_without_heads_is_as_if_they_were_removed(kind):
    model = encoder(kind)
    data = examples(model)
    rng = np.random.default_rng(0)
    sets = [[head for head in ALL if rng.random() < 0.4] for _ in range(4)]
    sets += [[(1, head) for head in range(HEADS)], [(0, 2)], [(2, 0), (2, 3)], ALL]
    before = copy.deepcopy(model.state_dict())
    for heads, logits in zip(sets, predict_without(model, data, sets), strict=True):
        pruned = copy.deepcopy(model)
        prune_heads(pruned, by_layer(heads))
        assert np.abs(logits - predict(pruned, data)).max() <= 1e-5
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_without_nothing_is_the_model_itself_to_the_bit():
    model = encoder("bert")
    data = examples(model)
    (nothing, _) = predict_without(model, data, [(), [(0, 1)]])
    assert np.array_equal(nothing, predict(model, data))


def test_a_shared_layer_loses_its_head_everywhere():
    model = encoder("bert")
    share_layers(model, [0, 1, 1])
    data = examples(model)
    (logits,) = predict_without(model, data, [[(1, 2)]])
    prune_heads(model, {1: [2]})
    assert np.abs(logits - predict(model, data)).max() <= 1e-5


# -- curves ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [0.1, 0.05, 0.25])
def test_curves_are_nested_and_step_k_has_the_floor_of_its_share(step):
    order = [(layer, head) for head in range(12) for layer in range(12)]
    points = list(curve("x", order, step, {"order": "x"}))
    assert len(points) == round(1 / step) + 1
    percent = round(100 * step)
    for k, point in enumerate(points):
        assert len(point.removed) == math.floor(144 * percent * k / 100) == point.facts["heads"]
        assert point.facts["share"] == pytest.approx(k * step)
        assert set(points[k - 1].removed) <= set(point.removed) or k == 0
    assert points[0].removed == ()
    assert set(points[-1].removed) == set(order)
    assert len({point.name for point in points}) == len(points)


def test_all_orders_of_the_pruning_curve_are_orders_of_all_heads(run):
    variants = list(PruningCurve(draws=2, step=0.25).variants(run))
    assert len({variant.name for variant in variants}) == len(variants) == 6 * 5
    removed = {(v.facts["order"], v.facts["draw"], v.facts["share"]): v.removed for v in variants}
    whole = {key[:2]: order for key, order in removed.items() if key[2] == 1.0}
    assert set(whole) == {
        ("importance", 0), ("ablation", 0), ("reverse", 0), ("magnitude", 0), ("random", 0), ("random", 1),
    }  # fmt: skip
    assert all(sorted(order) == ALL for order in whole.values())
    assert whole["reverse", 0] == whole["importance", 0][::-1]
    assert whole["random", 0] != whole["random", 1]
    again = PruningCurve(draws=3, step=0.25).variants(run)
    same = {v.name: v.removed for v in again}
    assert all(same[v.name] == v.removed for v in variants)


def test_the_order_by_ablation_is_that_of_single_removals_on_reward(run):
    variants = PruningCurve(draws=1, step=0.5).variants(run)
    order = next(v.removed for v in variants if (v.facts["order"], v.facts["share"]) == ("ablation", 1.0))
    model, labels = run.start(), run.reward.labels
    ranks = {}
    for layer, head in ALL:
        pruned = copy.deepcopy(model)
        prune_heads(pruned, {layer: [head]})
        logits = predict(pruned, run.reward)
        accuracy = score(labels, logits, ["accuracy"])["accuracy"]
        ranks[layer, head] = (accuracy, -round(cross_entropy(labels, logits), 5))
    found = [ranks[head] for head in order]
    assert found == sorted(found, reverse=True)
    assert len(set(found)) > 1


def _squares(model) -> float:
    return sum(p.detach().double().square().sum().item() for p in model.parameters())


def test_magnitude_is_the_sum_of_squares_of_what_goes_with_a_head():
    model = encoder("bert")
    scores = head_magnitude(model)
    total = _squares(model)
    for layer, head in [(0, 0), (1, 3), (2, 1)]:
        pruned = copy.deepcopy(model)
        prune_heads(pruned, {layer: [head]})
        left = _squares(pruned)
        assert scores[layer, head] == pytest.approx(total - left)
        assert head_magnitude(pruned)[layer, head] == 0


# -- what the studies declare ----------------------------------------------------------------------------


def test_head_ablation_declares_every_head_alone(run):
    variants = list(HeadAblation().variants(run))
    assert (variants[0].name, variants[0].removed) == ("unpruned", ())
    assert [variant.removed for variant in variants[1:]] == [(head,) for head in ALL]
    assert all((v.facts["layer"], v.facts["head"]) == v.removed[0] for v in variants[1:])


def test_one_head_keeps_the_head_that_is_best_on_selection_data(run):
    variants = list(OneHead().variants(run))
    assert len(variants) == 1 + LAYERS
    model, labels = run.start(), run.reward.labels
    for variant in variants[1:]:
        layer, kept = variant.facts["layer"], variant.facts["head"]
        assert set(variant.removed) == {(layer, head) for head in range(HEADS) if head != kept}
        ranks = []
        for head in range(HEADS):
            pruned = copy.deepcopy(model)
            prune_heads(pruned, {layer: [other for other in range(HEADS) if other != head]})
            logits = predict(pruned, run.reward)
            ranks.append((score(labels, logits, ["accuracy"])["accuracy"], -cross_entropy(labels, logits)))
        assert ranks[kept][0] == max(ranks)[0]
        assert ranks[kept][1] == pytest.approx(max(ranks)[1], abs=1e-5)
        noted = run.notes["selection"][str(layer)]
        assert noted == pytest.approx({str(head): rank[0] for head, rank in enumerate(ranks)})


def test_training_dynamics_ends_at_the_start_model(run, tmp_path):
    steps = steps_of(len(run.train), run.training)
    run.model = type(run.model)("tiny", None, str(tmp_path / "encoder"))
    encoder("bert").base_model.save_pretrained(tmp_path / "encoder")
    variants = list(TrainingDynamics(percents=(10, 50, 100), step=0.5).variants(run))
    found = {v.facts["step"]: v for v in variants}
    assert set(found) == {max(1, round(steps * percent / 100)) for percent in (10, 50, 100)}
    assert len(variants) == 3 * len(found)
    assert "importance" not in run.notes
    plain = head_pruning_run(tmp_path)
    plain.model = run.model
    model = plain.pretrained()
    plain.fit(model)
    last = checkpoint.load(found[steps].model)
    first = checkpoint.load(found[min(found)].model)
    assert all(torch.equal(t, last.state_dict()[name]) for name, t in model.state_dict().items())
    assert not all(torch.equal(t, first.state_dict()[name]) for name, t in model.state_dict().items())


def test_looking_at_a_model_in_training_changes_nothing(run):
    seen = []

    def look(step, model):
        torch.rand(5)
        seen.append((step, model.training))

    weights = []
    for after in (None, look):
        model = run.start()
        fit(model, run.train, Training(epochs=1, batch_size=8, learning_rate=1e-3, precision="fp32"), seeds=Seeds.derive(3), after=after)  # fmt: skip
        weights.append(model.state_dict())
    assert seen == [(1, True), (2, True), (3, True)]
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


def test_pruning_speed_times_really_smaller_models(run, tmp_path):
    encoder("bert").base_model.save_pretrained(tmp_path / "encoder")
    run.model = type(run.model)("tiny", None, str(tmp_path / "encoder"))
    study = PruningSpeed(shares=(0, 0.25, 0.5), batch_sizes=(1, 2), lengths=(4, 8), repeats=6)
    assert list(study.variants(run)) == []
    sizes, speed = run.notes["sizes"], run.notes["speed"]
    assert [size["heads"] for size in sizes.values()] == [12, 9, 6]
    totals = [size["parameters"]["total"] for size in sizes.values()]
    assert np.diff(totals).tolist() == [-3 * PER_HEAD] * 2
    assert run.notes["attention"] == run.pretrained().config._attn_implementation
    assert run.notes["per_head"]["head"] == PER_HEAD
    assert run.notes["per_head"]["all_heads"] == PER_HEAD * 12
    assert run.notes["per_head"]["total"] == totals[0]
    assert np.diff([size["checkpoint_bytes"] for size in sizes.values()]).max() < 0
    for length in ("4", "8"):
        assert np.diff([size["flops"][length] for size in sizes.values()]).max() < 0
        for size in ("1", "2"):
            assert set(speed[length][size]) == {"0", "0.25", "0.5"}
            assert {times["repeats"] for times in speed[length][size].values()} == {6}
    assert not any(path.suffix == ".safetensors" for path in tmp_path.rglob("sizes/*"))


def test_speed_is_measured_with_heads_gone_evenly_from_all_layers(run, tmp_path):
    encoder("bert").base_model.save_pretrained(tmp_path / "encoder")
    run.model = type(run.model)("tiny", None, str(tmp_path / "encoder"))
    counts = encoders.head_counts(PruningSpeed()._pruned(run, 0.6))
    assert sum(counts) == 12 - 7
    assert max(counts) - min(counts) <= 1


# -- scoring ---------------------------------------------------------------------------------------------


@pytest.fixture
def validation(run):
    return examples(run.start(), 30, seed=9)


def test_each_declared_model_is_evaluated_once_and_what_is_equal_is_one(
    run, validation, tmp_path, monkeypatch
):
    asked = []

    def counted(model, data, sets):
        asked.extend(sets)
        return predict_without(model, data, sets)

    monkeypatch.setattr(scoring, "predict_without", counted)
    variants = [
        Variant("whole"),
        Variant("again", facts={"a": 1}),
        Variant("one", ((0, 1), (2, 2))),
        Variant("same", ((2, 2), (0, 1))),
    ]
    scored = score_variants(variants, run, validation, tmp_path / "variants.parquet")
    assert len(asked) == 2
    assert [each.name for each in scored] == ["whole", "again", "one", "same"]
    assert scored[1].facts == {"a": 1}
    with (tmp_path / "variants.parquet").open("rb") as file:
        read = decisions.read(file)
    assert np.array_equal(read["whole"].classes, predict(run.start(), validation).argmax(axis=1))
    assert np.array_equal(read["one"].classes, read["same"].classes)
    assert np.array_equal(read["one"].index, validation.rows)
    for each in scored:
        assert each.scores == score(validation.labels, np.eye(2)[read[each.name].classes], ["accuracy"])


def test_a_saved_model_is_removed_once_scored(run, validation, tmp_path):
    other = encoder("bert", seed=5)
    folder = checkpoint.save(other, tmp_path / "other")
    variants = [Variant("start"), Variant("other", model=folder), Variant("less", ((0, 0),), folder)]
    score_variants(variants, run, validation, tmp_path / "variants.parquet")
    with (tmp_path / "variants.parquet").open("rb") as file:
        read = decisions.read(file)
    assert np.array_equal(read["other"].classes, predict(other, validation).argmax(axis=1))
    (less,) = predict_without(other, validation, [frozenset({(0, 0)})])
    assert np.array_equal(read["less"].classes, less.argmax(axis=1))
    assert not folder.exists()


def test_names_must_differ_and_no_variant_leaves_no_file(run, validation, tmp_path):
    with pytest.raises(ValueError, match="two variants are called 'a'"):
        score_variants([Variant("a"), Variant("a")], run, validation, tmp_path / "variants.parquet")
    assert score_variants([], run, validation, tmp_path / "variants.parquet") == []
    assert not (tmp_path / "variants.parquet").exists()
    shutil.rmtree(tmp_path / "model")


def test_decisions_of_variants_come_back_in_order():
    rng = np.random.default_rng(0)
    made = {
        name: Decisions(np.arange(n), rng.integers(0, 3, n), rng.integers(0, 3, n), 3)
        for name, n in (("z", 5), ("a", 5), ("m.0.1", 2))
    }
    file = io.BytesIO()
    decisions.write(made, file)
    read = decisions.read(io.BytesIO(file.getvalue()))
    assert list(read) == list(made)
    for name, one in made.items():
        assert np.array_equal(read[name].index, one.index)
        assert np.array_equal(read[name].labels, one.labels)
        assert np.array_equal(read[name].classes, one.classes)
        assert read[name].count == 3


def test_decisions_take_little_more_than_what_changes_between_models():
    """73 models on CoLA's 1,043 rows, each of which changes one decision in a hundred."""
    rng = np.random.default_rng(0)
    labels, classes = rng.integers(0, 2, 1043), rng.integers(0, 2, 1043)
    made = {
        f"{number}": Decisions(np.arange(1043), labels, classes ^ (rng.random(1043) < 0.01), 2)
        for number in range(73)
    }
    file = io.BytesIO()
    decisions.write(made, file)
    # Most of it are the changes, of about 8 bits each; packed decisions alone would be 9,500 bytes.
    assert len(file.getvalue()) < 9_000


def test_heads_of_a_pruned_start_model_are_those_that_are_left(run, tmp_path):
    model = run.start()
    prune_heads(model, {0: [1], 2: range(HEADS)})
    shutil.rmtree(tmp_path / "model")
    checkpoint.save(model, tmp_path / "model")
    left = [variant.removed[0] for variant in list(HeadAblation().variants(run))[1:]]
    assert left == surviving_heads(model)
    assert len(list(OneHead().variants(run))) == 1 + 2
