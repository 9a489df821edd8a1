"""A Hub of one data set: as much of its HTTP interface as `datasets.load_dataset` asks for."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlparse


@contextmanager
def serve(folder: Path, name: str, revision: str) -> Iterator[str]:
    """Serve `folder` as the data set `name` at `revision` alone; yields the endpoint's URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(folder, name, revision))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _handler(folder: Path, name: str, revision: str) -> type[BaseHTTPRequestHandler]:
    def entry(path: Path) -> dict[str, object]:
        facts = {"path": path.relative_to(folder).as_posix(), "oid": "0" * 40}
        if path.is_dir():
            return {**facts, "type": "directory"}
        return {**facts, "type": "file", "size": path.stat().st_size}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urlparse(self.path).path
            file, tree = f"/datasets/{name}/resolve/{revision}/", f"/api/datasets/{name}/tree/{revision}"
            if path.startswith(file) and (folder / path.removeprefix(file)).is_file():
                self.answer(200, (folder / path.removeprefix(file)).read_bytes())
            elif path.startswith(tree):
                listed = sorted((folder / path.removeprefix(tree).strip("/")).iterdir())
                self.answer(200, json.dumps([entry(each) for each in listed]).encode())
            elif path == f"/api/datasets/{name}/revision/{revision}":
                self.answer(200, json.dumps({"id": name, "sha": revision, "siblings": []}).encode())
            else:
                self.answer(404, b"{}")

        do_HEAD = do_GET

        def answer(self, status: int, body: bytes) -> None:
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
