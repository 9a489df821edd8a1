from __future__ import annotations

import random
import time
from collections import Counter

import pytest
from small_plans import METHODS, graph, plan

from benchmark.plan.context import _task_content
from benchmark.plan.fingerprint import fingerprint
from benchmark.plan.plan import build
from benchmark.plan.queue import critical_path_costs
from methods.baselines.finetune import Finetune
from methods.baselines.finetune_more import FinetuneMore
from methods.distillation.distilbert import DistilBERT
from methods.distillation.kd import KnowledgeDistillation
from methods.distillation.patient_kd import PatientKD
from methods.distillation.pea_kd import PeaKD
from methods.distillation.tinybert import TinyBERT
from methods.method import Method, Prerequisite
from methods.pretraining.encoder import PretrainedEncoder
from methods.pruning.head_pruning import HeadPruning
from methods.pruning.random_heads import RandomHeads
from methods.pruning.sixteen_heads import SixteenHeads
from methods.settings import Training
from methods.sharing.albert.albert import Albert
from methods.sharing.shared_layers import SharedLayers
from tasks.errors import BadInput
from tasks.glue import RTE


def names(nodes) -> set[str]:
    return {node.name for node in nodes.values()}


def one_task(*methods, seeds=(1,)):
    return plan(methods, [RTE], seeds)


def done(built, *labels, bare=()) -> dict[str, bool]:
    """The nodes of these labels are in the store; those in `bare` without weights."""
    found = {key: True for key, node in built.nodes.items() if node.label in labels}
    return found | {key: False for key, node in built.nodes.items() if node.label in bare}


def test_every_method_on_every_task_with_every_seed_is_a_row_once():
    built = plan()
    assert sorted(node.name for node in built.trials()) == sorted(
        f"{method.label}.{task}.{seed}" for method in METHODS for task in ("rte", "sst2") for seed in (1, 2)
    )


def test_prerequisites_are_shared_and_are_no_rows():
    built = plan((*METHODS, KnowledgeDistillation(layers=2), FinetuneMore()))
    outputs = [node for node in built.nodes.values() if node.label == "teacher-outputs"]
    starts = [node for node in built.nodes.values() if node.label == "finetune"]
    assert len(outputs) == len(starts) == 4
    assert not {node.fingerprint for node in outputs} & built.rows
    assert len(built.nodes) == 5 * 4 + 4


def test_a_need_is_of_the_same_task_and_seed_and_stands_before():
    built = plan()
    order = list(built.nodes)
    for key, node in built.nodes.items():
        for name, need in node.needs:
            other = built.nodes[need]
            assert (other.work.name, other.task, other.seed) == (name, node.task, node.seed)
            assert order.index(need) < order.index(key)


def test_only_what_others_start_from_is_kept():
    built = plan()
    assert {built.nodes[key].label for key in built.kept} == {"finetune", "teacher-outputs"}
    assert one_task(Finetune()).kept == set()
    assert {node.label for node in one_task(KnowledgeDistillation(alpha=0)).nodes.values()} == {"kd:alpha=0"}


def test_others_start_from_the_standard_whatever_grid_it_runs_in():
    built = one_task(Finetune(learning_rate=1e-5), SixteenHeads())
    assert names(built.nodes) == {
        "finetune:learning_rate=1e-05.rte.1",
        "finetune.rte.1",
        "sixteen-heads.rte.1",
    }
    assert {node.label for node in built.trials()} == {"finetune:learning_rate=1e-05", "sixteen-heads"}
    assert {built.nodes[key].label for key in built.kept} == {"finetune"}


def test_nothing_done_everything_is_missing():
    built = plan()
    assert built.missing({}) == built.nodes


def test_everything_done_nothing_is_missing():
    built = plan()
    assert built.missing(dict.fromkeys(built.nodes, True)) == {}


def test_done_rows_do_not_ask_for_absent_prerequisites():
    built = one_task(*METHODS)
    assert built.missing(done(built, bare=("finetune", "sixteen-heads:heads=0.5", "kd:layers=3"))) == {}


def test_a_missing_row_asks_for_what_it_lacks_and_no_more():
    built = one_task(*METHODS)
    assert names(built.missing(done(built, "finetune", "sixteen-heads:heads=0.5"))) == {
        "kd:layers=3.rte.1",
        "teacher-outputs.rte.1",
    }
    assert names(
        built.missing(done(built, "finetune", "teacher-outputs", bare=("sixteen-heads:heads=0.5",)))
    ) == {"kd:layers=3.rte.1"}


def test_outputs_that_are_there_need_no_teacher():
    built = one_task(Finetune(), KnowledgeDistillation())
    assert names(built.missing(done(built, "teacher-outputs", bare=("finetune",)))) == {"kd.rte.1"}


def test_a_start_model_without_weights_is_made_again_only_for_who_needs_it():
    built = one_task(Finetune(), SixteenHeads())
    assert names(built.missing(done(built, bare=("finetune",)))) == {"finetune.rte.1", "sixteen-heads.rte.1"}
    assert names(built.missing(done(built, bare=("finetune", "sixteen-heads")))) == set()


def test_a_row_whose_weights_are_asked_for_is_made_again_where_it_has_none():
    built = one_task(Finetune(), SixteenHeads(), KnowledgeDistillation())
    there = done(built, "finetune", "teacher-outputs", bare=("sixteen-heads", "kd"))
    assert built.missing(there) == {}
    (key,) = (key for key, node in built.nodes.items() if node.label == "kd")
    built.keep([key])
    assert key in built.kept
    assert names(built.missing(there)) == {"kd.rte.1"}
    assert built.missing(there | {key: True}) == {}


def test_missing_keeps_the_order_of_the_plan():
    built = plan()
    found = list(built.missing(dict.fromkeys(list(built.nodes)[::3], True)))
    assert found == [key for key in built.nodes if key in set(found)]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_there_the_missing_can_be_run(seed):
    """Every need of a missing node is missing too or is there with a result; no row is left out."""
    rng = random.Random(seed)
    built = plan((*METHODS, FinetuneMore(), KnowledgeDistillation(init="finetuned")))
    there = {key: rng.random() < 0.7 for key in built.nodes if rng.random() < 0.6}
    missing = built.missing(there)
    for node in missing.values():
        assert all(need in missing or there.get(need) for _, need in node.needs)
    assert built.rows - there.keys() <= missing.keys()
    # What is there with a result is never repeated.
    assert not [key for key in missing if there.get(key)]


def test_the_longest_chain_goes_first():
    nodes = graph({0: [], 1: [], 2: [1], 3: [2], 4: [0]}, hours={0: 2.0, 4: 0.5, 3: 3.0})
    assert critical_path_costs(nodes) == {"0": 2.5, "1": 5.0, "2": 4.0, "3": 3.0, "4": 0.5}


def test_a_chain_counts_only_what_must_run():
    nodes = graph({0: [], 1: [0], 2: [1]})
    del nodes["0"]
    assert critical_path_costs(nodes) == {"1": 2.0, "2": 1.0}


def test_the_redraw_of_collapsed_start_models_can_be_planned():
    built = plan((Finetune(), Finetune(epochs=5), SixteenHeads()), tasks=(RTE,), seeds=(1,), redraws=3)
    found = {node.label: node for node in built.nodes.values()}
    # The baseline's row is the start model itself, redrawn with it.
    assert set(found) == {"finetune", "finetune:epochs=5", "sixteen-heads"}
    assert found["sixteen-heads"].builds_on == (found["finetune"].fingerprint,)
    assert [built.decides(node).get("redraws") for node in found.values()] == [3, None, None]
    plain = plan((Finetune(), Finetune(epochs=5), SixteenHeads()), tasks=(RTE,), seeds=(1,))
    assert built.nodes.keys() & plain.nodes.keys() == {found["finetune:epochs=5"].fingerprint}


def test_planning_ten_thousand_trials_takes_little_more_than_their_fingerprints():
    methods = (Finetune(), *(SixteenHeads(heads=share / 100) for share in range(1, 10)))
    begun = time.perf_counter()
    built = plan(methods, seeds=range(500))
    critical_path_costs(built.missing({}))
    planning = time.perf_counter() - begun
    assert len(built.rows) == 10_000
    begun = time.perf_counter()
    assert [fingerprint(built.decides(node)) for node in built.nodes.values()] == list(built.nodes)
    # Measured 2; looking up a method for every node made it 150.
    assert planning < 15 * (time.perf_counter() - begun)


class Reader(HeadPruning, name="reader", family="pruning", needs=("finetune",)):
    """Takes its counts from another method's record."""

    like: str = "random-heads"

    def order(self, run, model):
        return []

    def reads(self):
        return (self.like,)


def test_notes_are_read_from_the_sweep_s_method_whose_weights_are_not_kept():
    built = one_task(RandomHeads(heads=0.5), Reader())
    reader = next(node for node in built.nodes.values() if node.work.name == "reader")
    (key, need), *_ = reader.reads
    assert (key, built.nodes[need].label) == ("random-heads", "random-heads:heads=0.5")
    assert need not in built.kept
    assert dict(built.decides(reader)["needs"])["random-heads"] == need
    order = list(built.nodes)
    assert order.index(need) < order.index(reader.fingerprint)


def test_a_record_without_weights_is_enough_to_be_read():
    built = one_task(RandomHeads(), Reader())
    assert names(built.missing(done(built, "finetune", bare=("random-heads",)))) == {"reader.rte.1"}
    assert names(built.missing(done(built, "finetune"))) == {"reader.rte.1", "random-heads.rte.1"}


def test_what_is_read_is_made_even_when_the_sweep_lacks_it():
    built = one_task(Reader())
    assert {node.label for node in built.nodes.values()} == {"finetune", "random-heads", "reader"}
    assert {node.label for node in built.trials()} == {"reader"}


def test_a_choice_of_methods_reads_the_whole_sweep_s():
    everything = [RandomHeads(heads=0.5), Reader()]
    built = build([Reader()], [RTE], [1], plan().context, sweep=everything)
    assert "random-heads:heads=0.5" in {node.label for node in built.nodes.values()}


def test_reading_a_name_of_several_or_in_a_circle_is_refused():
    with pytest.raises(BadInput, match="name one in full"):
        one_task(RandomHeads(heads=0.5), RandomHeads(heads=0.4), Reader())
    assert one_task(RandomHeads(heads=0.5), RandomHeads(heads=0.4), Reader(like="random-heads:heads=0.4"))
    with pytest.raises(BadInput, match="in a circle: reader"):
        one_task(Reader(like="reader"))


def test_six_distillation_methods_share_every_teacher_and_what_it_said():
    students = (
        KnowledgeDistillation(layers=3),
        PatientKD(layers=3),
        DistilBERT(layers=3),
        TinyBERT(layers=3),
        PeaKD(layers=3),
        PeaKD(layers=3, sps=False),
    )
    built = plan((Finetune(), *students), [RTE], range(1, 6))
    labels = Counter(node.label for node in built.nodes.values())
    assert labels.pop("finetune") == labels.pop("teacher-outputs") == 5
    states = {label: count for label, count in labels.items() if label.startswith("teacher-states")}
    assert states == {
        "teacher-states:cls=True": 5,
        "teacher-states:hidden=last": 5,
        "teacher-states:hidden=mapped,attentions=True,layer_map=3": 5,
    }
    assert len(built.nodes) == 5 * (1 + 1 + 3 + 6)
    for node in built.nodes.values():
        if node.work.name.startswith("teacher-"):
            ((name, teacher),) = node.needs
            assert (name, built.nodes[teacher].seed) == ("finetune", node.seed)


class FromText(Prerequisite, name="of-a-task", family="prerequisite"):
    """A prerequisite of each task that builds on one of the sweep."""

    def prerequisites(self):
        return (PretrainedEncoder(),)

    def produce(self, run, folder):
        raise NotImplementedError


class Reading(Method, name="reading", family="sharing"):
    """Starts from an encoder of the sweep, and from another prerequisite that does."""

    def prerequisites(self):
        return (PretrainedEncoder(), FromText())

    def encoder(self):
        return "pretrained-encoder"

    def compress(self, run):
        raise NotImplementedError


CORPUS = {"sha256": "c" * 64}


def test_what_belongs_to_the_sweep_is_planned_once_and_stands_first():
    built = plan((Reading(),), corpus=CORPUS)
    shared = [node for node in built.nodes.values() if node.work.name == "pretrained-encoder"]
    assert [(node.task, node.seed, node.name) for node in shared] == [("-", 0, "pretrained-encoder.-.0")]
    assert shared[0].fingerprint in built.kept - built.rows
    assert next(iter(built.nodes)) == shared[0].fingerprint
    dependants = [node for node in built.nodes.values() if shared[0].fingerprint in node.builds_on]
    assert len(dependants) == 2 * 2 * 2
    assert len(built.nodes) == 1 + 2 * 2 * 2


def test_neither_tasks_nor_their_training_decide_what_belongs_to_the_sweep():
    def fingerprints(**changes):
        built = plan((Reading(),), **{"corpus": CORPUS} | changes)
        return {node.work.name: key for key, node in built.nodes.items()}

    def same(**changes):
        first, second = fingerprints(), fingerprints(**changes)
        return first["pretrained-encoder"] == second["pretrained-encoder"]

    assert same(limit=50) and same(selection=0.3) and same(tasks=[RTE]) and same(seeds=(7,))
    slower = Training(precision="fp32", device="cpu", learning_rate=1e-6)
    assert same(training=slower)
    assert fingerprints()["reading"] != fingerprints(training=slower)["reading"]
    assert not same(training=Training(precision="bf16", device="cpu"))
    assert not same(corpus={"sha256": "d" * 64})
    assert fingerprints()["reading"] != fingerprints(corpus={"sha256": "d" * 64})["reading"]


def test_the_corpus_decides_trials_that_learn_from_it_and_no_others():
    methods = (SharedLayers(corpus_tokens=1000), SharedLayers())
    first, second = (
        {node.fingerprint: node.label for node in plan(methods, corpus=corpus).nodes.values()}
        for corpus in (CORPUS, {"sha256": "d" * 64})
    )
    assert {first[key] for key in first.keys() - second.keys()} == {"shared-layers:corpus_tokens=1000"}
    assert "shared-layers" in {first[key] for key in first.keys() & second.keys()}


def test_what_a_named_encoder_stands_for_decides():
    own = Albert(pretrained="somebody/albert")
    identity = {"id": "somebody/albert", "revision": "e" * 40}
    built = plan((Finetune(), own), [RTE], (1,), models={"somebody/albert": identity})
    tuned = next(node for node in built.nodes.values() if node.work.name == "albert")
    assert built.decides(tuned)["params"]["pretrained"] == identity


def test_the_split_that_is_scored_decides_the_result():
    contents = [
        _task_content(RTE.model_copy(update={"validation": splits}))
        for splits in (("validation",), ("test",), ("validation", "test"))
    ]
    assert contents[0] == _task_content(RTE)
    assert contents[1] not in (contents[0], contents[2]) and contents[0] != contents[2]
