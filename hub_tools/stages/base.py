"""What a stage is: it names its inputs, and its work gets exactly these.

The key of a stage is made of its inputs, so an input that the key forgets cannot be read by the work.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, ClassVar, Generic, TypeVar

from hub_tools.core.plain import to_plain
from hub_tools.core.run_dir import RunDir, Task
from hub_tools.core.run_record import StageRecord
from hub_tools.stages.job import Job

InputsT = TypeVar("InputsT")
# Raise when a stage would make other files of the same inputs.
_VERSION = 5
# What the record keeps of the whole run beside the sections that a stage uses.
_SHARED = ("teacher", "lang", "output", "device", "precision", "seed", "trust_remote_code", "allow_pickle")


def neutral() -> Any:
    """Mark an input that cannot change the result, such as where it is computed; the key leaves it out."""
    return field(metadata={"neutral": True})


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A finished stage as an input of another."""

    path: Path
    record: StageRecord

    @property
    def identity(self) -> str:
        """The key of the stage."""
        return self.record.key


def identity(value: Any) -> Any:
    """Return the plain data that stands for a value in a key.

    An object with an `identity` stands for itself; of other dataclasses all fields count but the neutral ones.

    Raises:
        TypeError: the value is a path, whose content would be forgotten, or no plain data.
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
    for one in dataclasses.fields(inputs):
        value = getattr(inputs, one.name)
        if one.metadata.get("neutral"):
            continue
        is_group = dataclasses.is_dataclass(value) and not hasattr(value, "identity")
        new = parts_of(value) if is_group else {one.name: identity(value)}
        if repeated := parts.keys() & new.keys():
            raise TypeError(f"two inputs are called {min(repeated)}")
        parts |= new
    return parts


class Stage(ABC, Generic[InputsT]):
    """A stage of a run.

    Attributes:
        name: the command that does it, and its name in the report.
        folder: where its files are in the run folder.
        sections: of the configuration, those that it uses; the record keeps them.
        needs: names of the stages that come before it.
        all_ranks: whether all processes work on it.
        leftovers: files that only a continued attempt needs.
    """

    name: ClassVar[str]
    folder: ClassVar[str]
    sections: ClassVar[tuple[str, ...]]
    needs: ClassVar[tuple[str, ...]]
    all_ranks: ClassVar[bool] = False
    leftovers: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def inputs(self, job: Job, done: Mapping[str, Finished]) -> InputsT:
        """Return everything that the work reads, a dataclass.

        Args:
            job: what was found before work began.
            done: name of each finished stage -> its folder and record.
        """

    @abstractmethod
    def work(self, inputs: InputsT, out: Path) -> Any:
        """Fill a folder; when it is not empty, an earlier attempt with the same inputs was cut off there.

        Returns:
            What the stage measured, one of the dataclasses of `hub_tools.results`.
        """

    def run(self, job: Job, done: Mapping[str, Finished], run_dir: RunDir) -> Finished:
        """Do the stage in a run folder, or use what is finished there."""
        inputs = self.inputs(job, done)
        options = {key: value for key, value in to_plain(job.config).items() if key in (*_SHARED, *self.sections)}
        task = Task(
            folder=self.folder,
            parts={**parts_of(inputs), "stage version": _VERSION},
            options={**options, "teacher_info": job.teacher_info},
            work=lambda out: to_plain(self.work(inputs, out)),
            all_ranks=self.all_ranks,
            leftovers=self.leftovers,
        )
        return Finished(path=run_dir.root / self.folder, record=run_dir.run(task))
