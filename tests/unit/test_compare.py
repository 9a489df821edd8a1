"""`leanboard compare`: two rows of a finished sweep, tested as the leaderboard tests them."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path

import pytest
from published_sweep import Output, fail, forget
from typer.testing import CliRunner

from benchmark import cli
from benchmark.store.archive import pack
from reports import leaderboard, predictions

METHODS = ["finetune", {"kd": {"layers": 3}}, {"kd": {"layers": 2}}]
A, B = "kd:layers=2", "kd:layers=3"


@pytest.fixture(autouse=True)
def few_draws(monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("LEANBOARD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(leaderboard, "build", functools.partial(leaderboard.build, replicates=200))


def finished(folder: Path, **changes) -> Output:
    """A finished sweep of three rows, each seed of which differs a little."""
    output = Output(str(folder / "out"), folder, methods=METHODS, tasks=["rte", "mrpc"], **changes)
    for number, key in enumerate(sorted(output.job.plan.rows)):
        output.leave(key, scores={"accuracy": 0.8 + number % 7 / 100, "f1": 0.8 + number % 5 / 100})
    output.manifest.write(output.store)
    return output


@pytest.fixture(scope="module")
def output(tmp_path_factory) -> Output:
    """One that tests only look at."""
    return finished(tmp_path_factory.mktemp("finished"))


def call(*words: str) -> str:
    done = CliRunner().invoke(cli.app, ["compare", *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def compared(*words: str) -> dict:
    return json.loads(call(*words, "--json"))


def test_what_stands_on_top_of_the_page_stands_here_too(output):
    notes = compared(output.store.url, A, B)["notes"]
    assert any("Bundled sample" in note for note in notes)
    shown = call(output.store.url, A, B)
    assert all(note in shown for note in notes)


@pytest.fixture
def refused(monkeypatch, capsys):
    def call(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["leanboard", "compare", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        assert ended.value.code == 2 and "Traceback" not in said.err
        return " ".join(said.err.split())

    return call


def test_the_numbers_are_those_of_a_leaderboard_of_these_two_rows(output):
    found = compared(output.store.url, A, B)
    rows = tuple(m for m in output.manifest.sweep.methods if m.label in (A, B))
    sweep = output.manifest.sweep.model_copy(update={"methods": rows, "baseline": B})
    records = output.store.scan(output.job.plan.rows).records.values()
    board = leaderboard.build(
        records, lambda r: predictions.read(output.store.open(r, "predictions.parquet")), sweep
    )
    expected = {(row.label, row.task): row for row in (*board.overall, *board.rows)}
    assert [each["task"] for each in found["comparisons"]] == ["overall", "rte", "mrpc"]
    for each in found["comparisons"]:
        own, base = expected[A, each["task"]], expected[B, each["task"]]
        assert (each["median"], each["baseline_median"]) == (own.median, base.median)
        assert (each["delta"], tuple(each["ci"])) == (own.delta, own.ci)
        assert (each["p"], each["p_adjusted"]) == (own.p, own.p_adjusted)
        assert (each["verdict"], each["reason"]) == (own.verdict, own.reason)
        assert each["delta"] != 0


def test_p_is_adjusted_for_the_tasks_compared_and_not_for_other_rows(output):
    both = compared(output.store.url, A, B)
    overall, *tasks = both["comparisons"]
    assert both["adjusted_over"] == len(tasks) == 2
    assert overall["p_adjusted"] == overall["p"]
    assert max(each["p_adjusted"] for each in tasks) == max(each["p"] for each in tasks)
    assert any(each["p_adjusted"] > each["p"] for each in tasks)
    one = compared(output.store.url, A, B, "-t", "RTE")
    (alone,) = one["comparisons"]
    assert (one["adjusted_over"], alone["task"], alone["p_adjusted"]) == (1, "rte", alone["p"])


def test_it_is_shown_as_a_table_with_reasons_and_one_sentence(output):
    text = call(output.store.url, A, B)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    assert lines[:2] == [f"A  {A}", f"B  {B}"]
    assert "first: medians of 3 seeds, in points" in text
    assert "adjusted over 2 tasks (Benjamini-Hochberg); overall is one comparison" in text
    content = compared(output.store.url, A, B)
    for each in content["comparisons"]:
        (row,) = (line for line in lines if line.startswith(f"{each['task']} "))
        assert f"{each['median']:.1f}" in row and f"{each['baseline_median']:.1f}" in row
        assert f"{each['task']}: {each['verdict']}: {each['reason']}" in lines
    assert lines[-1] == content["sentence"]
    assert lines[-1].startswith(f"{A} against {B}, on average over RTE, MRPC: ")
    assert (
        call(output.store.url, A, B, "-t", "mrpc")
        .rstrip()
        .splitlines()[-1]
        .startswith(f"{A} against {B}, on MRPC: ")
    )


def test_the_other_way_round_the_sign_changes(output):
    there, back = (compared(output.store.url, *pair)["comparisons"] for pair in ((A, B), (B, A)))
    assert [each["delta"] for each in there] == pytest.approx([-each["delta"] for each in back])


def test_nothing_is_written(tmp_path):
    output = finished(tmp_path)
    output.publish()

    def files() -> dict[Path, tuple[int, bytes]]:
        found = Path(output.store.url).rglob("*")
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in found if path.is_file()}

    before = files()
    call(output.store.url, A, B)
    assert files() == before


def test_an_archive_is_compared_like_the_folder_it_comes_from(output, tmp_path):
    archive = tmp_path / "first.zip"
    pack(output.store, output.manifest, archive)
    assert compared(str(archive), A, B) == compared(output.store.url, A, B)


def test_a_row_with_gaps_gets_no_verdict_and_the_reason(tmp_path):
    output = finished(tmp_path)
    key = next(n.fingerprint for n in output.job.plan.trials() if n.name == f"{A}.rte.2")
    forget(output, key)
    overall, rte, mrpc = compared(output.store.url, A, B)["comparisons"]
    reason = "incomplete: seed 2 (not run) missing"
    assert (rte["verdict"], rte["reason"], rte["p_adjusted"]) == ("none", reason, None)
    assert rte["delta"] is not None
    assert (overall["verdict"], overall["reason"]) == ("none", f"rte: {reason}")
    assert mrpc["p_adjusted"] == mrpc["p"], "nothing else is tested"
    text = call(output.store.url, A, B)
    assert "incomplete" in text and "· no verdict" in text
    assert text.rstrip().endswith(f"gets no verdict. Rte: {reason}.")


def test_a_row_without_any_result_is_no_crash(tmp_path):
    output = finished(tmp_path)
    for node in output.job.plan.trials():
        if node.label == A:
            forget(output, node.fingerprint)
    found = compared(output.store.url, A, B)
    assert {each["verdict"] for each in found["comparisons"]} == {"none"}
    assert {each["delta"] for each in found["comparisons"]} == {None}
    assert found["sentence"].endswith(
        "gets no verdict. Incomplete: seeds 1 (not run), 2 (not run), 3 (not run) missing."
    )
    call(output.store.url, A, B)


def test_why_a_trial_failed_is_said(tmp_path):
    output = finished(tmp_path)
    fail(output)
    key = sorted(output.job.plan.rows)[0]
    node = output.job.plan.nodes[key]
    other = next(label for label in (A, B, "finetune") if label != node.label)
    assert f"seed {node.seed} (timeout)" in call(output.store.url, node.label, other)


def test_one_seed_says_nothing_about_others(tmp_path):
    output = finished(tmp_path, seeds=1)
    found = compared(output.store.url, A, B)
    assert found["adjusted_over"] == 0
    assert {each["p"] for each in found["comparisons"]} == {None}
    assert all("one seed" in each["reason"] for each in found["comparisons"])
    call(output.store.url, A, B)


def test_what_cannot_be_compared_is_refused(output, refused):
    target = output.store.url
    assert "kd:layers=33: no such row" in (said := refused(target, "kd:layers=33", B))
    assert "did you mean 'kd:layers=3'?" in said
    assert "did you mean 'finetune'?" in refused(target, A, "finetun")
    assert f"{A}: is both A and B; name two rows" in refused(target, A, A)
    assert "unknown task 'rtee'; did you mean 'rte'?" in refused(target, A, B, "-t", "rtee")
    assert "-t cola: no such task" in refused(target, A, B, "-t", "cola")
    assert "nothing was run there" in refused(str(Path(target).parent / "elsewhere"), A, B)


def test_it_imports_no_training_stack(output):
    code = f"import sys\nfrom benchmark.cli import app\ntry:\n  app(['compare', {output.store.url!r}, {A!r}, {B!r}])\n"
    code += "except SystemExit: pass\nprint('found', sorted({'torch', 'ray', 'mlflow', 'transformers', 'datasets', "
    code += "'matplotlib', 'jinja2'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.splitlines()[-1] == "found []", done.stderr
    assert f"{A} against {B}" in done.stdout
