"""What tests of publishing push, and what they look at on the Hub."""

from __future__ import annotations

from pathlib import Path

from tests.commands import CANARY, Result, hub_distill
from tests.fake_hub import FakeHub

# The repos of such a run.
IDS = [("model", "ada/tiny-tr"), ("model", "ada/tiny-tr-tokenizer"), ("dataset", "ada/tiny-tr-embeddings")]


def push(run: Path, *args: str, cwd: Path, **env: str) -> Result:
    """Publish a run as ada."""
    return hub_distill("publish", str(run), "--push-to-hub", "ada", "--name", "tiny-tr", *args, cwd=cwd, **env)


def commits(hub: FakeHub) -> list[int]:
    """Commits of ours in each repo."""
    return [len(hub.repos[repo].commits) - 1 if repo in hub.repos else 0 for repo in IDS]


def check_nothing_leaked(hub: FakeHub, *folders: Path) -> None:
    """The token is in no file and went to no other host than the Hub."""
    commits = [commit for repo in hub.repos.values() for commit in repo.commits]
    published = [blob.content for commit in commits for blob in commit.files.values()]
    local = [f.read_bytes() for folder in folders for f in folder.rglob("*") if f.is_file()]
    assert not any(CANARY.encode() in content for content in [*published, *hub.lfs.values(), *local])
    assert [r for r in hub.requests if r.host == "localhost" and r.token] == []


def check_loads(model: str, tokenizer: str, dataset: str, run: Path) -> None:
    """What is on the Hub loads with the libraries that it is for, and is what the run has."""
    from datasets import load_dataset
    from sentence_transformers import SentenceTransformer
    from transformers import AutoTokenizer

    published, local = SentenceTransformer(model, device="cpu"), SentenceTransformer(f"{run}/student", device="cpu")
    assert (published.encode(["Merhaba dünya"]) == local.encode(["Merhaba dünya"])).all()
    assert len(AutoTokenizer.from_pretrained(tokenizer)) == 4096
    rows = load_dataset(dataset)
    assert set(rows) == {"train", "validation"}, rows
    assert len(rows["train"][0]["embedding"]) == 32
    first = next(iter(load_dataset(dataset, split="train", streaming=True)))
    assert first["text"] == rows["train"][0]["text"]
