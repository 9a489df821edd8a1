from __future__ import annotations

import errno
import uuid

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from small_plans import leave, record

from benchmark.store import remote
from benchmark.store.store import Store
from benchmark.store.verification import Verifier


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


# As s3fs says SlowDown and 503, 500, and a code that it does not know.
BUSY = [OSError(code, "An error occurred") for code in remote._BUSY]


@pytest.mark.parametrize(
    "error", [EndpointConnectionError("no"), ConnectionResetError("no"), TimeoutError(), *BUSY]
)
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


@pytest.mark.parametrize("error", [EndpointConnectionError("could not connect"), *BUSY])
def test_an_outage_is_no_damage(store, monkeypatch, error):
    store.write_json("records/a/record.json", {})
    failing(monkeypatch, [error] * 99)
    for look in (store.scan, lambda: store.read("a"), lambda: store.holds("a")):
        with pytest.raises(remote.ConnectionLost):
            look()


@pytest.mark.parametrize("code", [None, errno.EBUSY])
def test_an_answer_that_is_no_file_says_nothing_of_a_record(store, monkeypatch, tmp_path, code):
    """A finished trial must not be repeated because its files could not be read just now."""
    made = leave(store, record(), tmp_path)

    def broken(*names):
        raise OSError(code, "An error occurred") if code else OSError("An error occurred")

    monkeypatch.setattr(Verifier, "_digest", broken)
    with pytest.raises(OSError, match="An error occurred"):
        store.read(made.fingerprint)


def test_expired_credentials_are_named_and_not_tried_again(store, monkeypatch):
    store.write_json("records/a/record.json", {})
    errors: list[Exception] = [PermissionError("The provided token has expired.")] * 3
    failing(monkeypatch, errors)
    with pytest.raises(
        remote.Refused, match=r"token has expired.*renew the credentials.*memory://"
    ) as caught:
        store.read("a")
    # The command line prints an error with a file name without a traceback.
    assert caught.value.filename == store.url
    assert len(errors) == 2
    with pytest.raises(remote.Refused, match="token has expired"):
        store.read_json("records/a/record.json")


def test_a_file_that_is_not_there_is_no_error(store):
    assert store.read("a") is None
    assert store.read_json("a.json") is None


def test_a_local_file_that_may_not_be_read_is_named_as_it_is(store, monkeypatch):
    """Copies to and from a store read and write files of this machine too."""
    failing(monkeypatch, [PermissionError(errno.EACCES, "Permission denied", "/cache/file")])
    with pytest.raises(PermissionError, match="Permission denied: '/cache/file'"):
        store.read_json("a.json")


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
