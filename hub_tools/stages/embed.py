"""Stage `embed`: the teacher's vectors for the corpus, once, on disk; or vectors that others computed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hub_tools.config import EmbedConfig, VectorType
from hub_tools.config_scale import ScaleConfig
from hub_tools.core.distributed import Processes
from hub_tools.core.hardware import Hardware
from hub_tools.corpus.build import Corpus
from hub_tools.evaluation.mteb_tasks import AnyTask
from hub_tools.evaluation.tasks import evaluation_texts
from hub_tools.hub.storage import run_jobs
from hub_tools.models.teacher import Teacher
from hub_tools.results import EmbeddingsResult
from hub_tools.stages.base import Finished, Stage, neutral, through_data
from hub_tools.vectors.embed import Elsewhere, embed
from hub_tools.vectors.executors import compute_shards
from hub_tools.vectors.imported import ImportedEmbeddings, import_embeddings
from hub_tools.vectors.tasks import TASKS


@dataclass(frozen=True, kw_only=True)
class EmbedStage(Stage):
    """Compute the teacher's vectors of the text."""

    name, folder, all_ranks = "embed", "embeddings", True
    leftovers = (TASKS,)  # what tasks of other processes were handed over

    teacher: Teacher
    corpus: Finished
    targets: tuple[str, ...]
    config: EmbedConfig
    precision: str
    device: str = neutral()
    asked_device: str = neutral()
    scale: ScaleConfig = neutral()
    processes: Processes = neutral()

    def work(self, out: Path) -> EmbeddingsResult:
        return embed(
            self.teacher,
            Corpus(self.corpus.path),
            out,
            targets=self.targets,
            config=self.config,
            hardware=Hardware(device=self.device, precision=self.precision),
            processes=self.processes,
            elsewhere=self._elsewhere() if self.scale.executor else None,
        )

    def _elsewhere(self) -> Elsewhere:
        """Return what computes shards in tasks of an executor."""
        teacher, jobs = self.teacher, self.scale.executor == "jobs"
        return partial(
            compute_shards,
            scale=self.scale,
            teacher=f"{teacher.name}@{teacher.revision}" if jobs else str(teacher.path.absolute()),
            policy=teacher.policy,
            dtype=self.config.dtype,
            device=self.asked_device,
            precision=self.precision,
            run=partial(run_jobs, scale=self.scale) if jobs else None,
        )

    def outcome(self, result: EmbeddingsResult) -> str:
        on = Hardware(device=self.device, precision=self.precision)
        speed = f", {result.rows_per_second:,.0f} a second" if result.rows_per_second else ""
        return f"{result.rows:,} vectors of {result.dim} numbers on {on}{speed}"


@dataclass(frozen=True, kw_only=True)
class ImportStage(Stage):
    """Bring vectors that others computed into the form that training reads, without those of the tasks' texts.

    One text is embedded to compare them.
    """

    name, folder, other_sections = "embed", "embeddings", ("evaluate",)

    teacher: Teacher
    imported: ImportedEmbeddings
    clone: Finished
    targets: tuple[str, ...]
    dtype: VectorType
    tasks: tuple[AnyTask, ...] = through_data()
    hardware: Hardware = neutral()

    def work(self, out: Path) -> EmbeddingsResult:
        return import_embeddings(
            self.imported,
            out,
            clone=self.clone.path,
            targets=self.targets,
            dtype=self.dtype,
            hardware=self.hardware,
            policy=self.teacher.policy,
            evaluation=evaluation_texts(self.tasks, self.targets),
        )

    def outcome(self, result: EmbeddingsResult) -> str:
        return f"{result.rows:,} vectors of {result.dim} numbers taken over"
