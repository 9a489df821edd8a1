"""Every node has a log file of its own, however long its label."""

from __future__ import annotations

from benchmark.store.files import log_name


def test_a_short_name_is_the_file_s():
    assert log_name("kd:layers=3.rte.1") == "kd:layers=3.rte.1.log"
    assert log_name("albert:pretrained=a/b.rte.1") == "albert:pretrained=a_b.rte.1.log"


def test_long_names_fit_and_differ():
    label = "mobilebert:" + ",".join(f"pair.field{number}={number}" for number in range(40))
    names = [log_name(f"{label}.rte.{seed}") for seed in (1, 2)]
    assert names[0] != names[1]
    assert all(name.startswith("mobilebert:pair.field0=0") for name in names)
    assert all(len(name.encode()) <= 255 for name in (*names, log_name("\u00e9" * 300)))
