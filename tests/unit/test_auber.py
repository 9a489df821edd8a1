import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from head_pruning_runs import head_pruning_run
from pydantic import ValidationError
from tiny_encoders import HEADS, KINDS, LAYERS, encoder, examples
from tiny_tasks import PAIRS, own_cache, write_data, write_tokenizer

from methods import checkpoint, encoders
from methods.flops import flops_by_length
from methods.pruning import masked
from methods.pruning.auber import rewards, search
from methods.pruning.auber.method import Auber
from methods.pruning.auber.search import Search
from methods.pruning.auber.state import initial_state
from tasks.errors import BadInput
from tasks.prepare import prepare
from tasks.seeds import Seeds

# So few episodes rarely outgrow a value of 0.2 for stopping, and then nothing would be pruned.
FIELDS = {"episodes": 80, "stop_q": -1.0, "steps": 2, "learning_rate": 1e-3}


class Killed(BaseException):
    """What ends an attempt."""


@pytest.fixture(scope="module", autouse=True)
def narrow():
    """A smaller Q network, ten times as fast to train; the published shape has a test in test_auber_agent."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(search.Agent.__init__.__kwdefaults__, "width", 64)
        yield


def _run(folder, kind="bert", seed=1, resume=None):
    """A run with enough reward examples to tell masks apart."""
    run = head_pruning_run(folder, kind, seed)
    data = examples(encoder(kind), 64)
    run.train, run.reward, run.choice = (data.subset(range(*span)) for span in ((0, 32), (32, 56), (56, 64)))
    run.resume = resume
    return run


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A run that was not interrupted, with its result."""
    run = _run(tmp_path_factory.mktemp("auber"))
    return run, Auber(**FIELDS).compress(run)


def _same(one, other):
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items()) and len(one) == len(other)


@pytest.mark.parametrize("kind", KINDS)
def test_heads_are_really_gone_and_every_layer_keeps_one(kind, tmp_path):
    run = _run(tmp_path, kind)
    model = Auber(**FIELDS).compress(run)
    notes = run.notes
    assert notes["kept_heads"] == encoders.kept_heads(model)
    assert [
        sorted(kept + gone) for kept, gone in zip(notes["kept_heads"], notes["removed_heads"], strict=True)
    ] == [[0, 1, 2, 3]] * LAYERS
    assert all(notes["kept_heads"])
    gone = sum(map(len, notes["removed_heads"]))
    assert 0 < gone == sum(layer["pruned"] for layer in notes["layers"])
    for layer in encoders.layers(model):
        assert layer.query.out_features == len(layer.heads) * layer.head_size
    assert notes["reward_path"] == "shared"
    json.dumps(notes)


def test_notes_say_what_was_tried_and_found(done):
    run, _ = done
    assert [layer["layer"] for layer in run.notes["layers"]] == [0, 1, 2]
    for layer, gone in zip(run.notes["layers"], run.notes["removed_heads"], strict=True):
        assert layer["removed"] == gone == layer["greedy"]["removed"]
        assert layer["episodes"] == 80
        assert layer["distinct_masks"] == layer["evaluations"] - 1 <= 2**HEADS - 2
        assert layer["best"]["gain"] >= layer["greedy"]["gain"]
        assert set(layer["reward_split"]) == {"accuracy"}
        assert layer["reward_examples"] == 24
        assert sum(layer["state"]) == pytest.approx(1, abs=1e-5)
    assert sum(layer["updates"] for layer in run.notes["layers"]) > 0
    assert run.notes["evaluations"] == sum(layer["evaluations"] for layer in run.notes["layers"])
    assert set(run.notes["train_choice_gap"]) == {"before", "after"}
    assert run.notes["reward_precision"] == "fp32"
    assert run.notes["settings"] == {
        "norm": "l1",
        "mini_dev": "selection",
        "metric": "primary",
        "trainer": "sweep",
    }


def test_every_layers_model_is_handed_back_and_the_last_is_the_result(done):
    run, model = done
    assert list(run.stages) == ["layer-0", "layer-1", "layer-2"]
    staged = [checkpoint.load(folder) for folder in run.stages.values()]
    assert _same(staged[-1].state_dict(), model.state_dict())
    for row, one in enumerate(staged):
        whole = [list(range(HEADS))] * (LAYERS - 1 - row)
        assert encoders.kept_heads(one) == run.notes["kept_heads"][: row + 1] + whole
        assert run.score(one, run.reward) == run.notes["layers"][row]["reward_split"]


def test_cost_holds_the_work_of_rewards_and_of_training_the_examples_too(done):
    run, _ = done
    pruned = sum(bool(layer["pruned"]) for layer in run.notes["layers"])
    assert run.cost.steps == 2 * pruned
    assert run.cost.examples == 2 * 8 * pruned
    longest = flops_by_length(run.start())(int(run.train.lengths.max()))
    assert run.cost.flops > 3 * run.cost.examples * longest, "more than training alone can have taken"


def test_the_same_seed_gives_the_same_result_and_another_does_not(done, tmp_path):
    run, model = done
    torch.manual_seed(9)
    again = _run(tmp_path)
    assert _same(Auber(**FIELDS).compress(again).state_dict(), model.state_dict())
    assert again.notes == run.notes
    other = _run(tmp_path / "other", seed=2)
    Auber(**FIELDS).compress(other)
    assert other.notes["layers"] != run.notes["layers"]


@pytest.mark.parametrize("seed", [1, 2])
def test_the_plain_path_prunes_the_same_heads(seed, monkeypatch, tmp_path):
    fast, plain = _run(tmp_path, seed=seed), _run(tmp_path, seed=seed)
    Auber(**FIELDS).compress(fast)
    monkeypatch.setattr(rewards, "evaluator", masked.WholeEvaluator)
    Auber(**FIELDS).compress(plain)
    assert fast.notes["removed_heads"] == plain.notes["removed_heads"]
    assert fast.notes["layers"] == plain.notes["layers"]


@pytest.mark.parametrize("instant", ["episode", "fine-tuning", "layer"])
def test_a_killed_trial_goes_on_and_ends_as_an_unbroken_one(instant, done, monkeypatch, tmp_path):
    run, model = done
    killed = _run(tmp_path / "one", resume=tmp_path / "resume")
    killed.resume.mkdir(parents=True)
    played, begun = [], []

    def play(agent, environment, episode):
        played.append(episode)
        if instant == "episode" and len(played) == 120:
            raise Killed
        return search_play(agent, environment, episode)

    def fit(*arguments, **keywords):
        begun.append(1)
        if instant == "fine-tuning" and len(begun) == 2:
            raise Killed
        return run_fit(*arguments, **keywords)

    def end_layer(progress, row, *arguments):
        kept(progress, row, *arguments)
        if instant == "layer" and row == 1:
            raise Killed

    search_play, run_fit, kept = search.play, killed.fit, search.Progress.end_layer
    with monkeypatch.context() as patch:
        patch.setattr(search, "play", play)
        patch.setattr(search.Progress, "end_layer", end_layer)
        patch.setattr(search, "SAVE_SECONDS", 0.0)
        killed.fit = fit
        with pytest.raises(Killed):
            Auber(**FIELDS).compress(killed)
    second = _run(tmp_path / "two", resume=tmp_path / "resume")
    told = []
    second.report = lambda step, metrics: told.append((step, metrics.get("layer")))
    again = []
    monkeypatch.setattr(search, "play", lambda *of: (again.append(of[-1]), search_play(*of))[1])
    result = Auber(**FIELDS).compress(second)
    assert len(again) in {"episode": [121], "fine-tuning": [0, 80], "layer": [80]}[instant]
    assert _same(result.state_dict(), model.state_dict())
    assert (second.notes, second.cost, second.fits) == (run.notes, run.cost, run.fits)
    layers = [(80, 0.0), (160, 1.0), (240, 2.0)]
    assert [told.count(end) for end in layers] == [1, 1, 1], "MLflow shows the last attempt alone"
    assert list(second.stages) == list(run.stages)
    for one, other in zip(second.stages.values(), run.stages.values(), strict=True):
        assert _same(checkpoint.load(one).state_dict(), checkpoint.load(other).state_dict())


def test_layers_come_in_order_and_are_read_after_the_fine_tuning_below_them(monkeypatch, tmp_path):
    run = _run(tmp_path)
    start = [layer.value.weight.clone() for layer in encoders.layers(run.start())]
    seen = []

    def read(layer, part, norm):
        seen.append((layer.positions[0], layer.value.weight.detach().clone(), run.fits))
        return initial_state(layer, part, norm)

    monkeypatch.setattr(search, "initial_state", read)
    Auber(**FIELDS).compress(run)
    assert [position for position, _, _ in seen] == [0, 1, 2]
    assert torch.equal(seen[0][1], start[0])
    for position, weight, fits in seen[1:]:
        assert torch.equal(weight, start[position]) == (fits == 0)
    assert seen[2][2] > 0, "nothing was fine-tuned, so nothing was tested"


def test_where_nothing_is_removed_nothing_is_trained(monkeypatch, tmp_path):
    run = _run(tmp_path)
    monkeypatch.setattr(search.Agent, "greedy", lambda agent, state: agent.heads)
    model = Auber(**FIELDS).compress(run)
    assert run.fits == 0 and run.cost.steps == 0
    assert _same(model.state_dict(), run.start().state_dict())
    assert list(run.stages) == ["layer-0", "layer-1", "layer-2"]
    assert run.notes["removed_heads"] == [[]] * LAYERS
    gap = run.notes["train_choice_gap"]
    assert gap["before"] == gap["after"]


def test_best_seen_is_an_ablation_that_removes_the_best_mask(done, tmp_path):
    run = _run(tmp_path)
    Auber(**FIELDS, returns="best-seen").compress(run)
    assert [layer["removed"] for layer in run.notes["layers"]] == [
        layer["best"]["removed"] for layer in run.notes["layers"]
    ]
    assert run.notes["layers"][0]["best"] == done[0].notes["layers"][0]["best"]


def test_a_layer_with_one_head_keeps_it(tmp_path):
    run = _run(tmp_path)
    model = run.start()
    from methods.pruning.surgery import prune_heads

    prune_heads(model, {1: {0, 1, 3}})
    checkpoint.save(model, tmp_path / "model")
    Auber(**FIELDS).compress(run)
    assert run.notes["kept_heads"][1] == [2]
    assert run.notes["layers"][1]["episodes"] == 0


def _spied(monkeypatch, run, **fields):
    """What rewards were measured on and what was fine-tuned on, by layer."""
    judged, learnt, fit = [], [], run.fit

    def measure(model, row, data, metric, *, bf16):
        judged.append((data, metric, bf16))
        return rewards.Rewards(model, row, data, metric, bf16=bf16)

    def learn(model, *, steps, training, examples):
        learnt.append((examples, training, steps))
        return fit(model, steps=steps, training=training, examples=examples)

    monkeypatch.setattr(search, "Rewards", measure)
    run.fit = learn
    Auber(**(FIELDS | fields)).compress(run)
    return judged, learnt


def test_clean_measures_rewards_on_the_fixed_reward_split_and_trains_on_all_of_train(monkeypatch, tmp_path):
    run = _run(tmp_path)
    judged, learnt = _spied(monkeypatch, run)
    assert all(np.array_equal(data.rows, run.reward.rows) for data, _, _ in judged)
    assert all(np.array_equal(data.rows, run.train.rows) for data, _, _ in learnt)
    assert {metric for _, metric, _ in judged} == {"accuracy"}


@pytest.mark.parametrize("fields", [{"preset": "code"}, {"preset": "paper"}, {"mini_dev": "train-redrawn"}])
def test_code_measures_rewards_on_a_quarter_of_train_drawn_anew_and_trains_on_the_rest(
    fields, monkeypatch, tmp_path
):
    run = _run(tmp_path)
    judged, learnt = _spied(monkeypatch, run, **fields)
    parts = [set(data.rows.tolist()) for data, _, _ in judged]
    whole = set(run.train.rows.tolist())
    assert all(part < whole for part in parts)
    assert parts[0] != parts[1] != parts[2]
    assert len(whole) / 8 < np.mean([len(part) for part in parts]) < len(whole) / 2.5
    rests = [whole - part for part in parts]
    assert learnt and all(set(data.rows.tolist()) in rests for data, _, _ in learnt)


def test_a_quarter_of_train_can_be_the_same_for_all_layers(monkeypatch, tmp_path):
    judged, _ = _spied(monkeypatch, _run(tmp_path), mini_dev="train")
    assert len(judged) == LAYERS
    assert all(np.array_equal(data.rows, judged[0][0].rows) for data, _, _ in judged)


def test_presets_differ_in_named_fields_and_a_given_field_has_the_last_word():
    clean, paper, code = (Auber(preset=name).resolved() for name in ("clean", "paper", "code"))
    assert vars(clean) == {"norm": "l1", "mini_dev": "selection", "metric": "primary", "trainer": "sweep"}
    assert vars(code) == {
        "norm": "l2",
        "mini_dev": "train-redrawn",
        "metric": "official",
        "trainer": "official",
    }
    assert vars(paper) == vars(code) | {"norm": "l1"}
    own = Auber(preset="code", norm="l1", mini_dev="train", metric="primary", trainer="sweep").resolved()
    assert vars(own) == {"norm": "l1", "mini_dev": "train", "metric": "primary", "trainer": "sweep"}
    assert {Auber(preset=name).stop_q for name in ("clean", "paper", "code")} == {0.2}


def test_the_norm_of_the_preset_is_what_the_agent_sees(tmp_path):
    for preset, norm in (("clean", "l1"), ("code", "l2")):
        run = _run(tmp_path)
        Auber(**FIELDS, preset=preset, state="key").compress(run)
        expected = initial_state(encoders.layers(run.start())[0], "key", norm)
        assert run.notes["layers"][0]["state"] == pytest.approx(expected.tolist(), abs=1e-6)


def test_rewards_are_in_the_primary_or_the_official_metric(tmp_path):
    run = _run(tmp_path)
    run.task = run.task.model_copy(update={"metrics": ("f1", "accuracy"), "primary": "f1"})
    assert Search(Auber(), run).metric == "f1"
    assert Search(Auber(preset="code"), run).metric == "accuracy"
    run.task = run.task.model_copy(update={"metrics": ("matthews",), "primary": "matthews"})
    assert Search(Auber(preset="paper"), run).metric == "matthews"


def test_recovery_takes_the_sweeps_settings_or_the_official_ones(tmp_path):
    training = _run(tmp_path).training
    clean, official = Auber().recovery(training), Auber(trainer="official").recovery(training)
    assert (clean.epochs, clean.learning_rate) == (official.epochs, official.learning_rate) == (3, 2e-5)
    assert (clean.batch_size, clean.warmup, clean.weight_decay) == (8, 0.1, 0.01)
    assert (official.batch_size, official.warmup, official.weight_decay) == (32, 0, 0)
    assert Auber(epochs=1, learning_rate=2e-6).recovery(training).model_dump(
        include={"epochs", "learning_rate"}
    ) == {
        "epochs": 1,
        "learning_rate": 2e-6,
    }


def test_precision_of_rewards_is_the_sweeps_unless_given(tmp_path):
    run = _run(tmp_path)
    assert not Search(Auber(), run).bf16 and Search(Auber(precision="bf16"), run).bf16
    run.training = run.training.override(precision="bf16")
    assert Search(Auber(), run).bf16 and not Search(Auber(precision="fp32"), run).bf16


def test_stopping_can_be_learnt_and_reward_examples_capped(monkeypatch, tmp_path):
    agents, make = [], search.Agent
    monkeypatch.setattr(search, "Agent", lambda *a, **k: agents.append(make(*a, **k)) or agents[-1])
    run = _run(tmp_path)
    judged, _ = _spied(monkeypatch, run, stop_q="learned", reward_examples=10)
    assert [agent.policy.stop for agent in agents] == [None] * LAYERS
    rows = [data.rows.tolist() for data, _, _ in judged]
    # What `greedy-heads` draws too, whose rewards must be on the same examples.
    assert rows == [run.reward.sample(10, run.seeds.order).rows.tolist()] * LAYERS
    assert len(rows[0]) == 10


def test_no_example_of_the_official_validation_split_reaches_a_reward(monkeypatch, tmp_path):
    own_cache(monkeypatch, tmp_path / "hf")
    folder, source = write_tokenizer(tmp_path / "tokenizer"), write_data(tmp_path / "data")
    prepared = prepare(
        PAIRS,
        str(source),
        str(folder),
        revision=None,
        max_length=32,
        limit=None,
        selection=0.2,
        seeds=Seeds.derive(1),
        cache=tmp_path / "cache",
    )

    def hashes(data):
        spans = zip(data.offsets[data.rows], data.offsets[data.rows + 1], strict=True)
        return {hashlib.sha256(data.ids[begin:end].tobytes()).hexdigest() for begin, end in spans}

    for preset in ("clean", "code"):
        run = replace(
            head_pruning_run(tmp_path), train=prepared.train, reward=prepared.reward, choice=prepared.choice
        )
        judged, learnt = _spied(monkeypatch, run, preset=preset)
        assert len(judged) == LAYERS
        for data, *_ in judged + learnt:
            assert hashes(data) and not hashes(data) & hashes(prepared.validation)
        assert not hasattr(run, "validation")


def test_bad_input_is_refused(tmp_path):
    run = _run(tmp_path)
    run.reward = run.reward.subset([])
    with pytest.raises(BadInput, match="0 to measure rewards on"):
        Auber(**FIELDS).compress(run)
    run = _run(tmp_path)
    unknown = run.start()
    unknown.config.model_type = "gpt2"
    run.start = lambda: unknown
    with pytest.raises(BadInput, match="choose an encoder of one of these kinds"):
        Auber(**FIELDS).compress(run)


@pytest.mark.parametrize(
    "fields",
    [
        {"episodes": 49},
        {"steps": 5, "epochs": 1},
        {"preset": "fast"},
        {"stop_q": "learnt"},
        {"stop_q": True},
        {"reward_examples": 0},
        {"norm": "l3"},
        {"mini_dev": "validation"},
        {"learning_rate": 0},
    ],
)
def test_bad_fields_are_refused(fields):
    with pytest.raises(ValidationError):
        Auber(**fields)


def test_long_settings_cost_more():
    assert Auber().cost() > Auber(steps=60).cost() > Auber(steps=60, episodes=50).cost() > 1
    assert Auber().label == "auber" and Auber(preset="code").label == "auber:preset=code"
