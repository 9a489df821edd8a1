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


@pytest.mark.parametrize("error", [EndpointConnectionError("no"), ConnectionResetError("no"), TimeoutError()])
def test_a_connection_that_is_lost_for_a_while_costs_nothing(store, monkeypatch, error):
    store.write_json("a.json", {"a": 1})
    failing(monkeypatch, [error] * len(remote._PAUSES))
    assert store.read_json("a.json") == {"a": 1}


def test_what_was_removed_before_the_answer_was_lost_is_removed(store, monkeypatch):
    remove = MemoryFileSystem.rm_file

    def rm_file(self, path):
        remove(self, path)
        raise EndpointConnectionError("the answer is lost")

    store.write_json("a.json", {})
    monkeypatch.setattr(MemoryFileSystem, "rm_file", rm_file)
    store.fs.rm_file(store.path("a.json"))
    monkeypatch.setattr(MemoryFileSystem, "rm_file", remove)
    with pytest.raises(FileNotFoundError):
        store.fs.rm_file(store.path("a.json"))


def test_an_outage_is_no_damage(store, monkeypatch):
    store.write_json("records/a/record.json", {})
    failing(monkeypatch, [EndpointConnectionError("could not connect")] * 99)
    with pytest.raises(remote.ConnectionLost):
        store.scan()


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
