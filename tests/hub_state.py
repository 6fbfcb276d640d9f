"""What the Hub on loopback holds: users, repos, commits, files, and what shall go wrong."""

from __future__ import annotations

import hashlib
import re
import struct
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LFS = re.compile(r"\.(safetensors|parquet|bin|gz|png|model)$|(^|/)tokenizer\.json$")
XET_ACCESS = "xet"
# What proves the identity of a workflow.
ID_TOKEN = "id-token-of-the-workflow"


@dataclass(frozen=True)
class User:
    """What a token may do. `write` names what a fine-grained token may write: namespaces or repo ids.

    `orgs` gives the role in each organization; a token that writes repos may still be without `collections`.
    """

    name: str
    role: str = "write"
    orgs: Mapping[str, str] = field(default_factory=dict)
    write: tuple[str, ...] = ()
    collections: bool = True

    def may_create(self, namespace: str) -> bool:
        if self.orgs.get(namespace) == "read":
            return False
        if self.role == "fineGrained":
            return namespace in self.write
        return self.role == "write" and namespace in (self.name, *self.orgs)

    def may_write(self, repo_id: str) -> bool:
        return repo_id in self.write or self.may_create(repo_id.partition("/")[0])


@dataclass(frozen=True)
class Blob:
    """A file of a commit: its bytes, or for large ones the sha256 and size under which the storage has it."""

    content: bytes = b""
    sha256: str | None = None
    size: int = 0

    @property
    def oid(self) -> str:
        pointer = f"oid sha256:{self.sha256}\nsize {self.size}\n".encode()
        data = self.content if self.sha256 is None else pointer
        return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Commit:
    oid: str
    title: str
    files: dict[str, Blob]


@dataclass
class Repo:
    kind: str
    id: str
    private: bool = False
    gated: bool = False
    commits: list[Commit] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def head(self) -> Commit:
        return self.commits[-1]

    def commit(self, title: str, files: dict[str, Blob]) -> Commit:
        seed = f"{self.kind}{self.id}{len(self.commits)}{sorted((p, b.oid) for p, b in files.items())}"
        oid = hashlib.sha1(seed.encode(), usedforsecurity=False).hexdigest()
        self.commits.append(Commit(oid, title, files))
        return self.head

    def find(self, revision: str) -> Commit | None:
        oid = self.tags.get(revision, self.head.oid if revision in ("main", "refs/heads/main") else revision)
        return next((c for c in self.commits if c.oid == oid), None)


@dataclass
class Fault:
    """What goes wrong with the next requests that match `METHOD path`: a status, or a connection cut after n bytes."""

    pattern: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    message: str = ""
    cut: int | None = None
    times: int = 1
    skip: int = 0


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    token: str | None
    host: str
    range: str | None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass
class FakeHub:
    """The state of the Hub; change it between requests as a test needs."""

    endpoint: str
    storage: str
    cas: Path
    users: dict[str, User] = field(default_factory=dict)
    repos: dict[tuple[str, str], Repo] = field(default_factory=dict)
    lfs: dict[str, bytes] = field(default_factory=dict)
    # Resource of a trusted publisher -> the token that its workflow gets.
    publishers: dict[str, str] = field(default_factory=dict)
    collections: dict[str, dict[str, Any]] = field(default_factory=dict)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    # Starts the process of a job, given what was submitted; without it jobs run for ever.
    start_job: Callable[[dict[str, Any]], subprocess.Popen[bytes]] | None = None
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    # Called once, just before the first request that matches is answered.
    hooks: dict[str, Callable[[], object]] = field(default_factory=dict)

    def add(self, kind: str, repo_id: str, folder: Path | None = None, **options: Any) -> Repo:
        """A repo with the files of a folder."""
        repo = Repo(kind, repo_id, **options)
        self.repos[kind, repo_id] = repo
        repo.commit("initial commit", {".gitattributes": Blob(b"*.safetensors filter=lfs\n", None, 25)})
        if folder is not None:
            files = {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}
            repo.commit("add files", {**repo.head.files, **{p: self._blob(p, c) for p, c in files.items()}})
        return repo

    def _blob(self, path: str, content: bytes) -> Blob:
        if not LFS.search(path):
            return Blob(content, None, len(content))
        sha = hashlib.sha256(content).hexdigest()
        self.lfs[sha] = content
        return Blob(b"", sha, len(content))

    def read(self, kind: str, repo_id: str, path: str) -> bytes:
        blob = self.repos[kind, repo_id].head.files[path]
        return blob.content if blob.sha256 is None else self.lfs[blob.sha256]

    def asked(self, pattern: str) -> list[Request]:
        return [r for r in self.requests if re.search(pattern, str(r))]

    def from_xet(self, sha: str) -> bytes:
        """A file of the Xet storage, put together for those who ask by plain HTTP, as the Hub does."""
        import hf_xet

        size = next(b.size for r in self.repos.values() for b in r.head.files.values() if b.sha256 == sha)
        out = self.cas / sha
        session = hf_xet.XetSession()
        with session.new_file_download_group(
            endpoint=f"local://{self.cas}", token=XET_ACCESS, token_expiry_unix_secs=int(time.time()) + 3600
        ) as group:
            group.start_download_file(hf_xet.XetFileInfo(self.xet_hashes()[sha], size), str(out))
        return out.read_bytes()

    def xet_hashes(self) -> dict[str, str]:
        """sha256 -> Xet hash of every file in the local Xet storage, read from its shards (48-byte records)."""
        found = {}
        for shard in (self.cas / "xet/xorbs/shards").glob("*.mdb"):
            data, at = shard.read_bytes(), 48
            while data[at : at + 32] != b"\xff" * 32:
                flags, entries = struct.unpack_from("<II", data, at + 32)
                after = at + 48 * (1 + entries * (2 if flags & 1 << 31 else 1))
                if flags & 1 << 30:
                    found[_hex(data[after : after + 32])] = _hex(data[at : at + 32])
                    after += 48
                at = after
        return found


def _hex(words: bytes) -> str:
    return b"".join(words[i : i + 8][::-1] for i in range(0, 32, 8)).hex()
