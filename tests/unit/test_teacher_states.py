"""The teacher's cached states: what is in them, how they are read, how much room they take."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from distilled import with_states
from small_plans import plan
from tiny_encoders import STACKS, compact_albert, encoder, examples

from methods import registry
from methods.distillation import states as cache
from methods.distillation.losses import loss_on_logits
from methods.distillation.observe import observe
from methods.distillation.parts import Part, total_bytes
from methods.distillation.states import States, write
from methods.distillation.teacher_outputs import TeacherOutputs
from methods.distillation.teacher_states import TeacherStates
from methods.inference import predict
from methods.method import Method, Size
from tasks.batches import collate, epoch
from tasks.errors import BadInput

ALL = {"cls": True, "hidden": "mapped", "attentions": True, "layer_map": (1, 3)}


class Asks(Method, name="asks", family="distillation"):
    """A method that wants all kinds of states."""

    dtype: str = "fp32"

    def prerequisites(self):
        return (TeacherStates(**ALL, dtype=self.dtype),)

    def compress(self, run):
        raise NotImplementedError


@pytest.mark.parametrize(("dtype", "tolerance"), [("fp32", 1e-5), ("bf16", 1e-2)])
def test_cached_states_are_the_live_ones_in_any_order(run, dtype, tolerance):
    trial = with_states(run(layers=3), Asks(dtype=dtype))
    cached, teacher = trial.teacher_states(), trial.start()
    assert cached.parts["hidden"] == Part("hidden", (0, 1, 3), 32)
    assert cached.parts["attentions"] == Part("attentions", (1, 3), 4)
    for batch in epoch(trial.train, 5, seed=3, number=0):
        with torch.no_grad():
            live = observe(teacher, batch, cached.parts.values())
        mask = batch.inputs["attention_mask"]
        pairs = (mask[:, :, None] * mask[:, None, :])[:, None, None]
        real = {"cls": 1, "hidden": mask[:, None, :, None], "attentions": pairs}
        for kind, seen in live.items():
            found = cached.read(kind, batch.positions)
            assert (found.dtype, found.shape) == (torch.float32, seen.shape)
            torch.testing.assert_close(found, seen * real[kind], atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("kind", STACKS)
def test_every_architecture_shows_its_states(kind):
    model = encoder(kind)
    batch = collate(examples(model, 6), np.arange(6))
    parts = [Part("cls", (1, 3), 32), Part("hidden", (0, 3), 32), Part("attentions", (3,), 4)]
    with torch.no_grad():
        seen = observe(model, batch, parts)
        last = model.base_model(**batch.inputs).last_hidden_state
    tokens = last.shape[1]
    assert torch.equal(seen["hidden"][:, 1], last) and seen["hidden"].shape == (6, 2, tokens, 32)
    assert torch.equal(seen["cls"][:, 1], last[:, 0])
    assert seen["attentions"].shape == (6, 1, 4, tokens, tokens)


@pytest.mark.parametrize("share", ["all", "attention", "ffn", "none"])
def test_scores_are_those_of_each_application_whatever_layers_share(share):
    model = compact_albert(share, layers=3).eval()
    batch = collate(examples(model, 6), np.arange(6))
    with torch.no_grad():
        scores = observe(model, batch, [Part("attentions", (1, 2, 3), 4)])["attentions"].unbind(1)
        states = model.base_model(**batch.inputs, output_hidden_states=True).hidden_states
    for own, state, layer in zip(scores, states, model.base_model.encoder.layer, strict=False):
        attention = layer.attention.self
        query, key = (
            linear(state).unflatten(-1, (4, 8)).transpose(1, 2) for linear in (attention.query, attention.key)
        )
        torch.testing.assert_close(own, query @ key.transpose(-1, -2) * 8**-0.5)


def test_teacher_accuracy_from_the_cache_is_the_live_one(run):
    trial = with_states(run(layers=3), Asks())
    teacher, cached, logits = trial.start(), trial.teacher_states(), trial.teacher_logits()
    live = predict(teacher, trial.train)
    right = {"logits": 0, "states": 0}
    for batch in epoch(trial.train, 7, seed=5, number=1):
        pooled = torch.tanh(teacher.bert.pooler.dense(cached.read("cls", batch.positions)[:, -1]))
        from_states = teacher.classifier(pooled).detach()
        np.testing.assert_allclose(from_states, live[batch.positions], atol=1e-5)
        right["states"] += int((from_states.argmax(1) == batch.labels).sum())
        right["logits"] += int((logits[batch.positions].argmax(1) == batch.labels.numpy()).sum())
    expected = int((live.argmax(1) == trial.train.labels).sum())
    assert right == {"logits": expected, "states": expected}
    assert 0 < expected < len(live), "a constant teacher would hide a wrong order"


def test_size_is_known_before_and_plan_gives_a_bound(run):
    trial = with_states(run(layers=3), Asks(dtype="bf16"))
    folder = trial.results["teacher-states"]
    lengths = trial.train.lengths
    expected = 2 * 32 * (3 * 32 + 0) + 2 * int(lengths.sum()) * 3 * 32 + 2 * int((lengths**2).sum()) * 2 * 4
    on_disk = sum(file.stat().st_size for file in folder.glob("*.bin"))
    assert on_disk == expected == trial.notes["bytes"]
    assert on_disk == total_bytes(trial.teacher_states().parts.values(), lengths, "bf16")
    work = TeacherStates(**ALL)
    size = Size(examples=32, tokens=64, layers=3, hidden=32, heads=4, classes=2, weights=10)
    assert expected < work.disk_bytes(size) == 32 * 2 * (3 * 32 + 64 * 3 * 32 + 64**2 * 2 * 4)
    assert work.model_copy(update={"dtype": "fp32"}).disk_bytes(size) == 2 * work.disk_bytes(size)


def test_a_full_disk_is_said_before_and_while_writing(run, tmp_path, monkeypatch):
    trial = run()
    usage = {"free": 100}
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda folder: SimpleNamespace(**usage))
    (tmp_path / "early").mkdir()
    with pytest.raises(BadInput, match=r"0 MB are to be cached in .*early, which has 0 MB free; make room"):
        TeacherStates(cls=True).produce(trial, tmp_path / "early")
    with pytest.raises(BadInput, match=r"teacher-outputs: 0 MB are to be cached in .*early"):
        TeacherOutputs().produce(trial, tmp_path / "early")
    assert not list((tmp_path / "early").iterdir()), "nothing is written"
    usage["free"] = 10**9

    def full(row, dtype):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache, "_bits", full)
    (tmp_path / "late").mkdir()
    with pytest.raises(BadInput, match="make room"):
        TeacherStates(cls=True).produce(trial, tmp_path / "late")
    assert trial.teacher_logits().shape == (32, 2), "what was there is untouched"
    # A disk that fills while logits are written.
    monkeypatch.setattr(cache.Path, "write_bytes", lambda path, content: full(content, None))
    with pytest.raises(BadInput, match=r"teacher-outputs: .* make room"):
        TeacherOutputs().produce(trial, tmp_path / "late")


def test_an_error_that_is_not_a_full_disk_is_not_called_one(run, tmp_path, monkeypatch):
    def fails(number):
        def write_row(row, dtype):
            raise OSError(number, "no")

        monkeypatch.setattr(cache, "_bits", write_row)

    fails(errno.EDQUOT)
    with pytest.raises(BadInput, match="which has no quota left; make room"):
        TeacherStates(cls=True).produce(run(), tmp_path)
    fails(errno.EIO)
    with pytest.raises(OSError, match="no"):
        TeacherStates(cls=True).produce(run(), tmp_path)


def private_bytes() -> int:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


@pytest.mark.skipif(sys.platform != "linux", reason="private memory is read from /proc")
def test_private_memory_does_not_grow_with_the_cache(tmp_path):
    part, n = Part("cls", tuple(range(1, 13)), 256), 4000
    lengths = np.full(n, 8, dtype=np.int64)
    row = torch.ones(part.shape(8))
    write(tmp_path, [part], lengths, "fp32", ((i, {"cls": row}) for i in range(n)))
    assert (tmp_path / "cls.bin").stat().st_size == 4 * 12 * 256 * n > 45e6
    states = States(tmp_path, torch.device("cpu"))
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    states.read("cls", order[:32])
    before = private_bytes()
    total = sum(float(states.read("cls", positions).sum()) for positions in order.split(32))
    assert total == 12 * 256 * n
    assert private_bytes() - before < 10e6


def test_equal_fields_are_one_node_and_defaults_keep_nothing():
    assert TeacherStates(cls=True).label == TeacherStates(cls=True, dtype="bf16").label
    assert TeacherStates().disk_bytes(Size(10, 10, 2, 8, 2, 2, 5)) == 0


def test_a_map_that_does_not_fit_is_refused_when_the_disk_is_planned():
    size = Size(examples=10, tokens=8, layers=6, hidden=32, heads=4, classes=2, weights=10)
    with pytest.raises(BadInput, match="layer_map: 4 layers of a student do not divide the teacher's 6"):
        TeacherStates(attentions=True, layer_map=4).disk_bytes(size)


def test_alpha_zero_reads_no_teacher(run):
    trial = run()
    trial.results = {}
    batch = collate(trial.train, np.arange(4))
    logits = torch.zeros(4, 2)
    assert loss_on_logits(trial, temperature=5, alpha=0)(logits, batch).item() == pytest.approx(np.log(2))


@pytest.mark.parametrize("name", ["patient-kd", "distilbert", "tinybert", "pea-kd"])
def test_states_are_cached_as_asked_and_the_default_is_in_no_fingerprint(name):
    method = registry.find(name)
    kept = {
        cache: [need.dtype for need in method(cache=cache).prerequisites() if isinstance(need, TeacherStates)]
        for cache in ("bf16", "fp32")
    }
    assert kept == {"bf16": ["bf16"], "fp32": ["fp32"]}
    assert "cache" not in method().deciding(), "records are older than the field"
    assert method(cache="fp32").deciding() == {**method().deciding(), "cache": "fp32"}
    prints = {node.fingerprint for node in plan((method(), method(cache="fp32")), seeds=(1,)).trials()}
    assert len(prints) == 4, "two rows on two tasks"
