"""The files of each repo of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from hub_tools.core.run_dir import stage_folder
from hub_tools.core.run_record import read_record
from hub_tools.hub.repos import Repo, repo_ids
from hub_tools.hub.space_repo import run_files
from hub_tools.models.teacher import LEGAL_FILES, LICENSE
from hub_tools.reporting.cards import dataset_card, model_card, notice, tokenizer_card
from hub_tools.reporting.figures import FOLDER, draw_figures
from hub_tools.reporting.report import FullReport
from hub_tools.reporting.sentences import SENTENCES
from hub_tools.tokenization.adapt import TRIM
from hub_tools.tokenization.tokenizer_json import TOKENIZER_FILES
from hub_tools.vectors.dataset import MANIFEST, TRAIN, VALIDATION

Files = dict[str, Path | bytes]
# Kind of repo -> the folder of the run with its files, patterns of their names, and its card.
_PARTS = {
    "model": ("student", ("*.json", "*.safetensors", "*.py"), model_card),
    "tokenizer": ("tokenizer", TOKENIZER_FILES, tokenizer_card),
    "dataset": ("embeddings", (MANIFEST, f"{TRAIN}-*.parquet", f"{VALIDATION}-*.parquet"), dataset_card),
}
_NOT_PUBLISHED = "training.json"


def collect(run: Path, report: FullReport, kinds: Iterable[str], linked: Mapping[str, str]) -> list[Repo]:
    """Return repos of a finished run with all their files; `linked` are the ids that cards may link to, by kind.

    The names of the files are those that the stages wrote: what else lies in their folders stays there.
    """
    ids, stages, repos = repo_ids(report.config), read_record(run).stages, []
    for kind in kinds:
        files: Files = {}
        if kind == "space":
            # The Space loads the model from the Hub: it exists, or is published along.
            files |= run_files(report, {**linked, "model": ids["model"], "space": ids["space"]})
        else:
            folder, patterns, card = _PARTS[kind]
            folder = read_record(run).student if kind == "model" else folder
            # There are several tokenizers, in folders below the stage's; the student has one of them.
            chosen = TRIM if report.distill.kept_trim else report.clone.tokenizer
            inside = f"{chosen}/" if kind == "tokenizer" and chosen else ""
            stored = [name for name in stages[folder].files if name.startswith(inside) and name != _NOT_PUBLISHED]
            names = [name.removeprefix(inside) for name in stored]
            place = stage_folder(run, folder) / inside
            files |= {n: place / n for n in names if any(fnmatch(n, p) for p in patterns)}
            files["README.md"] = card(report, linked).encode("utf-8")
        for lang in {"model": ("en",), "space": tuple(SENTENCES)}.get(kind, ()):
            files |= {f"{FOLDER}/{name}": picture for name, picture in draw_figures(run, report, lang).items()}
        # A ready tokenizer is not made from the teacher's.
        if kind == "model" or (kind == "tokenizer" and not report.config.tokenizer.use):
            files |= _legal_files(run / "clone", stages["clone"].files, notice(report, kind))
        repos.append(Repo(kind=kind, id=ids[kind], files=dict(sorted(files.items()))))
    return repos


def _legal_files(clone: Path, names: Iterable[str], text: str | None) -> Files:
    """Return the teacher's license files, and the notice that its license asks for."""
    licenses = [name for name in map(PurePosixPath, names) if str(name.parent) == LICENSE]
    files: Files = {n.name: clone / n for n in licenses if any(fnmatch(n.name, kind) for kind in LEGAL_FILES)}
    if text is None:
        return files
    teachers = files.get("NOTICE")
    kept = teachers.read_bytes().rstrip() + b"\n\n" if isinstance(teachers, Path) else b""
    return {**files, "NOTICE": kept + text.encode("utf-8")}
