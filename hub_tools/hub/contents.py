"""The files of each repo of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path

from hub_tools.hub.repos import Repo, repo_ids
from hub_tools.hub.space_repo import run_files
from hub_tools.reporting.cards import dataset_card, model_card, notice, tokenizer_card
from hub_tools.reporting.report import FullReport

Files = dict[str, Path | bytes]
_NOT_PUBLISHED = (".*", "training.json", "tensorboard", "__pycache__", "*.pyc")
# Kind of repo -> the folder of the run with its files, and its card.
_PARTS = {
    "model": ("student", model_card),
    "tokenizer": ("tokenizer", tokenizer_card),
    "dataset": ("embeddings", dataset_card),
}


def collect(run: Path, report: FullReport, kinds: Iterable[str], linked: Mapping[str, str]) -> list[Repo]:
    """Return repos of a finished run with all their files; `linked` are the ids that cards may link to, by kind."""
    ids, repos = repo_ids(report.config), []
    for kind in kinds:
        files: Files = {}
        if kind == "space":
            # The Space loads the model from the Hub: it exists, or is published along.
            files |= run_files(report, {**linked, "model": ids["model"]})
        else:
            folder, card = _PARTS[kind]
            files |= _files(run / folder) | {"README.md": card(report, linked).encode("utf-8")}
        if kind in ("model", "space"):
            files |= {f"figures/{file.name}": file for file in (run / "figures").glob("*.png")}
        # A ready tokenizer is not made from the teacher's.
        if kind == "model" or (kind == "tokenizer" and not report.config.tokenizer.use):
            files |= _legal_files(run, report, kind)
        repos.append(Repo(kind=kind, id=ids[kind], files=dict(sorted(files.items()))))
    return repos


def _files(folder: Path) -> Files:
    files: Files = {}
    for file in folder.rglob("*"):
        path = file.relative_to(folder)
        hidden = any(fnmatch(part, pattern) for part in path.parts for pattern in _NOT_PUBLISHED)
        if file.is_file() and not hidden:
            files[path.as_posix()] = file
    return files


def _legal_files(run: Path, report: FullReport, kind: str) -> Files:
    """Return the teacher's license files, and the notice that its license asks for."""
    files, text = _files(run / "clone" / "license"), notice(report, kind)
    if text is None:
        return files
    teachers = files.get("NOTICE")
    kept = teachers.read_bytes().rstrip() + b"\n\n" if isinstance(teachers, Path) else b""
    return {**files, "NOTICE": kept + text.encode("utf-8")}
