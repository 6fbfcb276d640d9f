"""What a stage is: an object whose fields are its inputs, and a method that does its work with them alone.

The key of a stage is made of its fields, so an input that the key forgets cannot be read by the work.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, ClassVar, Self

from hub_tools.core.plain import to_plain
from hub_tools.core.run_dir import RunDir, Task, stage_folder
from hub_tools.stages.job import Job

# To be raised whenever a stage gives other files for the same inputs.
_VERSION = 11


def neutral() -> Any:
    """Mark an input that cannot change the result, such as where it is computed; the key leaves it out."""
    return field(metadata={"neutral": True})


def through_data() -> Any:
    """Mark an input that later stages feel through the data of the stage alone, i.e. its parquet files.

    The stage is done again when it changes, but those after it only where its data changed too.
    """
    return field(metadata={"through_data": True})


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A finished stage as an input of another."""

    path: Path
    identity: str


def identity(value: Any) -> Any:
    """Return the plain data that stands for a value in a key.

    An object with an `identity` stands for itself; of other dataclasses all fields count but the neutral ones. A path,
    whose content would be forgotten, and what is no plain data is a TypeError.
    """
    if hasattr(value, "identity"):
        return value.identity
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return parts_of(value)
    if isinstance(value, Mapping):
        return {key: identity(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [identity(item) for item in value]
    if value is None or isinstance(value, str | int | float):
        return value
    kind = "a path" if isinstance(value, PurePath) else type(value).__name__
    raise TypeError(f"{kind} cannot be part of a key")


def parts_of(inputs: Any) -> dict[str, Any]:
    """Return the parts of a key: name of each input that is not neutral -> its identity.

    The fields of a configuration count one by one, so that the log can name the option that changed.
    """
    parts: dict[str, Any] = {}
    for item in dataclasses.fields(inputs):
        if item.metadata.get("neutral"):
            continue
        value = getattr(inputs, item.name)
        is_group = dataclasses.is_dataclass(value) and not hasattr(value, "identity")
        new = parts_of(value) if is_group else {item.name: identity(value)}
        if repeated := parts.keys() & new.keys():
            raise TypeError(f"two inputs are called {min(repeated)}")
        parts |= new
    return parts


@dataclass(frozen=True, kw_only=True)
class Stage(ABC):
    """A stage of a run. Its fields are all that its work reads, filled by their names (`of`)."""

    # The command that does it, and the section of the configuration that it uses.
    name: ClassVar[str]
    # Where its files are in the run folder; stages that read them have a field of this name.
    folder: ClassVar[str]
    other_sections: ClassVar[tuple[str, ...]] = ()  # of the configuration, that it uses too
    all_ranks: ClassVar[bool] = False  # whether all processes work on it
    leftovers: ClassVar[tuple[str, ...]] = ()  # files that only a continued attempt needs

    @classmethod
    def of(cls, job: Job, done: Mapping[str, Finished]) -> Self:
        """Fill each field with the finished stage in the folder of its name, or with what the job has by its name."""
        values = {**job.inputs, "config": getattr(job.config, cls.name), **done}
        return cls(**{item.name: values[item.name] for item in dataclasses.fields(cls)})

    @abstractmethod
    def work(self, out: Path) -> Any:
        """Fill a folder and return what was measured, a dataclass of `hub_tools.results`.

        When the folder is not empty, an earlier attempt with the same inputs was cut off there.
        """

    @abstractmethod
    def outcome(self, result: Any) -> str:
        """Say in a few words what came out, from what `work` returned."""

    def run(self, job: Job, run_dir: RunDir, title: str) -> Finished:
        """Do the work in a run folder, or use what is finished there; messages call the stage by its title."""
        sections = (self.name, *self.other_sections)
        asked = to_plain(job.config).items()  # options above all sections belong to every stage
        options = {key: value for key, value in asked if key in sections or not isinstance(value, dict)}
        teacher = {"name": job.teacher.name, "revision": job.teacher.revision, "license": job.teacher.license}
        inputs = (getattr(self, item.name) for item in dataclasses.fields(self))
        task = Task(
            folder=self.folder,
            title=title,
            reads=tuple(value.path.name for value in inputs if isinstance(value, Finished)),
            parts={**parts_of(self), "stage version": _VERSION},
            options={**options, "teacher_info": teacher},
            work=self.work,
            outcome=self.outcome,
            all_ranks=self.all_ranks,
            leftovers=self.leftovers,
            through_data=tuple(item.name for item in dataclasses.fields(self) if item.metadata.get("through_data")),
        )
        record = run_dir.run(task)
        return Finished(path=stage_folder(run_dir.root, self.folder), identity=record.identity)
