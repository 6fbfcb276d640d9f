"""What lies where in a run folder, and which finished stages may be used again.

A stage works in `<stage>.partial/` and the folder is renamed to `<stage>/` when it is complete, so a stage folder is
always whole. Its marker, a `StageRecord`, holds the *key*: everything the result depends on. A stage with another key
is done again, and the log says what changed. The marker also has size and checksum of each file: sizes are compared
whenever a stage is used again, checksums before another stage reads it. `run.json` sums the markers up.

The run of one of several students is in RUN/students/ and has no text and no vectors of its own: it reads those of RUN
where they have the same key (`stage_folder`). It never writes there.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from hub_tools.core.distributed import ALONE, Processes
from hub_tools.core.errors import UserError
from hub_tools.core.files import digest, read_sealed, write_sealed, write_text
from hub_tools.core.logging import log
from hub_tools.core.plain import to_plain
from hub_tools.core.run_files import StoredFile, check_files, check_root, cure_for, store_files
from hub_tools.core.run_record import (
    CONFIG,
    FINETUNED,
    PRIVATE,
    RECORD,
    RunRecord,
    StageRecord,
    check_single,
    parent_of,
    read_record,
    write_record,
)
from hub_tools.core.terminal import duration
from hub_tools.core.versions import versions

# Those of every run; with data to train on with labels there is FINETUNED too.
FOLDERS = ("corpus", "tokenizer", "clone", "embeddings", "student", "evaluation")
# Those that several students share.
SHARED = ("corpus", "embeddings")
_HEADER = "# The options of a hub-distill run.\n"
_DONE, _KEY, _LOCK = ".done.json", ".key.json", ".lock"


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a stage is about to do."""

    folder: str  # of the stage in the run
    title: str  # what messages call the stage
    parts: dict[str, Any]  # name -> plain data; together everything that the result depends on
    options: dict[str, Any]  # what was asked for, for the record, as plain data
    # Fills a folder and returns what was measured; if it is not empty, an earlier call with the same parts was cut off.
    work: Callable[[Path], Any]
    outcome: Callable[[Any], str] = lambda _: "done"  # says what came out, from what was measured
    reads: tuple[str, ...] = ()  # folders of the finished stages that it reads
    all_ranks: bool = False  # whether all processes do the work; otherwise the main one does, and the others wait
    leftovers: tuple[str, ...] = ()  # patterns of what only a continued attempt needs; deleted when the stage is done
    through_data: tuple[str, ...] = ()  # parts that later stages feel through the parquet files alone

    @property
    def inputs(self) -> dict[str, str]:
        """Name of each part -> its hash."""
        return {name: digest(value) for name, value in self.parts.items()}

    @property
    def key(self) -> str:
        """Hash of all parts."""
        return digest(self.inputs)

    def data(self, files: Mapping[str, StoredFile]) -> str | None:
        """Return the hash of the other parts and the parquet files, by which later stages know this one; else None."""
        if not self.through_data:
            return None
        parts = {name: part for name, part in self.inputs.items() if name not in self.through_data}
        return digest([parts, {name: file.sha256 for name, file in files.items() if name.endswith(".parquet")}])


class RunDir:
    """One run on disk, its folder made if it does not exist. Use it as a context manager: it is locked while open.

    `config` is the text of config.toml; `fresh` forgets every finished stage first. The main one of the `processes` has
    the lock and writes the markers.

    Raises:
        UserError: the folder holds something else, its record is damaged, or another run is using it.
    """

    def __init__(self, root: Path, config: str, *, fresh: bool = False, processes: Processes = ALONE) -> None:
        self.root, self._processes = root, processes
        self._whole: set[str] = set()  # folders of stages whose checksums are right
        self._lock = ExitStack()
        processes.run_on_main(lambda: self._open(config, fresh=fresh))
        if not (root / CONFIG).exists():
            raise UserError(
                f"--output {root} is not the folder of the main process. Expected one that all machines see."
            )

    def _open(self, config: str, *, fresh: bool) -> None:
        root = self.root
        if root.exists() and not root.is_dir():
            raise UserError(f"--output {root} is a file; expected a folder to write the run into.")
        if root.exists() and not _is_run(root):
            raise UserError(f"--output {root} holds files that are no run. Choose an empty or a new folder.")
        _check_root(root)
        root.mkdir(parents=True, exist_ok=True)
        self._lock.enter_context(locked(root))
        record = read_record(root)
        if fresh:
            for name in (*FOLDERS, FINETUNED):
                _remove(root / name)
                _remove(root / f"{name}.partial")
            record = RunRecord(publish=record.publish)  # what was private stays private
        write_record(root, record)
        write_text(root / CONFIG, _HEADER + config)

    def __enter__(self) -> RunDir:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()

    def update_record(self, change: Callable[[RunRecord], RunRecord]) -> None:
        """Change the record, in the main process."""
        if self._processes.is_main:
            write_record(self.root, change(read_record(self.root)))

    def run(self, task: Task) -> StageRecord:
        """Do a stage, continue one that was cut off, or return the record of a finished one."""
        run_on_main = self._processes.run_on_main
        begun = run_on_main(lambda: self._begin(task))
        if isinstance(begun, StageRecord):
            return begun
        partial, start = self._partial(task), time.monotonic() - begun
        try:
            result = task.work(partial) if task.all_ranks else run_on_main(lambda: task.work(partial))
        finally:
            seconds = time.monotonic() - start
            if self._processes.is_main and partial.is_dir():
                _write_attempt(partial, task.key, seconds)
        return run_on_main(lambda: self._end(task, result, round(seconds, 2)))

    def _partial(self, task: Task) -> Path:
        return self.root / f"{task.folder}.partial"

    def _begin(self, task: Task) -> StageRecord | float:
        """Return the record of a finished stage, or the seconds that earlier attempts took."""
        self._finish_rename(task)
        shared = _shared_folder(self.root, task.folder)
        if shared is not None and (found := _read_marker(shared)) is not None and found.key == task.key:
            _remove(self.root / task.folder)  # of an earlier run with other text
        folder = stage_folder(self.root, task.folder)
        record = _read_marker(folder)
        if record is not None and record.key == task.key:
            check_files(folder, record.files, checksums=False)
            log.info("%s: already done", task.title, extra={"style": "dim"})
            self._add_to_record(task, record)
            return record
        why = ""
        if record is not None:
            old, new = record.inputs, task.inputs
            changed = ", ".join(name for name in {**old, **new} if old.get(name) != new.get(name))
            why = f": done again, because it depends on what changed: {changed}"
        log.info("%s%s", task.title, why, extra={"style": "bold"})
        for name in task.reads:
            if name not in self._whole:
                check_stage(stage_folder(self.root, name))
                self._whole.add(name)
        partial = self._partial(task)
        attempt = _read_attempt(partial)
        if attempt.key == task.key:
            log.info("  continuing where an earlier run stopped")
            return attempt.seconds
        _remove(partial)
        _write_attempt(partial, task.key, 0.0)
        return 0.0

    def _end(self, task: Task, result: Any, seconds: float) -> StageRecord:
        files = store_files(self._partial(task), task.leftovers)
        record = StageRecord(
            key=task.key,
            inputs=task.inputs,
            options=task.options,
            result=to_plain(result),
            files=files,
            seconds=seconds,
            versions=versions(),
            data=task.data(files),
        )
        write_sealed(self._partial(task) / _DONE, to_plain(record))
        self._finish_rename(task)
        self._whole.add(task.folder)
        self._add_to_record(task, record)
        log.info("  %s (%s)", task.outcome(result), duration(seconds))
        return record

    def _add_to_record(self, task: Task, record: StageRecord) -> None:
        """Bring run.json up to date with a finished stage."""
        self.update_record(lambda run: replace(run, stages={**run.stages, task.folder: record}))

    def _finish_rename(self, task: Task) -> None:
        """Rename a stage that is complete, also where an earlier run was cut off before it did.

        What only an unfinished one needs is deleted before.
        """
        partial, folder = self._partial(task), self.root / task.folder
        record = _read_marker(partial)
        if record is not None and record.key == task.key:
            for path in (path for pattern in task.leftovers for path in partial.glob(pattern)):
                shutil.rmtree(path, ignore_errors=True)
            (partial / _KEY).unlink(missing_ok=True)
            _remove(folder)  # only now that the new one is whole
            partial.replace(folder)


def stage_folder(root: Path, folder: str) -> Path:
    """Return where a stage of a run has its files: in the run, or else in that of several students which it is in."""
    shared = _shared_folder(root, folder)
    return root / folder if shared is None or (root / folder).exists() else shared


def _shared_folder(root: Path, folder: str) -> Path | None:
    parent = parent_of(root) if folder in SHARED else None
    return parent and parent / folder


def _check_root(root: Path) -> None:
    """Make sure that a folder can be a run's, and that no link leads out of it, nor out of the run that it is in."""
    check_root(root)
    if parent := parent_of(root):
        check_root(parent)


def locked(root: Path) -> AbstractContextManager[object]:
    """Keep other commands out of a run folder until the end of a `with` block.

    Raises:
        UserError: a run is using the folder, or it cannot be used.
    """
    _check_root(root)
    try:
        return FileLock(root / _LOCK).acquire(timeout=0)
    except Timeout as error:
        message = f"--output {root} is in use by another run. Wait for it to end, or choose another folder."
        raise UserError(message) from error


def check_stage(folder: Path) -> None:
    """Make sure that the files of a finished stage are as they were written; other folders are not looked at.

    Raises:
        UserError: a file is damaged.
    """
    record = _read_marker(folder)
    if record is not None:
        check_files(folder, record.files, checksums=True)


def check_finished(root: Path, read: Collection[str] = FOLDERS) -> RunRecord:
    """Return the record of a run in which every stage is done, whole, and belongs to the others.

    `read` are the folders whose files will be used: their checksums are compared, of the others only the sizes.

    Raises:
        UserError: the folder is no run or one of several students, a stage is missing or damaged, or stages were made
            from different things.
    """
    if not (root / RECORD).is_file():
        raise UserError(f"{root} is no run folder: it has no {RECORD}. Expected the --output of a hub-distill run.")
    _check_root(root)
    command, run = f"Run: hub-distill --config {root / CONFIG}", read_record(root).current()
    check_single(root, run)
    stages = run.stages
    folders = (*FOLDERS, *([FINETUNED] if FINETUNED in stages or run.student == FINETUNED else []))
    for folder in folders:
        marker = _read_marker(stage_folder(root, folder))
        if marker is None or folder not in stages:
            raise UserError(f"{root} is not finished: {folder} is missing. {command}")
        if marker != stages[folder]:
            raise UserError(f"{folder} in {root} is not the one that {RECORD} describes. {command}")
    present = {name: digest(stage.identity) for name, stage in stages.items()}
    present["teacher"] = stages["clone"].inputs["teacher"]
    for folder, record in stages.items():
        for name, used in record.inputs.items():
            if present.get(name, used) != used:
                raise UserError(
                    f"{folder} in {root} was made with another {name} than the one that the run has now. {command}"
                )
    for folder in folders:
        # Who reads the student reads the model that it became.
        is_read = folder in read or (folder == FINETUNED and "student" in read)
        check_files(stage_folder(root, folder), stages[folder].files, checksums=is_read)
    return run


@dataclass(frozen=True, kw_only=True)
class _Attempt:
    """A stage that is not finished."""

    key: str = ""
    seconds: float = 0.0  # that it took so far


def _read_attempt(partial: Path) -> _Attempt:
    return read_sealed(_Attempt, partial / _KEY, cure_for(partial)) if (partial / _KEY).exists() else _Attempt()


def _write_attempt(partial: Path, key: str, seconds: float) -> None:
    write_sealed(partial / _KEY, to_plain(_Attempt(key=key, seconds=seconds)))


def _read_marker(folder: Path) -> StageRecord | None:
    """Return the marker of a finished stage, None where there is none; a damaged one is a UserError."""
    return read_sealed(StageRecord, folder / _DONE, cure_for(folder)) if (folder / _DONE).exists() else None


def _is_run(root: Path) -> bool:
    """Whether a folder is empty or a run's, so that nothing of the user's is lost in it."""
    config = root / CONFIG
    if (root / RECORD).is_file():
        return True  # what is no record is refused when it is read
    if config.exists():
        return config.read_text(encoding="utf-8", errors="replace").startswith(_HEADER)
    # Cut off before the record was written.
    first = {_LOCK, f"{RECORD}.tmp", PRIVATE}
    return all(path.name in first for path in root.iterdir())


def _remove(folder: Path) -> None:
    """Delete a stage's folder; its markers go first, so that a half-deleted folder never counts as done."""
    for marker in (_DONE, _KEY):
        (folder / marker).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
