"""A small Hub on loopback that serves model files for reading, with the real errors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

COMMIT = "a" * 40


class _Handler(BaseHTTPRequestHandler):
    models: dict[str, Path]

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, *, body: bool) -> None:
        parts = self.path.partition("?")[0].strip("/").split("/")
        name = "/".join(parts[2:4] if parts[0] == "api" else parts[:2])
        if name not in self.models:
            self._send(401, b"{}", {"X-Error-Code": "RepoNotFound"}, body=body)
        elif parts[0] == "api":
            self._info(name, parts[4:], body=body)
        elif name.startswith("gated/"):
            self._send(403, b"{}", {"X-Error-Code": "GatedRepo"}, body=body)
        else:
            self._file(name, "/".join(parts[4:]), body=body)

    def _info(self, name: str, rest: list[str], *, body: bool) -> None:
        if rest[:1] == ["revision"] and rest[1] not in ("main", COMMIT):
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"}, body=body)
            return
        files = [f for f in sorted(self.models[name].rglob("*")) if f.is_file()]
        if rest[:1] == ["tree"]:
            entries = [
                {
                    "type": "file",
                    "path": str(f.relative_to(self.models[name])),
                    "size": f.stat().st_size,
                    "oid": _etag(f),
                }
                for f in files
            ]
            self._send(200, json.dumps(entries).encode(), {}, body=body)
            return
        siblings = [{"rfilename": str(f.relative_to(self.models[name]))} for f in files]
        info = {"id": name, "sha": COMMIT, "private": False, "tags": [], "downloads": 0, "siblings": siblings}
        self._send(200, json.dumps(info).encode(), {}, body=body)

    def _file(self, name: str, path: str, *, body: bool) -> None:
        file = self.models[name] / path
        if not file.is_file():
            self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}, body=body)
            return
        headers = {"ETag": f'"{_etag(file)}"', "X-Repo-Commit": COMMIT}
        self._send(200, file.read_bytes(), headers, body=body)

    def _send(self, status: int, content: bytes, headers: dict[str, str], *, body: bool) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(content)


def _etag(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:40]


@contextmanager
def serve(models: dict[str, Path]) -> Iterator[str]:
    """Serve folders under Hub ids; yields the endpoint. Ids that begin with `gated/` give no files."""
    handler = type("Handler", (_Handler,), {"models": models})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
