"""Everything in deploy/, and cluster.yaml: well-formed, and every command line one that the program takes."""

from __future__ import annotations

import configparser
import itertools
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import typer
import yaml

from benchmark.cli import app

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
YAML = sorted([*DEPLOY.rglob("*.yaml"), *DEPLOY.rglob("*.yml"), ROOT / "cluster.yaml"])
WITH_COMMANDS = sorted(path for path in DEPLOY.rglob("*") if path.is_file() and path.suffix != ".md")
WITH_COMMANDS += [
    ROOT / "cluster.yaml",
    DEPLOY / "README.md",
    ROOT / "docs/cluster.md",
    ROOT / "docs/nightly.md",
]
# `leanboard` and a command, up to what ends it in a shell, in YAML or in prose.
COMMAND = re.compile(r"(?<![\w/])(?:\.venv/bin/|/srv/leanboard/\.venv/bin/)?leanboard ([a-z]+ [^\n`;|>#]*)")
EXPRESSION = re.compile(r"\$\{\{[^}]*\}\}|\"?\$\w+\"?|%i")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def command_lines(path: Path) -> list[list[str]]:
    known = typer.main.get_command(app).commands
    lines = []
    for match in COMMAND.finditer(path.read_text()):
        words = shlex.split(EXPRESSION.sub("changed", re.split(r" 2$|  +\S*$", match[1])[0]))
        if words[0] in known:
            lines.append(words)
    return lines


@pytest.mark.parametrize("path", YAML, ids=name)
def test_yaml_parses(path):
    documents = [document for document in yaml.safe_load_all(path.read_text()) if document]
    assert all(isinstance(document, dict) for document in documents)


@pytest.mark.parametrize("path", [path for path in WITH_COMMANDS if command_lines(path)], ids=name)
def test_command_lines_are_ones_the_program_takes(path):
    group = typer.main.get_command(app)
    for words in command_lines(path):
        words = [word for word in words if word != "SWEEP"] + (["s.yaml"] if "SWEEP" in words else [])
        command = group.commands[words[0]]
        context = command.make_context(words[0], words[1:])
        assert context.params


def test_every_schedule_runs_nightly():
    for schedule in ("systemd/leanboard-nightly@.service", "crontab", "kubernetes/nightly-cronjob.yaml"):
        assert any(words[0] == "nightly" for words in command_lines(DEPLOY / schedule)), schedule
    assert any(words[0] == "nightly" for words in command_lines(DEPLOY / "github-actions/nightly.yml"))


def test_cluster_follows_rays_schema():
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(yaml.safe_load((ROOT / "cluster.yaml").read_text()))
    validate_config(prepared)
    worker = prepared["available_node_types"]["gpu-worker"]
    assert (worker["min_workers"], worker["max_workers"], worker["resources"]["GPU"]) == (0, 8, 1)


def test_rays_schema_would_notice_a_mistake():
    from jsonschema import ValidationError
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    config["available_node_types"]["gpu-worker"]["min_worker"] = 1
    with pytest.raises(ValidationError):
        validate_config(prepare_config(config))


def test_every_key_of_the_cluster_is_commented():
    lines = (ROOT / "cluster.yaml").read_text().splitlines()
    bare = [
        line
        for before, line in itertools.pairwise(lines)
        if re.match(r"[a-z_]+:", line) and not before.startswith("#") and "provider" not in line
    ]
    assert set(bare) <= {"auth:"}


def test_images_and_requirements_name_the_same_version_of_ray():
    wanted = re.search(r"^ray==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M)[1]
    files = [ROOT / "cluster.yaml", *DEPLOY.rglob("Dockerfile"), *DEPLOY.rglob("*.yaml")]
    found = {m for file in files for m in re.findall(r"rayproject/ray:([\d.]+)-", file.read_text())}
    found |= {m for file in files for m in re.findall(r'rayVersion: "([\d.]+)"', file.read_text())}
    assert found == {wanted}


def test_sources_without_a_repository_are_told_their_commit():
    image = (DEPLOY / "kubernetes/Dockerfile").read_text()
    assert "--build-arg LEANBOARD_GIT_COMMIT=$(git rev-parse HEAD)" in image
    assert image.index("ARG LEANBOARD_GIT_COMMIT") < image.index("ENV LEANBOARD_GIT_COMMIT=")
    cluster = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    assert ".git" in cluster["rsync_exclude"]
    (line,) = (each for each in cluster["setup_commands"] if "LEANBOARD_GIT_COMMIT" in each)
    assert line == "echo 'export LEANBOARD_GIT_COMMIT=' >> ~/.bashrc"


def test_all_that_is_installed_on_nodes_has_the_versions_of_the_tests():
    cluster = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    commands = [
        *cluster["setup_commands"],
        *cluster["head_setup_commands"],
        *cluster["worker_setup_commands"],
    ]
    installs = [command for command in commands if "pip install" in command]
    assert len(installs) == 2
    assert all("-c ~/leanboard/constraints.txt" in command for command in installs)


def test_nights_on_hosted_runners_name_the_precision():
    """Their processors differ, and `auto` with them; another precision is another fingerprint."""
    (words,) = command_lines(DEPLOY / "github-actions/nightly.yml")
    assert "train.precision=fp32" in words


def test_mlflow_image_and_requirements_name_the_same_version():
    wanted = re.search(r"^mlflow==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M)[1]
    assert f"mlflow:v{wanted}\n" in (DEPLOY / "mlflow/Dockerfile").read_text()


UNITS = sorted((DEPLOY / "systemd").iterdir())


@pytest.mark.parametrize("path", UNITS, ids=name)
def test_systemd_units_have_sections_and_keys(path):
    # Only a service has a key twice.
    parser = configparser.ConfigParser(strict=path.suffix == ".timer", interpolation=None)
    parser.optionxform = str
    parser.read(path)
    assert parser["Unit"]["Description"]
    if path.suffix == ".service":
        assert parser["Service"]["Type"] == "oneshot"
        assert parser["Service"]["ExecStart"].startswith("/")
    else:
        assert parser["Timer"]["OnCalendar"]
        assert parser["Install"]["WantedBy"] == "timers.target"


def test_the_timers_start_both_kinds_of_night():
    service = (DEPLOY / "systemd/leanboard-nightly@.service").read_text()
    assert service.count("--refresh %i\n") == 1
    timers = [path for path in UNITS if path.suffix == ".timer"]
    kinds = {path.stem.split("@")[1]: path.read_text() for path in timers}
    assert set(kinds) == {"changed", "all"}
    assert "OnCalendar=Sun " in kinds["all"] and "OnCalendar=Mon..Sat " in kinds["changed"]


def test_schedules_on_a_checkout_fetch_the_code_first():
    """A night of the code of the day it was set up tests nothing."""
    service = (DEPLOY / "systemd/leanboard-nightly@.service").read_text()
    commands = re.findall(r"^ExecStart(?:Pre)?=\S*/(\w+ \w+)", service, re.M)
    assert commands == ["git pull", "make install", "leanboard nightly"]


@pytest.mark.parametrize("fails", ["git", "make", "leanboard", ""])
def test_a_line_of_the_crontab_fetches_installs_and_runs_and_stops_where_one_fails(tmp_path, fails):
    programs = ["git", "make", "leanboard"]
    bin_folder = tmp_path / ".venv/bin"
    bin_folder.mkdir(parents=True)
    for program in programs:
        code = 3 if program == fails else 0
        (bin_folder / program).write_text(
            f"#!/bin/sh\necho {program} $1 | tee -a {tmp_path}/ran\nexit {code}\n"
        )
        (bin_folder / program).chmod(0o755)
    for job in crontab_jobs():
        (tmp_path / "ran").unlink(missing_ok=True)
        command = job.split(maxsplit=5)[5].replace("/srv/leanboard", str(tmp_path))
        path = {"PATH": f"{bin_folder}:/usr/bin:/bin"}
        done = subprocess.run(["bash", "-c", command], env=path, capture_output=True, text=True)
        ran = (tmp_path / "ran").read_text()
        last = programs.index(fails) if fails else 2
        assert ran == "".join(["git pull\n", "make install\n", "leanboard nightly\n"][: last + 1])
        # cron mails what is printed.
        assert (done.returncode, done.stdout) == ((3, ran) if fails else (0, ""))


def test_systemd_accepts_the_units(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    for path in UNITS:
        # The program and its documentation are not installed where the tests run.
        text = re.sub(r"^(ExecStart(?:Pre)?)=\S+", r"\1=/bin/true", path.read_text(), flags=re.M)
        (tmp_path / path.name).write_text(re.sub(r"^User=.*$", "", text, flags=re.M))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))],
        capture_output=True,
        text=True,
    )
    complaints = [line for line in done.stderr.splitlines() if "leanboard" in line]
    assert not complaints


def crontab_jobs() -> list[str]:
    lines = (DEPLOY / "crontab").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#") and not re.match(r"[A-Z]+=", line)]


def test_crontab_lines_have_five_fields_and_a_command_in_shell():
    jobs = crontab_jobs()
    assert len(jobs) == 2
    for job in jobs:
        *fields, command = job.split(maxsplit=5)
        assert all(re.fullmatch(r"[\d*,/-]+", field) for field in fields)
        assert "%" not in command, "cron takes % for a new line"
        assert subprocess.run(["bash", "-n", "-c", command]).returncode == 0


def documents() -> dict[str, dict]:
    text = (DEPLOY / "kubernetes/nightly-cronjob.yaml").read_text()
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


def test_kubernetes_job_is_made_by_the_cronjob():
    found = documents()
    data = found["ConfigMap"]["data"]
    job = yaml.safe_load(data["rayjob.yaml"])
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert "generateName" in job["metadata"]
    cluster = job["spec"]["rayClusterSpec"]
    groups = cluster["workerGroupSpecs"]
    for group in (cluster["headGroupSpec"], *groups):
        (container,) = group["template"]["spec"]["containers"]
        # Every night's image has the same name.
        assert container["imagePullPolicy"] == "Always"
    assert [(group["minReplicas"], group["maxReplicas"]) for group in groups] == [(0, 8)]
    assert subprocess.run(["sh", "-n", "-c", data["night.sh"]]).returncode == 0
    pod = found["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == found["RoleBinding"]["subjects"][0]["name"]
    assert pod["volumes"][0]["configMap"]["name"] == found["ConfigMap"]["metadata"]["name"]
    assert found["Role"]["metadata"]["name"] == found["RoleBinding"]["roleRef"]["name"]


@pytest.mark.parametrize(
    ("states", "code"),
    [
        (["Initializing ", "Running RUNNING", "Complete SUCCEEDED"], 0),
        (["Running RUNNING", "Failed FAILED"], 1),
    ],
)
def test_kubernetes_script_ends_as_the_job_ends(tmp_path, states, code):
    script = documents()["ConfigMap"]["data"]["night.sh"].replace("sleep 30", "sleep 0")
    kubectl = tmp_path / "kubectl"
    (tmp_path / "states").write_text("\n".join(states) + "\n")
    kubectl.write_text(
        "#!/bin/sh\n"
        'if [ "$1" = create ]; then echo rayjob.ray.io/night-1; exit; fi\n'
        f"cd {tmp_path}; head -n 1 states\n"
        'case "$*" in *jobDeploymentStatus*) sed -i 1d states;; esac\n'
    )
    kubectl.chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", script], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, timeout=20
    )
    assert done.returncode == code
