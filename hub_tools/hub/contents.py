"""The files of each repo of a run."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path

from hub_tools.hub.repos import Repo, repo_ids
from hub_tools.hub.space_repo import run_files
from hub_tools.reporting.cards import dataset_card, model_card, notice, tokenizer_card
from hub_tools.reporting.report import FullReport

Files = dict[str, Path | bytes]
_NOT_PUBLISHED = (".*", "training.json", "tensorboard", "__pycache__", "*.pyc")


def collect(run: Path, report: FullReport, kinds: tuple[str, ...], linked: Mapping[str, str]) -> list[Repo]:
    """Return repos of a finished run with all their files.

    Args:
        run: the run folder.
        report: what was made; its configuration says how the repos are called.
        kinds: of the repos.
        linked: kind -> id of the repos that the cards may link to.
    """
    ids, figures = repo_ids(report.config), _figures(run)
    # The Space loads the model from the Hub: it exists, or is published along.
    shown = {**linked, "model": ids["model"]}
    makers = {
        "model": lambda: _files(run / "student") | figures | _card(model_card(report, linked)),
        "tokenizer": lambda: _files(run / "tokenizer") | _card(tokenizer_card(report, linked)),
        "dataset": lambda: _files(run / "embeddings") | _card(dataset_card(report, linked)),
        "space": lambda: run_files(report, shown) | figures,
    }
    contents = {kind: makers[kind]() for kind in kinds}
    # A ready tokenizer is not made from the teacher's.
    for kind in ("model",) if report.config.tokenizer.use else ("model", "tokenizer"):
        if kind in contents:
            contents[kind] |= _legal_files(run, report, kind)
    return [Repo(kind=kind, id=ids[kind], files=dict(sorted(files.items()))) for kind, files in contents.items()]


def size_of(content: Path | bytes) -> int:
    """Return the bytes of a file, or how many these are."""
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _files(folder: Path) -> Files:
    files: Files = {}
    for file in sorted(folder.rglob("*")):
        path = file.relative_to(folder)
        hidden = any(fnmatch(part, pattern) for part in path.parts for pattern in _NOT_PUBLISHED)
        if file.is_file() and not hidden:
            files[path.as_posix()] = file
    return files


def _figures(run: Path) -> Files:
    return {f"figures/{file.name}": file for file in sorted((run / "figures").glob("*.png"))}


def _card(text: str) -> Files:
    return {"README.md": text.encode("utf-8")}


def _legal_files(run: Path, report: FullReport, kind: str) -> Files:
    """Return the teacher's license files, and the notice that its license asks for."""
    files, text = _files(run / "clone" / "license"), notice(report, kind)
    if text is None:
        return files
    teachers = files.get("NOTICE")
    kept = teachers.read_bytes().rstrip() + b"\n\n" if isinstance(teachers, Path) else b""
    return {**files, "NOTICE": kept + text.encode("utf-8")}
