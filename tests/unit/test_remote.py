from __future__ import annotations

import uuid

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from benchmark import remote
from benchmark.store import Store


class EndpointConnectionError(Exception):
    """As botocore raises it: no OSError."""


class NoCredentialsError(Exception):
    """Another of botocore's."""


@pytest.fixture
def store(monkeypatch) -> Store:
    monkeypatch.setattr(remote.time, "sleep", lambda _: None)
    return Store(f"memory://{uuid.uuid4().hex}")


def failing(monkeypatch, errors: list[Exception]) -> None:
    """Let reading a file fail with these, one after the other, and then do what it does."""
    read = MemoryFileSystem.cat_file

    def cat_file(self, *args, **options):
        if errors:
            raise errors.pop(0)
        return read(self, *args, **options)

    monkeypatch.setattr(MemoryFileSystem, "cat_file", cat_file)


def test_a_connection_that_is_lost_for_a_while_costs_nothing(store, monkeypatch):
    store.write_json("a.json", {"a": 1})
    failing(monkeypatch, [EndpointConnectionError("could not connect")] * len(remote._PAUSES))
    assert store.read_json("a.json") == {"a": 1}


def test_one_that_stays_lost_is_an_error_of_the_file_system(store, monkeypatch):
    failing(monkeypatch, [EndpointConnectionError("could not connect")] * 99)
    with pytest.raises(OSError, match="EndpointConnectionError: could not connect"):
        store.read_json("a.json")


def test_refused_credentials_are_not_tried_again(store, monkeypatch):
    store.write_json("a.json", {})
    errors: list[Exception] = [NoCredentialsError("none"), NoCredentialsError("none")]
    failing(monkeypatch, errors)
    with pytest.raises(OSError, match="NoCredentialsError"):
        store.read_json("a.json")
    assert len(errors) == 1


def test_a_store_that_is_not_there_yet_is_reachable_and_one_behind_an_outage_is_not(store, monkeypatch):
    assert store.reachable()
    monkeypatch.setattr(
        MemoryFileSystem, "info", lambda *_, **__: (_ for _ in ()).throw(EndpointConnectionError("gone"))
    )
    assert not store.reachable()
