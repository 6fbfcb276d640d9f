"""Tasks on machines that share no disk with this one: texts go to a storage, shards come back from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hub_tools.config_scale import STORAGE, ScaleConfig
from hub_tools.core.errors import UserError
from hub_tools.core.files import replacing
from hub_tools.core.hub_errors import hub_errors
from hub_tools.core.logging import bar
from hub_tools.vectors.executors import run_tasks
from hub_tools.vectors.tasks import RANGES, TASKS, EmbedTask, give_out, hand_over_key

# Jobs at once, where nobody says how many.
_JOBS = 2


@dataclass(frozen=True)
class Storage:
    """A folder of any file system that fsspec knows, such as hf://buckets/NAMESPACE/NAME."""

    url: str

    def _open(self) -> tuple[Any, str]:
        """Return the file system and the path in it; kept by fsspec, not here: it knows the token."""
        from fsspec.core import url_to_fs

        files, path = url_to_fs(self.url)
        files.invalidate_cache()  # others write there
        return files, str(path)

    def create(self) -> None:
        """Make the private repo or bucket of a storage on the Hub, if it does not exist; others have to exist.

        Raises:
            UserError: it is public, and what the run reads would be, too.
        """
        from huggingface_hub import HfApi

        api = HfApi()
        place, *name = self.url.removeprefix("hf://").split("/")[:3]
        is_private = True
        if self.url.startswith("hf://buckets/"):
            api.create_bucket("/".join(name), private=True, exist_ok=True)
            is_private = api.bucket_info("/".join(name)).private
        elif self.url.startswith("hf://datasets/"):
            api.create_repo("/".join(name), repo_type="dataset", private=True, exist_ok=True)
            is_private = bool(api.dataset_info("/".join(name)).private)
        if not is_private:
            raise UserError(
                f"hf://{place}/{'/'.join(name)} is public, and so would be the texts. Give a private storage."
            )

    def names(self) -> set[str]:
        """Return the paths of all files that are there."""
        files, path = self._open()
        return {name.removeprefix(f"{path}/") for name in files.find(path)} if files.exists(path) else set()

    def copy(self, name: str, to: Path) -> Path:
        """Copy a file to this machine, where it appears when it is whole."""
        files, path = self._open()
        with replacing(to) as partial:
            files.get_file(f"{path}/{name}", str(partial))
        return to

    def put(self, file: Path, name: str) -> None:
        """Copy a file of this machine to there, where it appears when it is whole."""
        files, path = self._open()
        files.put_file(str(file), f"{path}/{name}")

    def scratch(self) -> TemporaryDirectory[str]:
        """Make it where temporary files are."""
        return TemporaryDirectory(prefix="hub-distill-")

    def fetch(self, name: str, scratch: Path) -> Path:
        """Copy it."""
        return self.copy(f"{TASKS}/{name}", scratch / name)

    def has(self, name: str) -> bool:
        """Ask the file system."""
        files, path = self._open()
        return bool(files.exists(f"{path}/{name}"))

    def deliver(self, shard: Path) -> None:
        """Copy it, and make room."""
        self.put(shard, shard.name)
        shard.unlink()


def run_jobs(out: Path, missing: list[str], *, scale: ScaleConfig) -> None:
    """Compute shards on Hugging Face Jobs, and bring them into a folder.

    What was handed over has a folder of its own in the storage, named by its content: a run that begins anew, on
    another machine too, finds the shards of an earlier one.

    Raises:
        UserError: the storage is public, or it or Jobs cannot be used.
    """
    tasks = out / TASKS
    url = str(scale.arguments[STORAGE]).rstrip("/")
    storage = Storage(f"{url}/{hand_over_key(tasks)}")
    with hub_errors(f"storage {url!r}", f"Could not use the storage {url!r}"):
        storage.create()
        there = storage.names()
        if left := [name for name in missing if name not in there]:
            count = give_out(tasks, left, scale.workers or _JOBS)
            _upload(tasks, storage, there)
            run_tasks(scale, EmbedTask(storage), count, f"{storage.url}/{TASKS}/logs")
            there = storage.names()
        with bar("shards of the Jobs", len(missing), " shards") as progress:
            for name in filter(there.__contains__, missing):
                storage.copy(name, out / name)
                progress.update()


def _upload(tasks: Path, storage: Storage, there: set[str]) -> None:
    """Hand over what the storage does not have; which task does what is said anew."""
    files = [file for file in tasks.rglob("*") if file.is_file()]
    names = {file: f"{TASKS}/{file.relative_to(tasks).as_posix()}" for file in files}
    with bar("texts for the Jobs", len(files), " files") as progress:
        for file, name in names.items():
            if name not in there or file.name == RANGES:
                storage.put(file, name)
            progress.update()
