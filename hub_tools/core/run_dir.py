"""What lies where on disk, and which finished stages may be used again.

A stage works in `<stage>.partial/` and the folder is renamed to `<stage>/` when it is complete, so a stage
folder is always whole. Its marker holds the *key*: everything the result depends on. A stage with another
key is done again, and the log says what changed.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from hub_tools.core.distributed import ALONE, Processes
from hub_tools.core.errors import UserError
from hub_tools.core.files import digest, read_json, write_json, write_text
from hub_tools.core.logging import log

CacheKey = dict[str, Any]
_FOLDERS = ("corpus", "tokenizer", "clone", "embeddings", "student", "evaluation")
# Stage, and a stage whose result it depends on.
_RESTS_ON = (
    ("evaluation", "student"),
    ("student", "embeddings"),
    ("student", "clone"),
    ("clone", "tokenizer"),
)
_HEADER = "# The options of a hub-distill run.\n"
_DONE, _KEY, _CONFIG, _LOCK = ".done.json", ".key.json", "config.toml", ".lock"


class RunDir:
    """One run on disk. Use it as a context manager: it is locked while open.

    Args:
        root: the folder; made if it is missing.
        config: the text of config.toml.
        fresh: forget every finished stage first.
        processes: those of the run; the main one has the lock and keeps the markers.

    Raises:
        UserError: the folder holds something else, or another run is using it.
    """

    def __init__(self, root: Path, config: str, *, fresh: bool = False, processes: Processes = ALONE) -> None:
        self.root, self._processes = root, processes
        self._lock: FileLock | None = None
        processes.run_on_main(lambda: self._open(config, fresh=fresh))
        if not (root / _CONFIG).exists():
            raise UserError(
                f"--output {root} is not the folder of the main process. Expected one that all machines see."
            )

    def _open(self, config: str, *, fresh: bool) -> None:
        root = self.root
        if root.exists() and not root.is_dir():
            raise UserError(f"--output {root} is a file; expected a folder to write the run into.")
        if root.is_dir() and any(root.iterdir()) and not _is_run(root):
            raise UserError(f"--output {root} holds files that are no run. Choose an empty or a new folder.")
        root.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(root)
        if fresh:
            for name in _FOLDERS:
                _remove(self.path(name))
                _remove(root / f"{name}.partial")
        write_text(root / _CONFIG, _HEADER + config)

    def __enter__(self) -> RunDir:
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.release()

    def path(self, stage: str) -> Path:
        """The folder of a finished stage."""
        return self.root / stage

    def is_done(self, stage: str, key: CacheKey) -> bool:
        """Whether the stage is finished for exactly this key."""
        return self._read_marker(self.path(stage) / _DONE).get("key") == digest(key)

    def run(
        self, stage: str, key: CacheKey, work: Callable[[Path], dict[str, Any]], *, all_ranks: bool = False
    ) -> dict[str, Any]:
        """Do a stage, go on with a half-done one, or return what a finished one had returned.

        Args:
            stage: the folder's name.
            key: plain data, everything the result depends on.
            work: fills the folder it is given and returns plain data; when the folder is not empty, an
                earlier call with the same key was cut off there.
            all_ranks: whether all processes do the work; otherwise the main one does, and the others wait.

        Returns:
            What `work` returned, with `seconds`, the time it took (attempts that were killed not counted).
        """
        run_on_main = self._processes.run_on_main
        known, spent = run_on_main(lambda: self._begin(stage, key))
        if known is not None:
            return known
        partial = self.root / f"{stage}.partial"
        started = time.monotonic()
        seconds = spent
        try:
            result = work(partial) if all_ranks else run_on_main(lambda: work(partial))
        finally:
            seconds += time.monotonic() - started
            if self._processes.is_main and partial.is_dir():
                write_json(partial / _KEY, {"key": digest(key), "seconds": seconds})
        return run_on_main(lambda: self._end(stage, key, {**result, "seconds": round(seconds, 2)}))

    def _begin(self, stage: str, key: CacheKey) -> tuple[dict[str, Any] | None, float]:
        """The result of a finished stage and 0, or None and the seconds that earlier attempts took."""
        partial = self.root / f"{stage}.partial"
        self._finish_rename(stage, partial, key)
        if self.is_done(stage, key):
            log.info("%s: already done", stage)
            return dict(self._read_marker(self.path(stage) / _DONE)["result"]), 0.0
        self._say_why(stage, key)
        return None, self._prepare(partial, key)

    def _end(self, stage: str, key: CacheKey, result: dict[str, Any]) -> dict[str, Any]:
        partial = self.root / f"{stage}.partial"
        write_json(partial / _DONE, {"key": digest(key), "parts": _parts(key), "result": result})
        self._finish_rename(stage, partial, key)
        log.info("%s: done in %.1f s", stage, result["seconds"])
        return result

    def _prepare(self, partial: Path, key: CacheKey) -> float:
        marker = self._read_marker(partial / _KEY)
        if marker.get("key") == digest(key):
            log.info("%s: going on where an earlier run stopped", partial.stem)
        else:
            _remove(partial)
            write_json(partial / _KEY, {"key": digest(key), "seconds": 0.0})
        return float(marker.get("seconds", 0.0)) if marker.get("key") == digest(key) else 0.0

    def _finish_rename(self, stage: str, partial: Path, key: CacheKey) -> None:
        if self._read_marker(partial / _DONE).get("key") != digest(key):
            return
        (partial / _KEY).unlink(missing_ok=True)
        # The old stage goes only now that the new one is whole.
        _remove(self.path(stage))
        partial.replace(self.path(stage))

    def _say_why(self, stage: str, key: CacheKey) -> None:
        old = self._read_marker(self.path(stage) / _DONE).get("parts")
        if old is None:
            log.info("%s ...", stage)
            return
        new = _parts(key)
        changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        log.info("%s: done again, because it depends on what changed: %s", stage, ", ".join(changed))

    @staticmethod
    def _read_marker(path: Path) -> dict[str, Any]:
        return dict(read_json(path)) if path.exists() else {}


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Keep other commands out of a run folder while its results are read.

    Raises:
        UserError: a run is using it.
    """
    lock = _lock(root)
    try:
        yield
    finally:
        lock.release()


def _lock(root: Path) -> FileLock:
    lock = FileLock(root / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UserError(
            f"--output {root} is in use by another run. Wait for it to end, or choose another folder."
        ) from error
    return lock


def check_finished(root: Path) -> None:
    """Make sure that every stage of a run is done and that each belongs to the others.

    Raises:
        UserError: a stage is missing, or one was done again after another that rests on it.
    """
    markers = {}
    for stage in _FOLDERS:
        file = root / stage / _DONE
        if not file.exists():
            raise UserError(f"{root} is not finished: {stage} is missing. Run: hub-distill --config {root / _CONFIG}")
        markers[stage] = read_json(file)
    for stage, earlier in _RESTS_ON:
        if markers[stage]["parts"].get(earlier) != digest(markers[earlier]["key"]):
            raise UserError(
                f"{stage} in {root} was made with another {earlier} than the one that lies there. "
                f"Run: hub-distill --config {root / _CONFIG}"
            )
    if not (root / "report.json").exists():
        raise UserError(f"{root} has no report.json. Run: hub-distill --config {root / _CONFIG}")


def _is_run(root: Path) -> bool:
    config = root / _CONFIG
    if config.exists():
        return config.read_text(encoding="utf-8", errors="replace").startswith(_HEADER)
    return all(path.name == _LOCK for path in root.iterdir())  # cut off before the first file was written


def _remove(folder: Path) -> None:
    """Delete a stage's folder; its markers go first, so that a half-deleted folder never counts as done."""
    for marker in (_DONE, _KEY):
        (folder / marker).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _parts(key: CacheKey) -> dict[str, str]:
    return {name: digest(value) for name, value in key.items()}
