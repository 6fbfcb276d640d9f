"""The files of a run: known by size and SHA-256 once their stage is finished, and never taken from outside."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from hub_tools.core.errors import UserError
from hub_tools.core.files import hash_file
from hub_tools.core.logging import Progress, bar

# What is in a stage's folder without being its result.
_IGNORED = (".*", "__pycache__", "tensorboard")
# Marks the blobs of the Hub's cache that its repos share.
_SHARED = ".huggingface-shared-blobs"


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A file as it was when its stage was finished."""

    size: int  # bytes
    sha256: str


def store_files(folder: Path, leftovers: Collection[str] = ()) -> dict[str, StoredFile]:
    """Return name -> size and checksum of all files of a stage; `leftovers` are patterns of what is deleted soon."""
    sizes = _sizes(folder, leftovers)
    with _progress(folder, sizes) as progress:
        files = {}
        for name, size in sizes.items():
            files[name] = StoredFile(size=size, sha256=hash_file(folder / name))
            progress.update(size)
    return files


def check_files(folder: Path, files: Mapping[str, StoredFile], *, checksums: bool) -> None:
    """Make sure that a finished stage has the files that it wrote, no others, and each of its size.

    With `checksums` their content is compared too, which reads them all.

    Raises:
        UserError: a file is damaged, missing, or not the stage's; the message names it and says what to do.
    """
    sizes, cure = _sizes(folder), cure_for(folder)
    for name in sorted(sizes.keys() | files.keys()):
        if name not in files:
            raise UserError(f"{folder / name} is no file of this run. Delete it, or move it out of {folder}.")
        if name not in sizes:
            raise UserError(f"{folder / name} is missing. {cure}")
        if sizes[name] != files[name].size:
            raise UserError(
                f"{folder / name} is damaged: it has {sizes[name]:,} bytes instead of {files[name].size:,}. {cure}"
            )
    if not checksums:
        return
    with _progress(folder, sizes) as progress:
        for name, size in sizes.items():
            if hash_file(folder / name) != files[name].sha256:
                raise UserError(f"{folder / name} is damaged: its content is not what this run wrote. {cure}")
            progress.update(size)


def cure_for(folder: Path) -> str:
    """Say what to do about a stage with a damaged file."""
    return f"Restore it, or delete {folder} and run the job again: the other stages are kept."


def check_root(root: Path) -> None:
    """Make sure that a folder can be that of a run, which need not exist: its name is text, and no link leads out.

    Raises:
        UserError: it cannot; the message says why.
    """
    try:
        str(root).encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"The path {str(root)!r} is not UTF-8: TOML and JSON cannot hold it. Choose another."
        ) from error
    check_links(root)


def check_links(root: Path, paths: Iterable[Path] | None = None) -> None:
    """Make sure that no link leads out of a folder: who made the folder would choose what is read and published.

    The files of a snapshot in the Hub's cache are links into the blobs of its repo, or into those that all repos share,
    and stay. `paths` are what to look at instead of everything in the folder.

    Raises:
        UserError: a path leads to somewhere else; the message names both.
    """
    # Unlike Path.resolve, realpath takes a link that leads to itself.
    real = Path(os.path.realpath(root))
    inside = [real]
    if real.parent.name == "snapshots":
        repo, shared = real.parents[1], real.parents[1].parent / "blobs"
        inside += [repo / "blobs", *([shared] if (shared / _SHARED).exists() else [])]
    for path in _links(root) if paths is None else paths:
        target = Path(os.path.realpath(path))
        if not any(target.is_relative_to(folder) for folder in inside):
            raise UserError(
                f"{path} is a link that leads out of {root}, to {target}. Put a copy in its place, or delete it."
            )


def _links(root: Path) -> Iterable[Path]:
    for folder, folders, files in os.walk(root):
        yield from (path for name in (*folders, *files) if (path := Path(folder, name)).is_symlink())


def _sizes(folder: Path, leftovers: Collection[str] = ()) -> dict[str, int]:
    """Return name -> bytes of the files of a stage."""
    names = [file.relative_to(folder) for file in sorted(folder.rglob("*")) if file.is_file()]
    return {
        name.as_posix(): (folder / name).stat().st_size
        for name in names
        if not any(fnmatch(part, pattern) for part in name.parts for pattern in _IGNORED)
        and not any(fnmatch(name.parts[0], pattern) for pattern in leftovers)
    }


def _progress(folder: Path, sizes: Mapping[str, int]) -> Progress:
    return bar(f"checking {folder.name}", sum(sizes.values()), " bytes", delay=3)
