"""The options that say which processes compute the shards of a stage; a part of `hub_tools.config`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from hub_tools.core.errors import UsageError
from hub_tools.core.fields import Section, option

Engine = Literal["local", "slurm", "ray", "jobs"]
# The argument that is none of datatrove's.
STORAGE = "storage"


@dataclass(frozen=True, kw_only=True)
class ScaleConfig(Section):
    """Which processes and machines compute the teacher's vectors, and read large datasets of the Hub."""

    section: ClassVar[str] = "scale"
    executor: Engine | None = option(
        None,
        "Compute the teacher's vectors in tasks of datatrove: in processes here, on a Slurm or Ray cluster, or on "
        "Hugging Face Jobs; all but Jobs read large datasets of the Hub in tasks too. Needs the extra scale.",
        unset="this process",
        neutral=True,
    )
    workers: int | None = option(
        None, "Tasks of --executor at once.", minimum=1, unset="2; Slurm starts all that it can", neutral=True
    )
    executor_option: tuple[str, ...] = option(
        (),
        "An argument of datatrove's executor, e.g. partition=gpu, gpus_per_task=1 or flavor=l4x1; for Jobs also "
        "storage=URL, where they get texts and leave vectors.",
        metavar="NAME=VALUE",
        neutral=True,
    )

    @property
    def arguments(self) -> dict[str, str | int]:
        """What --executor-option says: name -> value."""
        pairs = (text.partition("=") for text in self.executor_option)
        return {name: int(value) if value.isdecimal() else value for name, _, value in pairs}

    @property
    def reads_text(self) -> bool:
        """Whether tasks read datasets of the Hub: Jobs see no folder of this machine."""
        return self.executor not in (None, "jobs")

    def _check(self) -> None:
        for text in self.executor_option:
            if not text.partition("=")[0].isidentifier() or "=" not in text:
                raise UsageError(f"--executor-option {text!r}: expected NAME=VALUE, e.g. partition=gpu.")
        unused = self.changed_options("workers", "executor_option")
        if self.executor is None and unused:
            raise UsageError(f"{unused[0]} is about --executor. Give that too, or leave it out.")
        if self.executor == "jobs" and STORAGE not in self.arguments:
            raise UsageError(
                "--executor jobs: expected --executor-option storage=URL, a place that these Jobs and this machine "
                "reach, e.g. hf://buckets/NAMESPACE/NAME or hf://datasets/NAMESPACE/NAME."
            )
