"""Fields that do not fit the task or the encoder are refused when a sweep is planned, not by a worker."""

from __future__ import annotations

import json
import re

import pytest
from distilled import VOCABULARY, write_tokenizer
from tokenizers import Tokenizer
from tokenizers.models import BPE
from transformers import BertConfig, PreTrainedTokenizerFast
from typer.testing import CliRunner

from benchmark import cli
from benchmark.config.load import make_sweep
from benchmark.plan.job import resolve
from methods import registry
from methods.pretrained import Source
from methods.settings import Training
from tasks.errors import BadInput
from tasks.glue import MRPC, WNLI

SWEEP = {"name": "s", "model": "minilm", "data": "bundled", "tasks": ["mrpc"], "seeds": 1}
MISTAKES = [
    ("kd", {"layers": 7}, "layers: 7 asked for, but the model has 6; give 1 to 6"),
    ("kd", {"take": (2, 7)}, "take: [2, 7] of a model with layers 1 to 6"),
    ("kd", {"take": (2, 2)}, "name each at most once"),
    ("distilbert", {"layers": 7}, "layers: 7 asked for"),
    ("patient-kd", {"layers": 1}, "a student that applies 1 layers and a teacher of 6 cannot be paired"),
    ("pea-kd", {"layers": 6}, "a student that applies 9 layers and a teacher of 6 cannot be paired"),
    ("pea-kd", {"layers": 1, "sps": False}, "a student that applies 1 layers"),
    ("tinybert", {"layer_map": (2, 4, 7)}, "layer_map: [2, 4, 7] does not fit a teacher of 6 layers"),
    ("tinybert", {"layer_map": (2, 6)}, "it names 2 of the teacher's layers, but the student has 3"),
    ("tinybert", {"student": "x/y", "layer_map": (1, 9)}, "layer_map: [1, 9] does not fit a teacher of 6"),
    ("tinybert", {"layers": 4}, "4 layers of a student do not divide the teacher's 6 evenly"),
    ("tinybert", {"layers": 4, "live": True}, "4 layers of a student do not divide the teacher's 6 evenly"),
    ("shared-layers", {"groups": 7}, "groups: 7 asked for, but the model has 6 layers; give 1 to 6"),
    ("shared-layers", {"groups": 1, "init": "layer", "layer": 6}, "the model has layers 0 to 5"),
]
UNFIT_ENCODERS = [
    ("shared-layers", {"embedding": 33}, "bert", "embedding: 33 is more than the 32 the word table is wide"),
    ("sixteen-heads", {"heads": 0.05}, "bert", "heads: 0.05 of 16 heads are 0, and 16 may go with floor 0"),
    ("sixteen-heads", {"heads": [0.5, 0.9], "floor": 1}, "bert", "0.9 of 16 heads are 14, and 12 may go"),
    ("ffn-neurons", {}, "mobilebert", "a MobileBERT has several"),
    ("shared-layers", {"corpus_tokens": 9}, "roberta", "order is learnt through a pooler, and a 'roberta'"),
]
FINE = [
    ("kd", {"layers": 6}),
    ("kd", {"take": (6, 1)}),
    ("patient-kd", {"layers": 1, "beta": 0}),
    ("pea-kd", {}),
    ("pea-kd", {"layers": 1}),
    ("pea-kd", {"layers": 6, "objective": "kd"}),
    ("pea-kd", {"layers": 6, "sps": False}),
    ("tinybert", {"layers": 2, "layer_map": (1, 6)}),
    ("tinybert", {"take": (1, 2, 3), "live": True}),
    ("shared-layers", {"groups": 6}),
]


@pytest.mark.parametrize(("name", "fields", "message"), MISTAKES)
def test_what_does_not_fit_the_encoder_is_refused(name, fields, message):
    with pytest.raises(BadInput, match=re.escape(message)):
        registry.find(name)(**fields).check(MRPC, layers=6)


def test_text_for_less_than_two_steps_is_refused():
    method, training = registry.find("shared-layers"), Training(max_length=64)
    with pytest.raises(BadInput, match=r"corpus_tokens: 4095 is less than two steps .* give 4096 or more"):
        method(corpus_tokens=4095).check_training(training)
    method(corpus_tokens=4096).check_training(training)
    method().check_training(training)


@pytest.mark.parametrize(("name", "fields"), FINE)
def test_what_fits_is_left_alone(name, fields):
    registry.find(name)(**fields).check(MRPC, layers=6)


@pytest.mark.parametrize(("name", "fields", "message"), MISTAKES)
def test_an_encoder_that_is_not_here_yet_is_not_guessed_at(name, fields, message):
    registry.find(name)(**fields).check(MRPC, layers=None)


def test_a_released_student_brings_its_own_layers():
    registry.find("patient-kd")(student="x/y").check(MRPC, layers=1)
    registry.find("tinybert")(student="x/y", layer_map=(1, 6)).check(MRPC, layers=6)


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """Folders of a sweep's encoder (4 layers of 4 heads, hidden 32) and of others that differ from it."""
    root = tmp_path_factory.mktemp("released")
    others = {
        "teacher": {},
        "narrow": {"hidden_size": 16},
        "two-heads": {"num_attention_heads": 2},
        "deep": {"num_hidden_layers": 6},
        "fine": {"num_hidden_layers": 2},
        "strange": {"num_hidden_layers": 2},
    }
    for name, changes in others.items():
        words = [*VOCABULARY[:-1], "other"] if name == "strange" else VOCABULARY
        shape = {
            "num_hidden_layers": 4,
            "hidden_size": 32,
            "num_attention_heads": 4,
            "vocab_size": len(words),
        }
        BertConfig(**{**shape, **changes}).save_pretrained(write_tokenizer(root / name, words))
    return root


UNFIT = [
    ("kd", "strange", {}, "'strange' and the sweep's model 'teacher' have different vocabularies (50 and 50"),
    ("patient-kd", "narrow", {}, "patience: the student's hidden size is 16 and the teacher's 32"),
    ("patient-kd", "deep", {}, "a student that applies 6 layers and a teacher of 4 cannot be paired"),
    ("pea-kd", "narrow", {}, "patience: the student's hidden size is 16 and the teacher's 32"),
    ("distilbert", "narrow", {}, "distilbert: the student's hidden size is 16 and the teacher's 32"),
    ("tinybert", "two-heads", {"layer_map": [1, 2, 3, 4]}, "2 attention heads, the teacher 4"),
    ("tinybert", "fine", {"layer_map": [1, 2, 4]}, "names 3 of the teacher's layers, but the student has 2"),
]


@pytest.mark.parametrize(("name", "student", "fields", "message"), UNFIT)
def test_a_released_student_that_does_not_fit_is_refused_before_a_teacher_is_trained(
    released, name, student, fields, message
):
    row = {name: {"student": str(released / student), **fields}}
    sweep = {**SWEEP, "model": str(released / "teacher"), "methods": ["finetune", row]}
    with pytest.raises(BadInput, match=re.escape(message)):
        resolve(make_sweep(sweep))


def test_a_language_model_of_another_vocabulary_is_refused_before_a_teacher_is_trained(released):
    row = {"tinybert": {"layers": 2, "augment": 1, "augment_model": str(released / "strange")}}
    sweep = {**SWEEP, "model": str(released / "teacher"), "methods": ["finetune", row]}
    with pytest.raises(BadInput, match="have different vocabularies"):
        resolve(make_sweep(sweep))


@pytest.mark.parametrize("name", ["kd", "patient-kd", "distilbert", "pea-kd"])
def test_a_released_student_that_fits_is_planned(released, name):
    row = {name: {"student": str(released / "fine")}}
    resolve(make_sweep({**SWEEP, "model": str(released / "teacher"), "methods": ["finetune", row]}))


@pytest.mark.parametrize(("name", "fields", "kind", "message"), UNFIT_ENCODERS)
def test_an_encoder_that_a_method_cannot_take_is_refused(name, fields, kind, message, tmp_path):
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": kind, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4})
    )
    with pytest.raises(BadInput, match=re.escape(message)):
        registry.find(name)(**fields).check_models(Source("x", None, str(tmp_path)), {})
    registry.find(name)(**fields).check_models(Source("x", "0" * 40, "not/here"), {})


def test_words_cannot_be_told_from_parts_in_every_vocabulary(tmp_path):
    words = Tokenizer(BPE({"<unk>": 0, "a": 1, "<pad>": 2}, [], unk_token="<unk>"))
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", pad_token="<pad>").save_pretrained(
        tmp_path
    )
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "roberta", "hidden_size": 32}))
    with pytest.raises(BadInput, match="is not WordPiece"):
        registry.find("tinybert")(augment=1).check_models(Source("x", None, str(tmp_path)), {})


@pytest.mark.parametrize("name", ["auber", "sixteen-heads", "greedy-heads", "ffn-neurons", "head-ablation"])
def test_layers_that_share_a_part_cannot_be_taken_apart(name, tmp_path):
    fields = {"greedy-heads": {"steps": 1}}.get(name, {})
    find = registry.find_study if name == "head-ablation" else registry.find
    work = find(name)(**fields)
    for share in ("all", "none", "attention", "ffn"):
        (tmp_path / "config.json").write_text(json.dumps({"model_type": "compact-albert", "share": share}))
        source = Source("x", None, str(tmp_path))
        if share in ("all", "none"):
            work.check_models(source, {})
            continue
        with pytest.raises(BadInput, match=f"shares the {share} part of its layers alone"):
            work.check_models(source, {})


def test_an_encoder_of_an_unknown_kind_is_refused(released):
    folder = released / "unknown"
    write_tokenizer(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "deberta-v2", "num_hidden_layers": 2}))
    with pytest.raises(BadInput, match="model: the layers and heads of a 'deberta-v2' model are not known"):
        resolve(make_sweep({**SWEEP, "model": str(folder), "methods": ["finetune"]}))


def test_the_papers_settings_are_for_its_tasks():
    albert = registry.find("albert")(preset="paper")
    albert.check(MRPC, layers=None)
    with pytest.raises(BadInput, match="preset: paper has no settings for wnli; it has cola"):
        albert.check(WNLI, layers=None)


def test_ptp_wants_a_threshold_for_the_task():
    pea = registry.find("pea-kd")
    with pytest.raises(BadInput, match="t: the paper has no thresholds for wnli; give one"):
        pea().check(WNLI, layers=6)
    for fields in ({"t": 0.9}, {"ptp": False}, {"ptp_labels": "random"}):
        pea(**fields).check(WNLI, layers=6)


def test_a_sweep_is_refused_with_the_label_of_the_row():
    methods = ["finetune", {"kd": {"layers": {"grid": [3, 9]}}}]
    with pytest.raises(BadInput, match="sweep: kd:layers=9: layers: 9 asked for, but the model has 6"):
        resolve(make_sweep({**SWEEP, "methods": methods}))


@pytest.mark.parametrize("threshold", [0, 1, 1.2, -0.1])
@pytest.mark.parametrize("field", ["t", "t_wrong"])
def test_thresholds_are_shares(tmp_path, field, threshold):
    path = tmp_path / "s.yaml"
    path.write_text(
        f"model: minilm\ndata: bundled\ntasks: [mrpc]\nmethods: [finetune, {{pea-kd: {{{field}: {threshold}}}}}]\n"
    )
    with pytest.raises(
        BadInput, match=rf"s.yaml:4: methods.1.pea-kd.{field}: input should be (less|greater) than"
    ):
        CliRunner().invoke(cli.app, ["plan", str(path)], catch_exceptions=False)
