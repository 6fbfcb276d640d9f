"""A small but faithful Hub on loopback: repos, commits, LFS and Xet storage, tokens, gates, collections, faults.

The real huggingface_hub talks to it over HTTP. Large files live under another host name (localhost beside
127.0.0.1), as they do on the Hub, so that a token sent to the storage would be seen.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import struct
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import RLock, Thread
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

from tests.hub_state import ID_TOKEN, LFS, XET_ACCESS, Blob, Commit, FakeHub, Fault, Repo, Request, User

__all__ = ["ID_TOKEN", "FakeHub", "Fault", "HubServer", "User"]

_TYPES = {"models": "model", "datasets": "dataset", "spaces": "space"}
_REPO = r"(?P<kind>models|datasets|spaces)/(?P<repo_id>[^/]+/[^/]+)"


class _RefusalError(Exception):
    """An answer of the Hub, not an error of the server."""

    def __init__(self, status: int, message: str, code: str = "", **extra: Any) -> None:
        self.status, self.message, self.code, self.extra = status, message, code, extra


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: FakeHub
    lock: ClassVar[RLock] = RLock()
    body: bytes = b""

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
        except _RefusalError as refusal:
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
            raise _RefusalError(401, "Invalid credentials in Authorization header")
        self.user = self.hub.users.get(token or "")
        for pattern, work in _ROUTES:
            match = re.fullmatch(pattern, request)
            if match:
                getattr(self, work)(**match.groupdict())
                return
        raise _RefusalError(404, f"the fake Hub has no such route: {request}")

    def _repo(self, kind: str, repo_id: str, *, write: bool = False) -> Repo:
        repo = self.hub.repos.get((_TYPES[kind], repo_id))
        if repo is None or (repo.private and not self._may_read(repo)):
            raise _RefusalError(404 if self.user else 401, "Repository not found", "RepoNotFound")
        if write and self.user is None:
            raise _RefusalError(401, "Invalid username or password.")
        if write and self.user is not None and not self.user.may_write(repo_id):
            raise _RefusalError(403, "Forbidden: you must have write access to this repository")
        return repo

    def _may_read(self, repo: Repo) -> bool:
        namespace = repo.id.partition("/")[0]
        return self.user is not None and (namespace in (self.user.name, *self.user.orgs) or repo.id in self.user.write)

    def _commit(self, repo: Repo, revision: str) -> Commit:
        commit = repo.find(revision)
        if commit is None:
            raise _RefusalError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    # -- the account

    def _whoami(self) -> None:
        if self.user is None:
            raise _RefusalError(401, "Invalid username or password.")
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
            raise _RefusalError(403 if self.user else 401, message, "GatedRepo")

    def _select(self) -> None:
        """A short-lived token for the identity of a workflow (RFC 8693)."""
        asked = json.loads(self.body)
        token = self.hub.publishers.get(asked["resource"])
        if token is None or asked["subject_token"] != ID_TOKEN:
            raise _RefusalError(403, f"No trusted publisher for {asked['resource']}")
        self._json(200, {"access_token": token, "token_type": "bearer", "expires_in": 3600})

    # -- repos

    def _create(self) -> None:
        asked = json.loads(self.body)
        kind = asked.get("type") or "model"
        if self.user is None:
            raise _RefusalError(401, "Invalid username or password.")
        repo_id = f"{asked.get('organization') or self.user.name}/{asked['name']}"
        url = f"{self.hub.endpoint}/{'' if kind == 'model' else kind + 's/'}{repo_id}"
        if (kind, repo_id) in self.hub.repos and self.user.may_write(repo_id):
            raise _RefusalError(409, f"You already created this {kind} repo", url=url, name=repo_id)
        if not self.user.may_create(repo_id.partition("/")[0]):
            raise _RefusalError(403, f"You don't have the rights to create a {kind} under this namespace")
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
            raise _RefusalError(409, f"Tag reference exists already: {name}")
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
            raise _RefusalError(404, f"{under} does not exist", "EntryNotFound")
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
            raise _RefusalError(404, "Entry not found", "EntryNotFound")
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
                raise _RefusalError(400, "content does not match its sha256")
            self.hub.lfs[sha] = self.body
            self._send(200, b"", {"ETag": f'"{sha}"'})
        elif sha in self.hub.lfs:
            self._file(self.hub.lfs[sha], {"ETag": f'"{sha}"'})
        else:
            self._file(self.hub.from_xet(sha), {"ETag": f'"{sha}"'})

    # -- pushing

    def _validate_yaml(self) -> None:
        asked = json.loads(self.body)
        card = asked["content"]
        data = yaml.safe_load(card.split("---")[1]) if card.startswith("---") else None
        errors = [] if data is None or isinstance(data, dict) else [{"message": "metadata must be an object"}]
        self._json(400 if errors else 200, {"errors": errors, "warnings": []})

    def _preupload(self, kind: str, repo_id: str, revision: str) -> None:
        files = self._commit(self._repo(kind, repo_id, write=True), revision).files
        answer = []
        for asked in json.loads(self.body)["files"]:
            there = files.get(asked["path"])
            mode = "lfs" if LFS.search(asked["path"]) or asked["size"] > 10_000_000 else "regular"
            entry = {"path": asked["path"], "uploadMode": mode, "shouldIgnore": False}
            answer.append(entry | ({"oid": there.sha256 or there.oid} if there else {}))
        self._json(200, {"files": answer})

    def _lfs_batch(self, repo_id: str, kind: str | None) -> None:
        self._repo((kind or "models/").rstrip("/"), repo_id, write=True)
        objects = []
        for asked in json.loads(self.body)["objects"]:
            entry = {"oid": asked["oid"], "size": asked["size"]}
            if asked["oid"] not in self.hub.lfs:
                verify = f"{self.hub.endpoint}/{kind or ''}{repo_id}.git/info/lfs/objects/verify"
                upload = f"{self.hub.storage}/storage/{asked['oid']}?X-Signature=secret-of-the-storage"
                entry["actions"] = {"upload": {"href": upload}, "verify": {"href": verify}}
            objects.append(entry)
        self._json(200, {"transfer": "basic", "objects": objects})

    def _lfs_verify(self, repo_id: str, kind: str | None) -> None:
        self._repo((kind or "models/").rstrip("/"), repo_id, write=True)
        if json.loads(self.body)["oid"] not in self.hub.lfs:
            raise _RefusalError(404, "Object not found")
        self._json(200, {})

    def _xet_token(self, kind: str, repo_id: str, way: str) -> None:
        self._repo(kind, repo_id, write=way == "write")
        self._send_xet_token()

    def _send_xet_token(self) -> None:
        url, expires = f"local://{self.hub.cas}", int(time.time()) + 3600
        headers = {
            "X-Xet-Cas-Url": url,
            "X-Xet-Access-Token": XET_ACCESS,
            "X-Xet-Token-Expiration": str(expires),
        }
        self._json(200, {"casUrl": url, "accessToken": XET_ACCESS, "exp": expires}, headers)

    def _push(self, kind: str, repo_id: str, revision: str) -> None:
        repo = self._repo(kind, repo_id, write=True)
        lines = [json.loads(line) for line in self.body.splitlines()]
        header = lines[0]["value"]
        parent = header.get("parentCommit")
        if parent is not None and parent != repo.head.oid:
            raise _RefusalError(412, "A commit has happened since. Please refresh and try again.")
        files = dict(self._commit(repo, revision).files)
        known = {**dict.fromkeys(self.hub.lfs, ""), **self.hub.xet_hashes()}
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                content = base64.b64decode(value["content"])
                files[value["path"]] = Blob(content, None, len(content))
            elif line["key"] == "lfsFile" and value["oid"] in known:
                files[value["path"]] = Blob(b"", value["oid"], value["size"])
            elif line["key"] == "deletedFile" and value["path"] in files:
                del files[value["path"]]
            else:
                raise _RefusalError(400, f"cannot {line['key']} {value['path']}")
        commit = repo.commit(header["summary"], files)
        url = f"{self.hub.endpoint}/{repo_id}/commit/{commit.oid}"
        self._json(200, {"success": True, "commitOid": commit.oid, "commitUrl": url, "hookOutput": ""})

    # -- collections and jobs

    def _create_collection(self) -> None:
        asked = json.loads(self.body)
        if self.user is None or not self.user.collections or not self.user.may_create(asked["namespace"]):
            raise _RefusalError(403, "You don't have the rights to create a collection under this namespace")
        name = re.sub(r"[^a-z0-9]+", "-", asked["title"].lower()).strip("-")
        slug = f"{asked['namespace']}/{name}-{hashlib.sha256(name.encode()).hexdigest()[:24]}"
        if slug in self.hub.collections:
            raise _RefusalError(409, "Collection already exists", slug=slug)
        self.hub.collections[slug] = {
            "slug": slug, "title": asked["title"], "description": asked.get("description"), "items": [],
            "owner": {"name": asked["namespace"]}, "lastUpdated": "2026-01-01T00:00:00.000Z", "position": 0,
            "private": asked["private"], "theme": "blue", "upvotes": 0,
        }  # fmt: skip
        self._json(200, self.hub.collections[slug])

    def _collection(self, slug: str) -> None:
        self._json(200, self.hub.collections[slug])

    def _add_item(self, slug: str) -> None:
        item, items = json.loads(self.body)["item"], self.hub.collections[slug]["items"]
        if any(i["id"] == item["id"] and i["type"] == item["type"] for i in items):
            raise _RefusalError(409, "Item already in collection")
        items.append({"_id": str(len(items)), "position": len(items), **item})
        self._json(200, self.hub.collections[slug])

    def _bucket(self, repo_id: str, what: str | None) -> None:
        if what == "xet-write-token":
            self._send_xet_token()
        else:
            self._json(200, {"success": True, "processed": 1, "url": f"{self.hub.endpoint}/buckets/{repo_id}"})

    def _run_job(self, namespace: str) -> None:
        asked = {"namespace": namespace, **json.loads(self.body)}
        self.hub.jobs.append(asked)
        job_id = f"job{len(self.hub.jobs)}"
        if self.hub.start_job is not None:
            self.hub.processes[job_id] = self.hub.start_job(asked)
        self._job(namespace, job_id)

    def _job(self, namespace: str, job_id: str) -> None:
        ended = self.hub.processes[job_id].poll() if job_id in self.hub.processes else None
        stage = {None: "RUNNING", 0: "COMPLETED"}.get(ended, "ERROR")
        job = {"id": job_id, "createdAt": "2026-01-01T00:00:00.000Z", "labels": {"name": "job"}}
        status, owner = {"stage": stage, "message": None}, {"id": "1", "name": namespace, "type": "user"}
        self._json(200, {**job, "status": status, "owner": owner})


def _parents(path: str) -> list[str]:
    return [str(p) for p in Path(path).parents if str(p) != "."]


_GIT = r"(?P<kind>datasets/|spaces/)?(?P<repo_id>[^/]+/[^/]+)"
_ROUTES: list[tuple[str, str]] = [
    (r"GET /api/whoami-v2", "_whoami"),
    (rf"GET /api/{_REPO}/auth-check(?P<write>/write)?", "_auth_check"),
    (r"POST /oauth/token", "_select"),
    (r"POST /api/repos/create", "_create"),
    (r"POST /api/validate-yaml", "_validate_yaml"),
    (rf"(GET|HEAD) /api/{_REPO}", "_info"),
    (rf"GET /api/{_REPO}/revision/(?P<revision>[^/]+)", "_info"),
    (rf"GET /api/{_REPO}/refs", "_refs"),
    (rf"POST /api/{_REPO}/tag/(?P<revision>[^/]+)", "_tag"),
    (rf"GET /api/{_REPO}/tree/(?P<revision>[^/]+)(/(?P<under>.+))?", "_tree"),
    (rf"POST /api/{_REPO}/paths-info/(?P<revision>[^/]+)", "_paths_info"),
    (rf"POST /api/{_REPO}/preupload/(?P<revision>[^/]+)", "_preupload"),
    (rf"POST /api/{_REPO}/commit/(?P<revision>[^/]+)", "_push"),
    (rf"GET /api/{_REPO}/xet-(?P<way>read|write)-token/[^/]+", "_xet_token"),
    (r"POST /api/collections", "_create_collection"),
    (r"GET /api/collections/(?P<slug>[^/]+/[^/]+)", "_collection"),
    (r"POST /api/collections/(?P<slug>[^/]+/[^/]+)/items", "_add_item"),
    (r"(GET|POST) /api/buckets/(?P<repo_id>[^/]+/[^/]+)(/(?P<what>[a-z-]+))?", "_bucket"),
    (r"POST /api/jobs/(?P<namespace>[^/]+)", "_run_job"),
    (r"GET /api/jobs/(?P<namespace>[^/]+)/(?P<job_id>[^/]+)", "_job"),
    (rf"POST /{_GIT}\.git/info/lfs/objects/batch", "_lfs_batch"),
    (rf"POST /{_GIT}\.git/info/lfs/objects/verify", "_lfs_verify"),
    (r"(GET|PUT|HEAD) /storage/(?P<sha>[0-9a-f]{64})", "_stored"),
    (rf"(GET|HEAD) /{_GIT}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", "_resolve"),
]


class HubServer:
    """A Hub on a free port of loopback, for as long as the process lives. `start_over` before each use."""

    def __init__(self) -> None:
        self._handler = type("Handler", (_Handler,), {"lock": RLock()})
        server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler)
        server.daemon_threads = True
        self._port = server.server_port
        self.endpoint = f"http://127.0.0.1:{self._port}"
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def start_over(self, cas: Path) -> FakeHub:
        """Return a Hub without repos, in the place of the one before; `cas` is a folder for the Xet storage."""
        hub = FakeHub(endpoint=self.endpoint, storage=f"http://localhost:{self._port}", cas=cas)
        self._handler.hub = hub
        return hub
