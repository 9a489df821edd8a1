from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import huggingface_hub
import pytest

from benchmark import doctor
from benchmark.doctor import Finding, examine
from methods import pretrained


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Ray and MLflow take seconds to start and are looked at by the integration tests."""
    monkeypatch.setattr(doctor, "_ray", lambda: Finding("Ray", "starts"))
    monkeypatch.setattr(doctor, "_mlflow", lambda: Finding("MLflow", "writes"))
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda *_, **__: None)


def found(**options) -> dict[str, Finding]:
    return {finding.what: finding for finding in examine(None, **{"offline": False, **options})}


def test_without_a_sweep_it_says_what_can_be_reached():
    assert found()["Hub"].ok
    assert "5 tasks" in found()["data bundled"].found


def test_an_unreachable_hub_is_said_and_is_no_fault_of_the_machine(monkeypatch):
    def unreachable(*_, **__):
        raise ConnectionError("no route to host\nsecond line")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", unreachable)
    hub = found()["Hub"]
    assert (hub.ok, hub.optional) == (False, True)
    assert "no route to host); folders, `bundled`" in hub.found


def test_offline_the_hub_is_not_asked(monkeypatch):
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda *_, **__: 1 / 0)
    assert "not asked" in found(offline=True)["Hub"].found


def test_a_missing_package_is_named_with_what_to_install(monkeypatch):
    def absent(name):
        if name == "ray":
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(doctor, "version", absent)
    findings = found()
    assert not findings["ray"].ok
    assert "pip install -c constraints.txt" in findings["ray"].found
    # What needs it is not tried, the rest is.
    assert "Ray" not in findings
    assert findings["torch"].ok


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setattr(pretrained.importlib.util, "find_spec", lambda name: None)
    minilm = found()["model minilm"]
    assert (minilm.ok, minilm.optional) == (False, True)
    assert "the extra `demo`" in minilm.found
