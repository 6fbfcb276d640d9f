"""run.json: the one record of what was really done in a run folder.

The stages write it; publishing, cards and the page read it, and never the options of the last command.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hub_tools.core.errors import UserError
from hub_tools.core.files import read_sealed, write_sealed
from hub_tools.core.plain import to_plain
from hub_tools.core.run_files import StoredFile

RECORD, CONFIG = "run.json", "config.toml"
PRIVATE = ".private"  # a file that says that a run is private, also where an older record was put back
# Folders of the model that a run is about: the distilled student, unless it was trained with labels after that.
STUDENT, FINETUNED = "student", "finetuned"
# Folder of a run of several students, with a run folder for each.
STUDENTS = "students"
_CURE = "Restore it, or choose another --output: it says what was done and what is private."


@dataclass(frozen=True, kw_only=True)
class StageRecord:
    """A finished stage."""

    key: str  # hash of everything that the result depends on
    inputs: dict[str, str]  # part of the key -> its hash; a stage before it is known by its identity
    options: dict[str, Any]  # what was asked for, as plain data: teacher, lang, seed and sections of the configuration
    result: dict[str, Any]  # what the stage measured, a section of the report
    files: dict[str, StoredFile]  # what it wrote, by name from its folder
    seconds: float  # the time it took, attempts that were killed not counted
    versions: dict[str, str] = field(default_factory=dict)  # of Python and the libraries that did it
    data: str | None = None  # hash of what later stages know it by, where that is not the key

    @property
    def identity(self) -> str:
        """What stands for the stage in the keys of those that read it."""
        return self.data or self.key


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A run."""

    stages: dict[str, StageRecord] = field(default_factory=dict)  # by folder, the finished ones
    publish: dict[str, Any] = field(default_factory=dict)  # the [publish] options that were given so far
    # Device and precision that `auto` chose when vectors were first computed, and what was asked for.
    hardware: dict[str, Any] | None = None
    students: tuple[str, ...] = ()  # names of several students, each with a run folder of its own in `STUDENTS`

    def only(self, folders: Collection[str]) -> RunRecord:
        """Return the record of these stages alone."""
        return replace(self, stages={name: stage for name, stage in self.stages.items() if name in folders})

    @property
    def student(self) -> str:
        """The folder of the student: what was measured as such, or else what was made last."""
        evaluated = self.stages.get("evaluation")
        is_finetuned = FINETUNED in (evaluated.inputs if evaluated else self.stages)
        return FINETUNED if is_finetuned else STUDENT

    def current(self) -> RunRecord:
        """Return the record without a training with labels that the student no longer has."""
        return self.only([name for name in self.stages if name != FINETUNED or self.student == FINETUNED])

    def with_publish(self, options: dict[str, Any]) -> RunRecord:
        """Return the record with other [publish] options; once private, always private."""
        private = {"private": True} if self.publish.get("private") else {}
        return replace(self, publish={**self.publish, **options, **private})


def read_record(root: Path) -> RunRecord:
    """Read the record of a run folder, empty where no run began; one that is damaged or gone is a UserError."""
    file = root / RECORD
    if file.is_file():
        record = read_sealed(RunRecord, file, _CURE)
    elif (root / CONFIG).exists():  # which is written after the record
        raise UserError(f"{root} has a {CONFIG} and no {RECORD}. {_CURE}")
    else:
        record = RunRecord()
    is_private = any((run / PRIVATE).exists() for run in (root, parent_of(root)) if run)
    return record.with_publish({"private": True}) if is_private else record


def write_record(root: Path, record: RunRecord) -> None:
    """Write the record so that it is never seen half-written."""
    if record.publish.get("private"):
        (root / PRIVATE).touch()
    write_sealed(root / RECORD, to_plain(record))


def parent_of(root: Path) -> Path | None:
    """Return the run of several students that the run of one is in: RUN of RUN/students/NAME; None for other runs."""
    place = Path(os.path.realpath(root))  # unlike `resolve` it bears links in a circle, which are refused elsewhere
    is_inside = place.parent.name == STUDENTS and (place.parents[1] / RECORD).is_file()
    return place.parents[1] if is_inside else None


def check_single(root: Path, record: RunRecord) -> None:
    """Refuse, by a UserError, a run of several students where one is needed."""
    if record.students:
        folders = ", ".join(str(root / STUDENTS / name) for name in record.students)
        raise UserError(f"{root} has several students. Expected the folder of one of them: {folders}.")


def student_of(root: Path) -> Path:
    """Return the folder of the student of a run; a run of several is a UserError."""
    record = read_record(root)
    check_single(root, record)
    return root / record.student
