"""A Hub of a few repositories: as much of its HTTP interface as loading data and models asks for."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlparse


@dataclass(frozen=True)
class Repository:
    """A folder that is served as a repository of one commit."""

    folder: Path
    name: str
    revision: str
    kind: str = "datasets"
    """`datasets` or `models`, as the Hub's addresses call it."""

    def file(self, path: str) -> Path | None:
        """The file at an address, by its commit or by its branch; None where there is none."""
        home = f"/{self.name}" if self.kind == "models" else f"/{self.kind}/{self.name}"
        for revision in (self.revision, "main"):
            found = self.folder / path.removeprefix(f"{home}/resolve/{revision}/")
            if path.startswith(f"{home}/resolve/{revision}/") and found.is_file():
                return found
        return None

    def facts(self, path: str) -> object | None:
        """What its interface says at an address; None where there is nothing."""
        api = f"/api/{self.kind}/{self.name}"
        tree = f"{api}/tree/{self.revision}"
        inside = self.folder / path.removeprefix(tree).strip("/")
        if path.startswith(tree) and inside.is_dir():
            return [self._entry(each) for each in sorted(inside.iterdir())]
        if path in (f"{api}/revision/{self.revision}", f"{api}/revision/main"):
            files = [each.relative_to(self.folder) for each in self.folder.rglob("*") if each.is_file()]
            siblings = [{"rfilename": each.as_posix()} for each in files]
            return {"id": self.name, "sha": self.revision, "siblings": siblings}
        return None

    def _entry(self, path: Path) -> dict[str, object]:
        facts = {"path": path.relative_to(self.folder).as_posix(), "oid": "0" * 40}
        if path.is_dir():
            return {**facts, "type": "directory"}
        return {**facts, "type": "file", "size": path.stat().st_size}


@contextmanager
def serve(*repositories: Repository) -> Iterator[str]:
    """Serve these repositories and nothing else; yields the endpoint's URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(repositories))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _handler(repositories: Sequence[Repository]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urlparse(self.path).path
            for repository in repositories:
                if (file := repository.file(path)) is not None:
                    return self.answer(200, file.read_bytes(), repository.revision)
                if (facts := repository.facts(path)) is not None:
                    return self.answer(200, json.dumps(facts).encode(), repository.revision)
            asked = [repository for repository in repositories if f"/{repository.name}/" in path]
            return self.answer(404, b"{}", asked[0].revision if asked else "0" * 40)

        do_HEAD = do_GET

        def answer(self, status: int, body: bytes, revision: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
            self.send_header("X-Repo-Commit", revision)
            if status == 404:
                self.send_header("X-Error-Code", "EntryNotFound")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    return Handler
