"""A small but faithful Hub on loopback: repos, commits, LFS and Xet storage, tokens, gates, collections, faults.

The real huggingface_hub talks to it over HTTP. Large files live under another host name (localhost beside
127.0.0.1), as they do on the Hub, so that a token sent to the storage would be seen.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import RLock, Thread

import yaml

from tests.hub_requests import ReadingHandler, RefusalError
from tests.hub_state import ID_TOKEN, LFS, XET_ACCESS, Blob, FakeHub, Fault, User

__all__ = ["ID_TOKEN", "FakeHub", "Fault", "HubServer", "User"]

_REPO = r"(?P<kind>models|datasets|spaces)/(?P<repo_id>[^/]+/[^/]+)"
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


class _Handler(ReadingHandler):
    """Answers what pushes too, collections, and jobs."""

    routes = _ROUTES

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
            raise RefusalError(404, "Object not found")
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
            raise RefusalError(412, "A commit has happened since. Please refresh and try again.")
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
                raise RefusalError(400, f"cannot {line['key']} {value['path']}")
        commit = repo.commit(header["summary"], files)
        url = f"{self.hub.endpoint}/{repo_id}/commit/{commit.oid}"
        self._json(200, {"success": True, "commitOid": commit.oid, "commitUrl": url, "hookOutput": ""})

    # -- collections and jobs

    def _create_collection(self) -> None:
        asked = json.loads(self.body)
        if self.user is None or not self.user.collections or not self.user.may_create(asked["namespace"]):
            raise RefusalError(403, "You don't have the rights to create a collection under this namespace")
        name = re.sub(r"[^a-z0-9]+", "-", asked["title"].lower()).strip("-")
        slug = f"{asked['namespace']}/{name}-{hashlib.sha256(name.encode()).hexdigest()[:24]}"
        if slug in self.hub.collections:
            raise RefusalError(409, "Collection already exists", slug=slug)
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
            raise RefusalError(409, "Item already in collection")
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
