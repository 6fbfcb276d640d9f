"""How the fake Hub answers requests: faults, who asks and for what, the account, repos and their files."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import struct
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import RLock
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

from tests.hub_state import ID_TOKEN, Blob, Commit, FakeHub, Fault, Repo, Request

_TYPES = {"models": "model", "datasets": "dataset", "spaces": "space"}


class RefusalError(Exception):
    """An answer of the Hub, not an error of the server."""

    def __init__(self, status: int, message: str, code: str = "", **extra: Any) -> None:
        self.status, self.message, self.code, self.extra = status, message, code, extra


class ReadingHandler(BaseHTTPRequestHandler):
    """Answers a request by the method that `routes` names for it."""

    protocol_version = "HTTP/1.1"
    hub: FakeHub
    lock: ClassVar[RLock] = RLock()
    body: bytes = b""
    routes: ClassVar[list[tuple[str, str]]]

    def log_message(self, *_: object) -> None:
        pass

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def _serve(self) -> None:
        url = urlsplit(self.path)
        self.query = parse_qs(url.query, keep_blank_values=True)
        path = unquote(url.path)
        token = self.headers.get("Authorization", "").removeprefix("Bearer ") or None
        host = self.headers.get("Host", "").partition(":")[0]
        request = Request(self.command, path, token, host, self.headers.get("Range"))
        with self.lock:
            self.hub.requests.append(request)
            fault = self._fault(str(request))
            self._call_hook(str(request))
        if fault is not None and fault.cut is not None and self.command != "GET":
            self.rfile.read(fault.cut)
            self._hang_up()
            return
        self.cut = fault.cut if fault is not None else None
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            if fault is not None and fault.cut is None:
                self._json(fault.status, {"error": fault.message}, {"X-Error-Message": fault.message, **fault.headers})
                return
            with self.lock:
                self._route(f"{self.command} {path}", token)
        except RefusalError as refusal:
            headers = {"X-Error-Message": refusal.message} | ({"X-Error-Code": refusal.code} if refusal.code else {})
            self._json(refusal.status, {"error": refusal.message, **refusal.extra}, headers)

    def _fault(self, request: str) -> Fault | None:
        for fault in self.hub.faults:
            if fault.times and re.search(fault.pattern, request):
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                return fault
        return None

    def _call_hook(self, request: str) -> None:
        for pattern in [pattern for pattern in self.hub.hooks if re.search(pattern, request)]:
            self.hub.hooks.pop(pattern)()

    def _hang_up(self) -> None:
        self.close_connection = True
        # Reset, as a broken line does, instead of a polite end.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _json(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.cut is not None:
            self.wfile.write(content[: self.cut])
            self.close_connection = True
            return
        self.wfile.write(content)

    # -- who asks, and for what

    def _route(self, request: str, token: str | None) -> None:
        if token is not None and token not in self.hub.users and "/storage/" not in request:
            raise RefusalError(401, "Invalid credentials in Authorization header")
        self.user = self.hub.users.get(token or "")
        for pattern, work in self.routes:
            match = re.fullmatch(pattern, request)
            if match:
                getattr(self, work)(**match.groupdict())
                return
        raise RefusalError(404, f"the fake Hub has no such route: {request}")

    def _repo(self, kind: str, repo_id: str, *, write: bool = False) -> Repo:
        repo = self.hub.repos.get((_TYPES[kind], repo_id))
        if repo is None or (repo.private and not self._may_read(repo)):
            raise RefusalError(404 if self.user else 401, "Repository not found", "RepoNotFound")
        if write and self.user is None:
            raise RefusalError(401, "Invalid username or password.")
        if write and self.user is not None and not self.user.may_write(repo_id):
            raise RefusalError(403, "Forbidden: you must have write access to this repository")
        return repo

    def _may_read(self, repo: Repo) -> bool:
        namespace = repo.id.partition("/")[0]
        return self.user is not None and (namespace in (self.user.name, *self.user.orgs) or repo.id in self.user.write)

    def _commit(self, repo: Repo, revision: str) -> Commit:
        commit = repo.find(revision)
        if commit is None:
            raise RefusalError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    # -- the account

    def _whoami(self) -> None:
        if self.user is None:
            raise RefusalError(401, "Invalid username or password.")
        token: dict[str, Any] = {"displayName": "test", "role": self.user.role}
        if self.user.role == "fineGrained":
            scoped = [
                {"entity": {"type": "model" if "/" in n else "user", "name": n}, "permissions": ["repo.write"]}
                for n in self.user.write
            ]
            token["fineGrained"] = {"global": [], "scoped": scoped}
        orgs = [{"name": name, "roleInOrg": role} for name, role in self.user.orgs.items()]
        self._json(200, {"type": "user", "name": self.user.name, "orgs": orgs, "auth": {"accessToken": token}})

    def _auth_check(self, kind: str, repo_id: str, write: str | None) -> None:
        repo = self._repo(kind, repo_id, write=bool(write))
        self._check_gate(repo)
        self._json(200, {})

    def _check_gate(self, repo: Repo) -> None:
        if repo.gated and not self._may_read(repo):
            message = f"Access to {repo.kind} {repo.id} is restricted"
            raise RefusalError(403 if self.user else 401, message, "GatedRepo")

    def _select(self) -> None:
        """A short-lived token for the identity of a workflow (RFC 8693)."""
        asked = json.loads(self.body)
        token = self.hub.publishers.get(asked["resource"])
        if token is None or asked["subject_token"] != ID_TOKEN:
            raise RefusalError(403, f"No trusted publisher for {asked['resource']}")
        self._json(200, {"access_token": token, "token_type": "bearer", "expires_in": 3600})

    # -- repos

    def _create(self) -> None:
        asked = json.loads(self.body)
        kind = asked.get("type") or "model"
        if self.user is None:
            raise RefusalError(401, "Invalid username or password.")
        repo_id = f"{asked.get('organization') or self.user.name}/{asked['name']}"
        url = f"{self.hub.endpoint}/{'' if kind == 'model' else kind + 's/'}{repo_id}"
        if (kind, repo_id) in self.hub.repos and self.user.may_write(repo_id):
            raise RefusalError(409, f"You already created this {kind} repo", url=url, name=repo_id)
        if not self.user.may_create(repo_id.partition("/")[0]):
            raise RefusalError(403, f"You don't have the rights to create a {kind} under this namespace")
        self.hub.add(kind, repo_id, private=asked.get("visibility") == "private")
        self._json(200, {"url": url, "name": repo_id})

    def _info(self, kind: str, repo_id: str, revision: str | None = None) -> None:
        repo = self._repo(kind, repo_id)
        commit = self._commit(repo, revision or "main")
        card = commit.files.get("README.md", Blob()).content.decode()
        data = yaml.safe_load(card.split("---")[1]) if card.startswith("---") else None
        info = {
            "id": repo_id,
            "sha": commit.oid,
            "private": repo.private,
            "gated": repo.gated,
            "downloads": 0,
            "likes": 0,
        }
        siblings = [{"rfilename": path} for path in commit.files]
        self._json(200, {**info, "tags": [], "siblings": siblings, "cardData": data, "disabled": False})

    def _refs(self, kind: str, repo_id: str) -> None:
        repo = self._repo(kind, repo_id)
        branches = [{"name": "main", "ref": "refs/heads/main", "targetCommit": repo.head.oid}]
        tags = [{"name": t, "ref": f"refs/tags/{t}", "targetCommit": oid} for t, oid in repo.tags.items()]
        self._json(200, {"branches": branches, "tags": tags, "converts": []})

    def _tag(self, kind: str, repo_id: str, revision: str) -> None:
        repo = self._repo(kind, repo_id, write=True)
        name = json.loads(self.body)["tag"]
        if name in repo.tags:
            raise RefusalError(409, f"Tag reference exists already: {name}")
        repo.tags[name] = self._commit(repo, revision).oid
        self._json(200, {})

    def _entries(self, commit: Commit, under: str = "") -> list[dict[str, Any]]:
        xet = self.hub.xet_hashes()
        entries = []
        for path, blob in commit.files.items():
            if under and not path.startswith(under.rstrip("/") + "/"):
                continue
            entry: dict[str, Any] = {"type": "file", "oid": blob.oid, "size": blob.size, "path": path}
            if blob.sha256:
                entry["lfs"] = {"oid": blob.sha256, "size": blob.size, "pointerSize": 128}
            if blob.sha256 in xet:
                entry["xetHash"] = xet[blob.sha256]
            entries.append(entry)
        return entries

    def _tree(self, kind: str, repo_id: str, revision: str, under: str | None) -> None:
        entries = self._entries(self._commit(self._repo(kind, repo_id), revision), under or "")
        folders = {p for e in entries for p in _parents(e["path"]) if p.startswith(under or "")}
        if under and not entries:
            raise RefusalError(404, f"{under} does not exist", "EntryNotFound")
        everything = entries + [{"type": "directory", "oid": "0" * 40, "size": 0, "path": p} for p in sorted(folders)]
        if self.query.get("recursive", ["false"])[0].lower() not in ("true", "1"):
            depth = (under or "").count("/") + bool(under)
            everything = [e for e in everything if e["path"].count("/") == depth]
        self._json(200, everything)

    def _paths_info(self, kind: str, repo_id: str, revision: str) -> None:
        commit = self._commit(self._repo(kind, repo_id), revision)
        is_json = "json" in self.headers.get("Content-Type", "")
        asked = json.loads(self.body) if is_json else parse_qs(self.body.decode())
        wanted = [asked["paths"]] if isinstance(asked["paths"], str) else asked["paths"]
        entries = [e for e in self._entries(commit) if e["path"] in wanted]
        folders = {p for path in commit.files for p in _parents(path)} & set(wanted)
        self._json(200, entries + [{"type": "directory", "oid": "0" * 40, "size": 0, "path": p} for p in folders])

    # -- files

    def _resolve(self, repo_id: str, revision: str, path: str, kind: str | None) -> None:
        repo = self._repo((kind or "models/").rstrip("/"), repo_id)
        self._check_gate(repo)
        commit = self._commit(repo, revision)
        if path not in commit.files:
            raise RefusalError(404, "Entry not found", "EntryNotFound")
        blob = commit.files[path]
        headers = {"X-Repo-Commit": commit.oid, "ETag": f'"{blob.oid}"'}
        if blob.sha256 is None:
            self._file(blob.content, headers)
            return
        large = {"X-Linked-Size": str(blob.size), "X-Linked-Etag": f'"{blob.sha256}"'}
        large["Location"] = f"{self.hub.storage}/storage/{blob.sha256}"
        xet = self.hub.xet_hashes().get(blob.sha256)
        if xet:
            large["X-Xet-Hash"] = xet
            large["X-Xet-Refresh-Route"] = f"{self.hub.endpoint}/api/{repo.kind}s/{repo.id}/xet-read-token/{commit.oid}"
        self._send(302, b"", {**headers, **large})

    def _file(self, content: bytes, headers: dict[str, str]) -> None:
        begin = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        headers = {**headers, "Accept-Ranges": "bytes"}
        if not begin:
            self._send(200, content, headers)
            return
        start, end = int(begin[1]), min(int(begin[2] or len(content) - 1), len(content) - 1)
        shown = {"Content-Range": f"bytes {start}-{end}/{len(content)}"}
        self._send(206, content[start : end + 1], {**headers, **shown})

    def _stored(self, sha: str) -> None:
        if self.command == "PUT":
            if hashlib.sha256(self.body).hexdigest() != sha:
                raise RefusalError(400, "content does not match its sha256")
            self.hub.lfs[sha] = self.body
            self._send(200, b"", {"ETag": f'"{sha}"'})
        elif sha in self.hub.lfs:
            self._file(self.hub.lfs[sha], {"ETag": f'"{sha}"'})
        else:
            self._file(self.hub.from_xet(sha), {"ETag": f'"{sha}"'})


def _parents(path: str) -> list[str]:
    return [str(p) for p in Path(path).parents if str(p) != "."]
