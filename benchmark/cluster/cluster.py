"""Ray: a cluster of our own or an existing one, our code on its workers, checks before anything runs."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import shutil
import socket
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import ray
from ray._private.ray_constants import DEBUG_AUTOSCALING_STATUS
from ray._private.state import state
from ray.autoscaler.sdk import request_resources
from ray.autoscaler.v2.sdk import get_cluster_status
from ray.exceptions import NodeDiedError, TaskUnschedulableError, WorkerCrashedError
from ray.experimental.internal_kv import _internal_kv_get
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from benchmark.config.sweep import Resources
from benchmark.environment import git_state
from benchmark.store.store import Store
from tasks.errors import BadInput

_PACKAGES = ("leanboard", "benchmark", "methods", "tasks", "reports")
_ROOT = Path(__file__).resolve().parents[2]
# Trials exchange a few kilobytes; the results go through the store.
_OBJECT_STORE_BYTES = 100 * 2**20
# What workers must know of the driver's settings; everything else of its environment stays behind.
_FORWARDED = ("HF_", "LEANBOARD_", "XDG_CACHE_HOME", "AWS_", "FSSPEC_")


@contextlib.contextmanager
def connected(address: str | None, *, offline: bool, cpus: int | None = None) -> Iterator[None]:
    """Connect to the cluster at `address`, or start a Ray of our own, for the time of the block.

    A plain `ray.init()` would silently join whatever cluster somebody left running on this machine, so
    without an address the cluster is always a local one of our own. Workers get our packages as their
    working directory: it stands first on their path, before any module of the user's with such a name.

    Raises:
        BadInput: there is no cluster at the address, or it is one of Ray Client.
    """
    if address and cpus:
        raise BadInput(
            f"--cpus {cpus}: the Ray at {address} has its CPUs; leave --cpus out, or --address (RAY_ADDRESS)"
        )
    # Ray Client would run Tune in another process, without the driver's queue, mirror and signals.
    if address and address.startswith("ray://"):
        raise BadInput(
            f"--address {address}: Ray Client is not supported; run on a node of the cluster with --address "
            "auto, or send the command there with `ray job submit`"
        )
    _quiet()
    with tempfile.TemporaryDirectory(prefix="leanboard-code-") as stage:
        _stage_code(Path(stage))
        options: dict[str, Any] = {
            "address": address or "local",
            "log_to_driver": False,
            "logging_level": "error",
            "runtime_env": {"working_dir": stage, "env_vars": _worker_environment(offline)},
        }
        if not address:
            options |= {
                "num_cpus": cpus,
                "include_dashboard": False,
                "object_store_memory": _OBJECT_STORE_BYTES,
            }
        if address and ":" in address:
            _check_answers(address)
        try:
            ray.init(**options)
        except (ConnectionError, RuntimeError) as error:
            if not address:
                raise
            raise BadInput(f"--address {address}: no Ray cluster answers there ({error})") from None
        except ValueError as error:
            if not address:
                raise
            # Such as an address that is none, or a runtime environment that Ray does not take.
            raise BadInput(f"--address {address}: Ray refuses to connect: {error}") from None
        try:
            yield
        finally:
            # What still refers to Ray, such as the traceback of a lost worker, must go first: a reference
            # that another thread frees during or after the shutdown ends this process.
            gc.collect()
            ray.shutdown()


def _check_answers(address: str) -> None:
    """Knock at `host:port`: Ray itself would go on trying for many minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, ValueError) as error:
        raise BadInput(f"--address {address}: no Ray cluster answers there ({error})") from None


def alive() -> list[dict[str, Any]]:
    """What Ray says of each node that is there."""
    return [node for node in ray.nodes() if node["Alive"]]


def wait_for(requests: Mapping[str, Resources], seconds: float, say: Any) -> int:
    """Wait until an autoscaler has made room for one trial of each kind; return how many trials fit at once.

    A trial that no node can hold waits silently, and with enough of them waiting Tune hands out no other.

    Args:
        requests: what a trial asks for, by the key of the sweep that says so.
        seconds: how long to wait.
        say: gets a line if there is something to wait for.

    Raises:
        BadInput: no node is large enough for some trial, and no autoscaler can add one or has in this time.
    """
    slots, lacking = _room(requests)
    if not lacking:
        return slots
    until = time.monotonic() + seconds
    say("waiting for the cluster to grow")
    # An autoscaler adds nodes for what is asked of it, and no trial has asked yet. Asked for all kinds it
    # also keeps those nodes that are there and idle.
    request_resources(bundles=[{"CPU": each.cpu, "GPU": each.gpu} for each in requests.values()])
    try:
        while lacking:
            if time.monotonic() > until:
                key, wanted = next(iter(lacking.items()))
                raise BadInput(
                    f"{_asks(key, wanted)}, and no node had room for it after {seconds:g} s; see `ray "
                    f"status`, lower {key}.cpu or {key}.gpu, or raise --wait"
                )
            time.sleep(5)
            slots, lacking = _room(requests)
    finally:
        request_resources(bundles=[])
    return slots


def _room(requests: Mapping[str, Resources]) -> tuple[int, dict[str, Resources]]:
    """How many of the smallest trials fit at once, and the requests that no node is large enough for yet.

    Raises:
        BadInput: some trial could never start.
    """
    nodes = [node["Resources"] for node in alive()]
    slots = 0
    lacking: dict[str, Resources] = {}
    for key, wanted in requests.items():
        fits = sum(_fits(node, wanted) for node in nodes)
        if not fits:
            if not _autoscaler_could(wanted):
                raise BadInput(_too_large(key, wanted, nodes))
            lacking[key] = wanted
        slots = max(slots, fits)
    return slots, lacking


def _too_large(key: str, wanted: Resources, nodes: Iterable[dict[str, float]]) -> str:
    largest: dict[str, float] = max(
        nodes, key=lambda node: (node.get("GPU", 0), node.get("CPU", 0)), default={}
    )
    return (
        f"{_asks(key, wanted)}, but the largest node has {largest.get('CPU', 0):g} CPUs and "
        f"{largest.get('GPU', 0):g} GPUs; lower {key}.cpu or {key}.gpu, or run on another cluster with "
        "--address"
    )


def _asks(key: str, wanted: Resources) -> str:
    return f"{key}: a trial asks for {wanted.cpu:g} CPUs and {wanted.gpu:g} GPUs"


def is_several() -> bool:
    """Whether the cluster has more than one node."""
    return len(alive()) > 1


def check_store(store: Store) -> None:
    """Make sure every node sees the store: each reads a marker the driver wrote.

    Raises:
        BadInput: a node does not, so that its records would be lost without a word.
    """
    marker, word = f"marker-{uuid.uuid4().hex}.txt", uuid.uuid4().hex
    store.write_text(marker, word)
    try:
        blind = [node for node in alive() if not _sees(node["NodeID"], store.url, marker, word)]
    finally:
        store.fs.rm_file(store.path(marker))
    if blind:
        names = ", ".join(node["NodeManagerHostname"] + " " + node["NodeID"][:8] for node in blind)
        raise BadInput(
            f"output {store.url}: not visible from node {names}; use a folder that all nodes share or an "
            "object store, e.g. -o s3://bucket/runs"
        )


def _sees(node: str, url: str, marker: str, word: str) -> bool:
    """Whether the node reads the word; of one that is lost while it is asked nothing is held against it."""
    strategy = NodeAffinitySchedulingStrategy(node_id=node, soft=False)
    look = ray.remote(num_cpus=0, scheduling_strategy=strategy, max_retries=1)(_read_marker)
    try:
        return ray.get(look.remote(url, marker)) == word
    except (TaskUnschedulableError, NodeDiedError, WorkerCrashedError):
        # Ray calls a dead node alive until it has missed its heartbeats. Should it come back, the first of
        # its records that is not there ends the run.
        return True


def _read_marker(url: str, marker: str) -> str | None:
    store = Store(url)
    try:
        return store.fs.cat_file(store.path(marker)).decode()
    except OSError:
        return None


def _fits(node: dict[str, float], wanted: Resources) -> int:
    by_cpu = int(node.get("CPU", 0) / wanted.cpu + 1e-9)
    return min(by_cpu, int(node.get("GPU", 0) / wanted.gpu + 1e-9)) if wanted.gpu else by_cpu


def _autoscaler_could(wanted: Resources) -> bool:
    """Whether an autoscaler may still add a node that could hold the trial."""
    config = state.get_cluster_config()
    if config is not None:
        groups = [dict(group.resources) for group in config.node_group_configs]
        return any(_fits(group, wanted) for group in groups)
    # Ray's launcher and KubeRay tell nobody their node types; then only waiting shows what they can add.
    return _has_autoscaler()


def _has_autoscaler() -> bool:
    """Whether nodes belong to an autoscaler's types; nodes that people started have types named node_<id>."""
    first_version = json.loads(_internal_kv_get(DEBUG_AUTOSCALING_STATUS) or "{}")
    types = set((first_version.get("autoscaler_report") or {}).get("active_nodes") or {})
    second_version = get_cluster_status(ray.get_runtime_context().gcs_address)
    types |= {node.ray_node_type_name for node in second_version.active_nodes + second_version.idle_nodes}
    return any(name and not name.startswith("node_") for name in types)


def _stage_code(folder: Path) -> None:
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
    for package in _PACKAGES:
        shutil.copytree(_ROOT / package, folder / package, ignore=ignore)


def _worker_environment(offline: bool) -> dict[str, str]:
    git = git_state()
    variables = {name: value for name, value in os.environ.items() if name.startswith(_FORWARDED)}
    variables |= {
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_VERBOSITY": "error",
        # Huge pages for tensors: the word table's gradient is allocated at every step, and page by page
        # that costs up to a quarter of a step on short sentences.
        "THP_MEM_ALLOC_ENABLE": os.environ.get("THP_MEM_ALLOC_ENABLE", "1"),
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": os.environ.get("HF_HUB_DISABLE_TELEMETRY", "1"),
        "LEANBOARD_GIT_COMMIT": git.get("commit", ""),
        "LEANBOARD_GIT_DIRTY": "1" if git.get("dirty") else "0",
    }
    if offline:
        variables |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    return variables


def _quiet() -> None:
    """Let Ray be silent and let our settings of it count; the user's own variables win."""
    for name, value in {
        "RAY_USAGE_STATS_ENABLED": "0",
        # In a job that was submitted with a working directory ours counts; without this Ray refuses a second.
        "RAY_OVERRIDE_JOB_RUNTIME_ENV": "1",
        # A worker per CPU, started ahead: ours have a runtime environment and are others.
        "RAY_prestart_worker_first_driver": "0",
        "RAY_AIR_NEW_OUTPUT": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_DEDUP_LOGS": "0",
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "TUNE_DISABLE_SIGINT_HANDLER": "1",
        "TUNE_GLOBAL_CHECKPOINT_S": "86400",
        "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S_AUTOSCALER": "86400",
        "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "86400",
    }.items():
        os.environ.setdefault(name, value)
